// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/crypto/issue.h"
#include "tests/support/simulated_guest.h"
#include "vmgs/base/cursor.h"

// What can be done with quotes, AKs and AK certificates. The quotes are a real TPM's, and so is the
// signature under the forged one.
namespace tests::integration {
namespace {

namespace crypto = keybroker::crypto;
using namespace keybroker::evidence;
using support::failures;
using support::firmware_log;
using support::reason;
using support::SimulatedGuest;

const std::set<std::uint8_t> kBootPcrs{0, 1, 2, 3, 4, 5, 6, 7};

SimulatedGuest honest_guest() { return support::booted(); }

// The TPM of the honest guest, whatever booted on it before.
support::AttestingTpm& tpm() {
  honest_guest();
  return support::process_tpm();
}

std::string judged(const Evidence& evidence) { return reason(honest_guest().judge(evidence)); }

std::string judged(const Evidence& evidence, const Policy& policy,
                   const Collateral& collateral = honest_guest().collateral()) {
  const auto guest = honest_guest();
  return reason(verify(evidence, policy, collateral, guest.store(), support::mint_begin()));
}

// with_quote() is the honest guest with something else in place of its quote.
Evidence with_quote(QuoteEvidence quote) {
  auto evidence = honest_guest().evidence();
  evidence.quotes = {std::move(quote)};
  return evidence;
}

QuoteEvidence honest_quote() {
  return tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha256, kBootPcrs);
}

bool fails_by(const Evidence& evidence, Reason wanted) {
  const auto verdict = honest_guest().judge(evidence);
  EXPECT_FALSE(verdict.accepted);
  return std::ranges::any_of(verdict.checks,
                             [&](const Check& check) { return check.reason == wanted; });
}

// V1, V8.
TEST(QuoteAttackTest, TheNonceIsComparedInFull) {
  const auto with_nonce = [](base::ByteView nonce) {
    return judged(with_quote(tpm().quote(tpm().rsa_ak(), nonce, crypto::Hash::kSha256, kBootPcrs)));
  };
  const auto right = honest_guest().nonce;
  EXPECT_EQ(with_nonce(right), "accepted");
  auto other = right;
  other.front() ^= std::byte{1};
  EXPECT_EQ(with_nonce(other), "nonce-mismatch");
  EXPECT_EQ(with_nonce(base::ByteView(right).first(right.size() - 1)), "nonce-mismatch");
  auto longer = right;
  longer.push_back(std::byte{0});
  EXPECT_EQ(with_nonce(longer), "nonce-mismatch");
  EXPECT_EQ(with_nonce({}), "nonce-empty");
}

TEST(QuoteAttackTest, AnEmptyNonceProvesNothingWhateverThePolicySays) {
  const auto evidence =
      with_quote(tpm().quote(tpm().rsa_ak(), {}, crypto::Hash::kSha256, kBootPcrs));
  auto policy = honest_guest().policy();
  policy.nonce = Expectation::any();
  EXPECT_EQ(judged(evidence, policy), "nonce-empty");
  policy.nonce = Expectation::one_of({base::Bytes()});
  EXPECT_EQ(judged(evidence, policy), "nonce-empty");
  policy.nonce = {};
  EXPECT_EQ(judged(honest_guest().evidence(), policy), "nonce-unpinned");
}

// V2.
TEST(QuoteAttackTest, AnotherKeyOfTheSameTpmIsNotTheAk) {
  const auto nonce = honest_guest().nonce;
  const auto by_ecc =
      with_quote(tpm().quote(tpm().ecc_ak(), nonce, crypto::Hash::kSha256, kBootPcrs));
  EXPECT_TRUE(fails_by(by_ecc, Reason::kQuoteScheme));
  EXPECT_TRUE(fails_by(by_ecc, Reason::kQuoteSigner));
  const auto by_unrestricted =
      with_quote(tpm().quote(tpm().unrestricted_key(), nonce, crypto::Hash::kSha256, kBootPcrs));
  EXPECT_TRUE(fails_by(by_unrestricted, Reason::kQuoteSigner));
  EXPECT_TRUE(fails_by(by_unrestricted, Reason::kQuoteSignature));
  auto swapped = by_unrestricted;
  swapped.ak.public_area = tpm().unrestricted_key().public_area;
  EXPECT_TRUE(fails_by(swapped, Reason::kAkMismatch));
}

// A key that is not restricted signs any bytes, those that begin with FF 54 43 47 included.
TEST(QuoteAttackTest, AnUnrestrictedKeyForgesQuotesAndIsNoAk) {
  const auto& key = tpm().unrestricted_key();
  auto forged = tpm().quote(key, honest_guest().nonce, crypto::Hash::kSha256, kBootPcrs);
  forged.pcrs.at(7) = base::Bytes(32);
  const auto digest = pcr_digest(forged.pcrs, crypto::Hash::kSha256);
  std::copy(digest.begin(), digest.end(), forged.attest.end() - 32);
  forged.signature = tpm().sign(key, forged.attest);

  auto evidence = with_quote(forged);
  evidence.hcl_report.reset();
  evidence.extended_claims.reset();
  evidence.snp_certificates.clear();
  evidence.event_log.reset();
  evidence.ak.public_area = key.public_area;
  auto policy = honest_guest().policy();
  policy.tees = {keybroker::protocol::TeeFamily::kNone};
  policy.hcl = {};
  policy.ak.names = Expectation::one_of({decode_tpm_public(key.public_area)->name});
  policy.log.required = false;
  policy.boot.reset();
  const auto verdict = verify(evidence, policy, honest_guest().collateral(), honest_guest().store(),
                              support::mint_begin());
  EXPECT_EQ(reason(verdict), "ak-attributes");
  // Everything else about it is right: this one check is all that stands against it.
  EXPECT_EQ(std::ranges::count(verdict.checks, Outcome::kFail, &Check::outcome), 1)
      << failures(verdict);
}

// Where no public area is there, the Name in the claims says what the AK may do.
TEST(QuoteAttackTest, AnAkWithoutPublicAreaIsOfTheTemplate) {
  auto evidence = honest_guest().evidence();
  evidence.ak.public_area.reset();
  EXPECT_EQ(judged(evidence), "accepted");
  auto guest = honest_guest();
  const auto other = *decode_tpm_public(tpm().unrestricted_key().public_area);
  const auto numbers = *other.key.rsa_numbers();
  guest.runtime.keys.front().modulus = numbers.modulus;
  guest.extended.ak_name = other.name;
  evidence = guest.evidence();
  evidence.ak.public_area.reset();
  evidence.quotes = {
      tpm().quote(tpm().unrestricted_key(), guest.nonce, crypto::Hash::kSha256, kBootPcrs)};
  EXPECT_EQ(judged(evidence), "ak-attributes");
}

TEST(QuoteAttackTest, TheEccAkIsAsGood) {
  auto evidence = with_quote(
      tpm().quote(tpm().ecc_ak(), honest_guest().nonce, crypto::Hash::kSha384, kBootPcrs));
  evidence.ak.public_area = tpm().ecc_ak().public_area;
  const auto verdict = honest_guest().judge(evidence);
  EXPECT_TRUE(verdict.accepted) << failures(verdict);
  // But not one that the claims do not name.
  auto guest = honest_guest();
  guest.extended.ecc_ak_name.reset();
  auto unnamed = guest.evidence();
  unnamed.quotes = evidence.quotes;
  unnamed.ak = evidence.ak;
  EXPECT_EQ(judged(unnamed), "ak-mismatch");
}

TEST(QuoteAttackTest, EveryBankThatIsQuotedIsExplained) {
  auto evidence = honest_guest().evidence();
  evidence.quotes.push_back(
      tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha384, kBootPcrs));
  const auto verdict = honest_guest().judge(evidence);
  ASSERT_TRUE(verdict.accepted) << failures(verdict);
  for (const char* check : {"log.sha256.pcr7", "log.sha384.pcr7"}) {
    const auto found = std::ranges::find(verdict.checks, check, &Check::name);
    ASSERT_NE(found, verdict.checks.end()) << check;
    EXPECT_EQ(found->outcome, Outcome::kPass) << check;
  }
  evidence.quotes.push_back(
      tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha512, kBootPcrs));
  // The log has no digests of SHA-512 or SHA-1. It has explained this boot without.
  EXPECT_EQ(judged(evidence), "accepted");
  evidence.quotes.push_back(
      tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha1, kBootPcrs));
  EXPECT_EQ(judged(evidence), "accepted");
  evidence.quotes = {evidence.quotes[2]};
  EXPECT_EQ(judged(evidence), "log-bank-missing");
}

// An AK of another maker may be a child of another key, whose qualified name nobody here knows.
TEST(QuoteAttackTest, TheQualifiedNameIsThatOfOurTemplateOnly) {
  auto evidence = honest_guest().evidence();
  evidence.hcl_report.reset();
  evidence.extended_claims.reset();
  evidence.snp_certificates.clear();
  auto policy = honest_guest().policy();
  policy.tees = {keybroker::protocol::TeeFamily::kNone};
  policy.hcl = {};
  (*evidence.ak.public_area)[6] ^= std::byte{0x04};  // noDA, which changes the Name
  policy.ak.names = Expectation::one_of({decode_tpm_public(*evidence.ak.public_area)->name});
  EXPECT_EQ(judged(evidence, policy), "accepted");
}

// V3.
TEST(QuoteAttackTest, PcrValuesAreThoseThatWereSelected) {
  auto quote = honest_quote();
  quote.pcrs[7][0] ^= std::byte{1};
  EXPECT_EQ(judged(with_quote(quote)), "pcr-digest");
  quote = honest_quote();
  std::swap(quote.pcrs[0], quote.pcrs[7]);
  EXPECT_EQ(judged(with_quote(quote)), "pcr-digest");
  quote = honest_quote();
  quote.pcrs[8] = base::Bytes(32);
  EXPECT_EQ(judged(with_quote(quote)), "pcr-set");
  quote = honest_quote();
  quote.pcrs.erase(7);
  EXPECT_EQ(judged(with_quote(quote)), "pcr-set");
  quote = honest_quote();
  quote.pcrs[7].pop_back();
  EXPECT_EQ(judged(with_quote(quote)), "pcr-set");
  const auto without_7 = tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha256,
                                     {0, 1, 2, 3, 4, 5, 6});
  EXPECT_EQ(judged(with_quote(without_7)), "quote-selection");
}

// The guest can reset PCR 16 and extend it to what PCR 0 should hold. Verifiers that look at the
// digest alone take the one for the other.
TEST(QuoteAttackTest, APcrIsNotAnotherThatHasItsValue) {
  auto log = firmware_log();
  std::erase_if(log.events, [](const LogEvent& event) { return event.index != 0; });
  for (auto& event : log.events) {
    event.index = 16;
  }
  tpm().measure(log);
  ASSERT_EQ(tpm().pcr(crypto::Hash::kSha256, 16), tpm().pcr(crypto::Hash::kSha256, 0));
  auto policy = honest_guest().policy();
  policy.quote.pcrs = {0};
  auto quote = tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha256, {16});
  const auto value = quote.pcrs.at(16);
  EXPECT_EQ(judged(with_quote(quote), policy), "quote-selection");
  quote.pcrs = {{0, value}};
  EXPECT_EQ(judged(with_quote(quote), policy), "quote-selection");
  quote.pcrs.clear();
  quote.listed_pcrs = {value};
  EXPECT_EQ(judged(with_quote(quote), policy), "quote-selection");
  policy.quote.pcrs = {};
  quote.listed_pcrs.clear();
  quote.pcrs = {{0, value}};
  EXPECT_EQ(judged(with_quote(quote), policy), "pcr-set");
}

// V4.
TEST(QuoteAttackTest, Sha1DecidesNothing) {
  auto evidence =
      with_quote(tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha1, kBootPcrs));
  EXPECT_TRUE(fails_by(evidence, Reason::kQuoteBankWeak));
  auto policy = honest_guest().policy();
  policy.quote.banks = {crypto::Hash::kSha384};
  policy.log.required = false;
  policy.boot.reset();
  auto plain = honest_guest().evidence();
  plain.event_log.reset();
  EXPECT_EQ(judged(plain, policy), "quote-bank-weak");
}

// V4, V5, V7: the structure itself. Its selection begins 2 + 32 bytes and its own 10 before the
// end.
TEST(QuoteAttackTest, TheStructureHasOneForm) {
  const auto changed = [](auto change) {
    auto quote = honest_quote();
    change(quote.attest);
    return judged(with_quote(quote));
  };
  EXPECT_EQ(changed([](base::Bytes& attest) { attest[0] = std::byte{0}; }), "quote-type");
  EXPECT_EQ(changed([](base::Bytes& attest) { attest[5] = std::byte{0x17}; }), "quote-type");
  EXPECT_EQ(changed([](base::Bytes& attest) { attest.push_back(std::byte{0}); }),
            "quote-malformed");
  const auto selection = honest_quote().attest.size() - 34 - 10;
  for (const auto size : {0, 4, 255}) {
    EXPECT_EQ(changed([&](base::Bytes& attest) {
                attest.at(selection + 6) = static_cast<std::byte>(size);
              }),
              "quote-malformed")
        << size;
  }
  EXPECT_EQ(changed([&](base::Bytes& attest) { attest.at(selection + 3) = std::byte{0}; }),
            "quote-malformed");
  const auto whole = honest_quote().attest;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto read = read_tpm_quote(base::ByteView(whole).first(size));
    EXPECT_FALSE(read.quote) << size;
    EXPECT_TRUE(read.finding) << size;
  }
  for (std::size_t at = 6; at + 1 < whole.size(); ++at) {
    auto spoilt = whole;
    spoilt[at] = spoilt[at + 1] = std::byte{0xFF};
    EXPECT_NE(judged(with_quote({.attest = spoilt,
                                 .signature = honest_quote().signature,
                                 .pcrs = honest_quote().pcrs})),
              "accepted")
        << at;
  }
}

// V4: a quote over two banks at once has one digest over both, which no list of values explains.
TEST(QuoteAttackTest, AQuoteSelectsFromOneBank) {
  auto quote = honest_quote();
  // A second selection behind the first, and the counter before them.
  const auto selection = quote.attest.size() - 34 - 10;
  const base::Bytes again(quote.attest.begin() + static_cast<std::ptrdiff_t>(selection) + 4,
                          quote.attest.begin() + static_cast<std::ptrdiff_t>(selection) + 10);
  quote.attest.insert(quote.attest.begin() + static_cast<std::ptrdiff_t>(selection) + 10,
                      again.begin(), again.end());
  quote.attest[selection + 3] = std::byte{2};
  EXPECT_TRUE(fails_by(with_quote(quote), Reason::kQuoteBanks));
}

// V5.
TEST(QuoteAttackTest, AnotherAttestationOfTheSameAkIsNoQuote) {
  auto time = tpm().certify_time(tpm().rsa_ak(), honest_guest().nonce);
  time.pcrs = honest_quote().pcrs;
  EXPECT_EQ(judged(with_quote(time)), "quote-type");
}

// V6, and V7 for the signature.
TEST(QuoteAttackTest, TheSignatureIsOfTheSchemeThatItSays) {
  const auto changed = [](auto change) {
    auto quote = honest_quote();
    change(quote.signature);
    return judged(with_quote(quote));
  };
  EXPECT_EQ(changed([](base::Bytes& signature) { signature[1] = std::byte{0x16}; }),
            "quote-scheme");  // RSAPSS
  EXPECT_EQ(changed([](base::Bytes& signature) { signature[3] = std::byte{0x04}; }),
            "quote-scheme");  // SHA-1
  EXPECT_EQ(changed([](base::Bytes& signature) { signature[3] = std::byte{0x0C}; }),
            "quote-scheme");  // SHA-384
  EXPECT_EQ(changed([](base::Bytes& signature) { signature[1] = std::byte{0x18}; }),
            "quote-scheme");  // ECDSA
  EXPECT_EQ(changed([](base::Bytes& signature) { signature.back() ^= std::byte{1}; }),
            "quote-signature");
  EXPECT_EQ(changed([](base::Bytes& signature) { signature.push_back(std::byte{0}); }),
            "quote-scheme");
  const auto whole = honest_quote().signature;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_tpm_signature(base::ByteView(whole).first(size))) << size;
  }
}

// V10.
TEST(QuoteAttackTest, CountersDoNotGoBack) {
  const auto guest = honest_guest();
  const auto clock = read_tpm_quote(guest.evidence().quotes[0].attest).quote->clock;
  auto policy = guest.policy();
  policy.quote.last_seen = clock;
  EXPECT_EQ(judged(guest.evidence(), policy), "accepted");
  policy.quote.last_seen->reset_count = clock.reset_count + 1;
  EXPECT_EQ(judged(guest.evidence(), policy), "quote-counters");
  policy.quote.last_seen = clock;
  policy.quote.last_seen->restart_count = clock.restart_count + 1;
  EXPECT_EQ(judged(guest.evidence(), policy), "quote-counters");
}

TEST(QuoteAttackTest, AQuoteThatIsWantedMustBeThere) {
  auto evidence = honest_guest().evidence();
  evidence.quotes.clear();
  EXPECT_TRUE(fails_by(evidence, Reason::kQuoteMissing));
}

TEST(QuoteAttackTest, PcrsHaveTheValuesThatThePolicyNames) {
  const auto guest = honest_guest();
  auto policy = guest.policy();
  auto& values = policy.quote.values[crypto::Hash::kSha256];
  values[4] = Expectation::one_of({tpm().pcr(crypto::Hash::kSha256, 4)});
  EXPECT_EQ(judged(guest.evidence(), policy), "accepted");
  values[4] = Expectation::one_of({base::Bytes(32)});
  EXPECT_EQ(judged(guest.evidence(), policy), "pcr-unexpected");
  values.clear();
  values[9] = Expectation::one_of({base::Bytes(32)});
  EXPECT_EQ(judged(guest.evidence(), policy), "quote-selection");
}

// Whoever makes the quotes chooses their bank.
TEST(QuoteAttackTest, ValuesOfABankNeedAQuoteOfIt) {
  auto policy = honest_guest().policy();
  policy.quote.values[crypto::Hash::kSha256][4] = Expectation::one_of({base::Bytes(32)});
  const auto other =
      tpm().quote(tpm().rsa_ak(), honest_guest().nonce, crypto::Hash::kSha384, kBootPcrs);
  EXPECT_EQ(judged(with_quote(other), policy), "pcr-unexpected");
  policy.quote.values[crypto::Hash::kSha256][4] =
      Expectation::one_of({tpm().pcr(crypto::Hash::kSha256, 4)});
  EXPECT_EQ(judged(with_quote(other), policy), "pcr-unexpected");
  auto both = with_quote(other);
  both.quotes.push_back(honest_quote());
  EXPECT_EQ(judged(both, policy), "accepted");
  // Nor does leaving out each quote help, nor a bank that decides nothing.
  policy.quote.required = policy.log.required = false;
  policy.boot.reset();
  auto none = honest_guest().evidence();
  none.quotes.clear();
  none.event_log.reset();
  policy.nonce = Expectation::any();
  EXPECT_EQ(judged(none, policy), "pcr-unexpected");
  policy.quote.banks = {crypto::Hash::kSha384};
  EXPECT_EQ(judged(both, policy), "pcr-unexpected");
}

// Without a TEE nothing but the policy or a certificate vouches for an AK.
TEST(QuoteAttackTest, AnAkThatNobodyVouchesForIsRefused) {
  auto evidence = honest_guest().evidence();
  evidence.hcl_report.reset();
  evidence.extended_claims.reset();
  evidence.snp_certificates.clear();
  auto policy = honest_guest().policy();
  policy.tees = {keybroker::protocol::TeeFamily::kNone};
  policy.hcl = {};
  EXPECT_EQ(judged(evidence, policy), "ak-untrusted");
  policy.ak.names = Expectation::one_of({decode_tpm_public(tpm().rsa_ak().public_area)->name});
  EXPECT_EQ(judged(evidence, policy), "accepted");
  policy.ak.names = Expectation::one_of({base::Bytes(34)});
  EXPECT_EQ(judged(evidence, policy), "ak-untrusted");
}

}  // namespace
}  // namespace tests::integration
