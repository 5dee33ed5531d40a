// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/quote_verification.h"

#include <algorithm>

#include "keybroker/evidence/certificate_checks.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::evidence {

namespace {

using crypto::Hash;

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::string list_of(const std::set<std::uint8_t>& pcrs) {
  std::string text;
  for (const auto pcr : pcrs) {
    text += (text.empty() ? "" : ", ") + std::to_string(pcr);
  }
  return text.empty() ? "none" : text;
}

// A quote in the making: what of it could be read so far.
struct Reading {
  TpmQuote quote;
  std::optional<Hash> bank;  // of its one selection
  std::set<std::uint8_t> selected;
  std::optional<TpmSignature> signature;
};

std::optional<Finding> examine_nonce(const base::Bytes& extra_data, const Expectation& nonce) {
  if (extra_data.empty()) {
    return found(Reason::kNonceEmpty, "the quote carries no nonce");
  }
  switch (nonce.kind) {
    case Expectation::Kind::kUnset:
      return found(Reason::kNonceUnpinned, "the policy names no nonce");
    case Expectation::Kind::kAny:
      return std::nullopt;
    case Expectation::Kind::kOneOf:
      break;
  }
  // In full and of equal length; a prefix of the right one is another one.
  const bool known = std::ranges::any_of(nonce.values, [&](const base::Bytes& value) {
    return vmgs::crypto::equal_in_constant_time(value, extra_data);
  });
  return known ? std::nullopt
               : found(Reason::kNonceMismatch,
                       "the quote was made for the nonce " + base::to_hex(extra_data));
}

std::optional<Finding> examine_signer(const TpmQuote& quote, const JudgedAk& ak) {
  if (endorsement_qualified_name(*ak.name) == quote.qualified_signer) {
    return std::nullopt;
  }
  return found(Reason::kQuoteSigner, "the quote says that " + base::to_hex(quote.qualified_signer) +
                                         " signed it, which is not the AK's qualified name");
}

// An AK of our template lies right under the endorsement hierarchy, which makes up its qualified
// name.
bool has_name_of_template(const JudgedAk& ak) {
  const auto numbers = ak.key ? ak.key->rsa_numbers() : std::nullopt;
  const auto name = numbers ? template_ak_name(*numbers) : base::Result<base::Bytes>(base::Bytes());
  return name && *name == *ak.name;
}

void judge_signer(const TpmQuote& quote, const JudgedAk& ak, const std::string& name,
                  Checklist& list) {
  if (!ak.name) {
    list.not_asked(name, "the AK's Name is not known");
    return;
  }
  const auto finding = examine_signer(quote, ak);
  if (finding && !ak.name_is_certain) {
    list.not_asked(name, "the AK's public area was not given");
    return;
  }
  if (finding && !has_name_of_template(ak)) {
    list.not_asked(name, "an AK of another template may lie under a key that is not known");
    return;
  }
  list.judge(name, finding);
}

// The scheme and hash are those of the signature, must fit the key, and where the key fixes its
// scheme, that one.
std::optional<Finding> examine_scheme(const TpmSignature& signature, const JudgedAk& ak) {
  const auto hash = hash_of_tpm(signature.scheme.hash);
  if (!hash || *hash == Hash::kSha1) {
    return found(Reason::kQuoteScheme, "it is signed over a hash that is not taken");
  }
  if (ak.key->is_rsa() != (signature.scheme.scheme != kTpmEcdsa)) {
    return found(Reason::kQuoteScheme, "the scheme of its signature is not one of the AK's key");
  }
  if (ak.scheme && *ak.scheme != signature.scheme) {
    return found(Reason::kQuoteScheme, "the AK may not sign with this scheme and hash");
  }
  return std::nullopt;
}

base::Result<TpmSignature> read_signature(const QuoteEvidence& evidence) {
  if (evidence.raw_rsassa_sha256) {
    return TpmSignature{{kTpmRsaSsa, kTpmSha256}, evidence.signature, {}, {}};
  }
  return decode_tpm_signature(evidence.signature);
}

void judge_signature(const QuoteEvidence& evidence, const JudgedAk& ak, const std::string& prefix,
                     Reading& reading, Checklist& list) {
  if (auto signature = read_signature(evidence)) {
    reading.signature = *std::move(signature);
  } else {
    list.fail(prefix + "scheme", Reason::kQuoteScheme, signature.error().message);
    list.not_run(prefix + "signature", "the signature cannot be read");
    return;
  }
  if (!ak.key) {
    list.not_run(prefix + "scheme", "there is no AK");
    list.not_run(prefix + "signature", "there is no AK");
    return;
  }
  list.judge(prefix + "scheme", examine_scheme(*reading.signature, ak));
  const auto verified = verify(*reading.signature, evidence.attest, *ak.key);
  list.judge(prefix + "signature",
             verified ? std::nullopt : found(Reason::kQuoteSignature, verified.error().message));
}

std::optional<Finding> examine_banks(Reading& reading) {
  const auto& selections = reading.quote.selections;
  if (selections.size() != 1) {
    return found(Reason::kQuoteBanks,
                 "it selects from " + std::to_string(selections.size()) + " banks");
  }
  reading.bank = hash_of_tpm(selections.front().bank);
  reading.selected = selections.front().pcrs;
  if (!reading.bank) {
    return found(Reason::kQuoteBanks, "it selects from a bank that is not known here");
  }
  return std::nullopt;
}

std::optional<Finding> examine_selection(const Reading& reading, const QuotePolicy& policy) {
  std::set<std::uint8_t> missing;
  std::ranges::set_difference(policy.pcrs, reading.selected, std::inserter(missing, missing.end()));
  return missing.empty()
             ? std::nullopt
             : found(Reason::kQuoteSelection, "it does not cover PCR " + list_of(missing));
}

// What a quote does not select it says nothing about, whatever stands beside it.
std::optional<Finding> examine_pcr_set(const QuoteEvidence& evidence, const Reading& reading,
                                       PcrValues& values) {
  values = evidence.pcrs;
  if (values.empty() && evidence.listed_pcrs.size() == reading.selected.size()) {
    auto value = evidence.listed_pcrs.begin();
    for (const auto pcr : reading.selected) {
      values[pcr] = *value++;
    }
  }
  std::set<std::uint8_t> supplied;
  for (const auto& [pcr, value] : values) {
    supplied.insert(pcr);
    if (value.size() != crypto::hash_bytes(*reading.bank)) {
      return found(Reason::kPcrSet, "PCR " + std::to_string(pcr) + " has " +
                                        std::to_string(value.size()) + " bytes");
    }
  }
  if (supplied != reading.selected || supplied.empty()) {
    return found(Reason::kPcrSet, "the quote selects PCR " + list_of(reading.selected) +
                                      " and beside it stand " + list_of(supplied));
  }
  return std::nullopt;
}

std::optional<Finding> examine_digest(const Reading& reading, const PcrValues& values) {
  // By the hash that the quote is signed with, whatever the bank (Part 3, 18.4).
  const auto hash = hash_of_tpm(reading.signature->scheme.hash);
  if (!hash || pcr_digest(values, *hash) != reading.quote.pcr_digest) {
    return found(Reason::kPcrDigest, "the PCR values do not have the digest that was signed");
  }
  return std::nullopt;
}

std::optional<Finding> examine_values(const QuoteClaims& claims, const QuotePolicy& policy) {
  const auto bank = policy.values.find(claims.bank);
  if (bank == policy.values.end()) {
    return std::nullopt;
  }
  for (const auto& [pcr, expectation] : bank->second) {
    const auto value = claims.pcrs.find(pcr);
    if (value == claims.pcrs.end()) {
      return found(Reason::kQuoteSelection, "it does not cover PCR " + std::to_string(pcr));
    }
    if (expectation.is_list() &&
        std::ranges::find(expectation.values, value->second) == expectation.values.end()) {
      return found(Reason::kPcrUnexpected,
                   "PCR " + std::to_string(pcr) + " is " + base::to_hex(value->second));
    }
  }
  return std::nullopt;
}

std::optional<Finding> examine_counters(const TpmClock& now, const TpmClock& last) {
  const bool went_back =
      now.reset_count < last.reset_count ||
      (now.reset_count == last.reset_count &&
       (now.restart_count < last.restart_count || (now.safe && now.clock < last.clock)));
  return went_back ? found(Reason::kQuoteCounters,
                           "reset count " + std::to_string(now.reset_count) + ", restart count " +
                               std::to_string(now.restart_count) + ", clock " +
                               std::to_string(now.clock) + " lie behind what was seen before")
                   : std::nullopt;
}

constexpr std::array<const char*, 11> kParts{"format",    "nonce",  "signer",    "scheme",
                                             "signature", "bank",   "selection", "pcrs",
                                             "digest",    "values", "counters"};

// The checks that need the PCR values beside the quote.
std::optional<QuoteClaims> judge_pcrs(const QuoteEvidence& evidence, Reading& reading,
                                      const QuotePolicy& policy, const std::string& prefix,
                                      Checklist& list) {
  if (!list.judge(prefix + "bank", examine_banks(reading))) {
    for (const char* part : {"selection", "pcrs", "digest", "values", "counters"}) {
      list.not_run(prefix + part, "it is not clear which PCRs are meant");
    }
    return std::nullopt;
  }
  QuoteClaims claims;
  claims.quote = reading.quote;
  claims.bank = *reading.bank;
  claims.decides = policy.banks.contains(claims.bank) && claims.bank != Hash::kSha1;
  const std::string undecided = "its bank decides nothing";
  if (claims.decides) {
    list.judge(prefix + "selection", examine_selection(reading, policy));
  } else {
    list.not_asked(prefix + "selection", undecided);
  }
  const bool whole = list.judge(prefix + "pcrs", examine_pcr_set(evidence, reading, claims.pcrs));
  if (!whole || !reading.signature) {
    list.not_run(prefix + "digest", "the PCR values or the scheme are not known");
  } else {
    list.judge(prefix + "digest", examine_digest(reading, claims.pcrs));
  }
  if (!claims.decides) {
    list.not_asked(prefix + "values", undecided);
  } else if (!policy.values.contains(claims.bank)) {
    list.not_asked(prefix + "values", "the policy names no values of its bank");
  } else {
    list.judge(prefix + "values", examine_values(claims, policy));
  }
  if (policy.last_seen) {
    list.judge(prefix + "counters", examine_counters(claims.quote.clock, *policy.last_seen));
  } else {
    list.not_asked(prefix + "counters", "the policy does not say what was seen before");
  }
  return claims;
}

std::optional<QuoteClaims> judge_quote(const QuoteEvidence& evidence, const JudgedAk& ak,
                                       const Expectation& nonce, const QuotePolicy& policy,
                                       const std::string& prefix, Checklist& list) {
  auto read = read_tpm_quote(evidence.attest);
  list.judge(prefix + "format", read.finding);
  if (!read.quote) {
    for (const char* part : kParts) {
      if (std::string_view(part) != "format") {
        list.not_run(prefix + part, "the quote cannot be read");
      }
    }
    return std::nullopt;
  }
  Reading reading;
  reading.quote = *std::move(read.quote);
  const auto finding = examine_nonce(reading.quote.extra_data, nonce);
  list.judge(prefix + "nonce", finding,
             nonce.is_list() ? "" : "any nonce is taken: freshness is not checked");
  judge_signer(reading.quote, ak, prefix + "signer", list);
  judge_signature(evidence, ak, prefix, reading, list);
  return judge_pcrs(evidence, reading, policy, prefix, list);
}

// Whoever makes the quotes chooses their banks, so values that are named need a quote of theirs.
void judge_values(const std::vector<QuoteClaims>& quotes, const QuotePolicy& policy,
                  Checklist& list) {
  const std::string check = "quote.values";
  if (policy.values.empty()) {
    list.not_asked(check, "the policy names no values of PCRs");
    return;
  }
  for (const auto& named : policy.values) {
    const auto bank = named.first;
    if (std::ranges::none_of(quotes, [&](const QuoteClaims& quote) {
          return quote.decides && quote.bank == bank;
        })) {
      list.fail(check, Reason::kPcrUnexpected,
                "no quote that decides is of the bank " + bank_name(bank) +
                    ", of which the policy names values");
      return;
    }
  }
  list.pass(check);
}

std::string register_name(Registers registers, std::uint32_t index) {
  return registers == Registers::kPcrs ? "pcr" + std::to_string(index)
                                       : "rtmr" + std::to_string(index - 1);
}

}  // namespace

std::vector<QuoteClaims> judge_quotes(const std::vector<QuoteEvidence>& quotes, const JudgedAk& ak,
                                      const Expectation& nonce, const QuotePolicy& policy,
                                      Checklist& list) {
  std::vector<QuoteClaims> result;
  if (quotes.empty()) {
    if (policy.required) {
      list.fail("quote.present", Reason::kQuoteMissing, "the evidence has no TPM quote");
    } else {
      list.not_asked("quote.present", "the policy wants no TPM quote");
    }
    list.not_asked("quote.decides", "there is no TPM quote");
    judge_values(result, policy, list);
    return result;
  }
  list.pass("quote.present");
  for (std::size_t i = 0; i < quotes.size(); ++i) {
    const auto prefix = "quote." + std::to_string(i + 1) + ".";
    if (auto claims = judge_quote(quotes[i], ak, nonce, policy, prefix, list)) {
      claims->number = i + 1;
      result.push_back(*std::move(claims));
    }
  }
  const bool decides = std::ranges::any_of(result, &QuoteClaims::decides);
  list.judge("quote.decides", decides ? std::nullopt
                                      : found(Reason::kQuoteBankWeak,
                                              "no quote is of a bank that the policy takes"));
  judge_values(result, policy, list);
  return result;
}

bool judge_replay(const EventLog& log, Hash bank, Registers registers,
                  const std::map<std::uint32_t, base::Bytes>& actual, Checklist& list) {
  const auto prefix = (registers == Registers::kPcrs ? "log." : "cc_log.") + bank_name(bank) + ".";
  if (!log.has_bank(tpm_of_hash(bank))) {
    list.fail(prefix + "bank", Reason::kLogBankMissing,
              "the log has no digests of the bank " + bank_name(bank));
    for (const auto& [index, value] : actual) {
      list.not_run(prefix + register_name(registers, index), "the log has no digests of its bank");
    }
    return false;
  }
  list.pass(prefix + "bank");
  // Explaining costs more than replaying, so it is for what stands so far and not for whoever sends
  // anything.
  const bool explains = stands(list.checks());
  const auto registers_told = replay(log, bank, registers);
  bool all = true;
  for (const auto& [index, value] : actual) {
    const auto check = prefix + register_name(registers, index);
    if (!registers_told) {
      list.fail(check, Reason::kLogRegister, registers_told.error().message);
      all = false;
      continue;
    }
    const auto& told = registers_told->at(index);
    if (told.value == value) {
      list.pass(check, std::to_string(told.events.size()) + " events");
      continue;
    }
    all = false;
    list.fail(check, told.events.empty() ? Reason::kLogNoEvents : Reason::kLogReplay,
              "it holds " + base::to_hex(value) + ", the log leads to " + base::to_hex(told.value) +
                  (explains ? ": " + diagnose(log, bank, registers, index, value) : ""));
  }
  return all;
}

}  // namespace keybroker::evidence
