// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/verify.h"

#include <algorithm>

#include "keybroker/evidence/ak_certificate.h"
#include "keybroker/evidence/certificate_checks.h"

namespace keybroker::evidence {

namespace {

using protocol::TeeFamily;

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::size_t size_of(const std::optional<base::Bytes>& bytes) { return bytes ? bytes->size() : 0; }

// Everything but the event logs, which have a limit of their own.
std::size_t total_bytes(const Evidence& evidence) {
  std::size_t total = size_of(evidence.snp_report) + size_of(evidence.td_quote) +
                      size_of(evidence.td_report) + size_of(evidence.hcl_report) +
                      size_of(evidence.ak.public_area) +
                      (evidence.extended_claims ? evidence.extended_claims->size() : 0);
  for (const auto& certificate : evidence.snp_certificates) {
    total += certificate.der().size();
  }
  for (const auto& certificate : evidence.ak.certificates) {
    total += certificate.size();
  }
  for (const auto& quote : evidence.quotes) {
    total += quote.attest.size() + quote.signature.size() + quote.pcrs.size() * 64 +
             quote.listed_pcrs.size() * 64;
  }
  return total;
}

// More than the banks of a TPM, and than any chain is long.
constexpr std::size_t kMostQuotes = 8;
constexpr std::size_t kMostAkCertificates = 8;

std::optional<Finding> examine_envelope(const Evidence& evidence) {
  if (!evidence.snp_report && !evidence.td_quote && !evidence.td_report && !evidence.hcl_report &&
      evidence.quotes.empty()) {
    return found(Reason::kEvidenceEmpty, "there is no report, no quote and no claims");
  }
  if (total_bytes(evidence) > kMaxEvidenceBytes || size_of(evidence.event_log) > kMaxLogBytes ||
      size_of(evidence.cc_event_log) > kMaxLogBytes) {
    return found(Reason::kEvidenceTooLarge, "the evidence is larger than 1 MiB, or a log than 16");
  }
  if (evidence.quotes.size() > kMostQuotes ||
      evidence.ak.certificates.size() > kMostAkCertificates) {
    return found(Reason::kEvidenceTooLarge,
                 "there are more than 8 quotes, or more than 8 certificates of an AK");
  }
  return std::nullopt;
}

// The hardware statement that the evidence rests on, wherever it stands in it.
struct Statement {
  TeeFamily tee = TeeFamily::kNone;
  std::optional<base::Bytes> snp_report{};
  std::optional<Finding> contradiction{};
};

Statement statement_of(const Evidence& evidence) {
  Statement statement;
  statement.snp_report = evidence.snp_report;
  if (evidence.hcl_report) {
    const auto hcl = decode_hcl_report(*evidence.hcl_report);
    if (hcl && hcl->type == HclReportType::kSnp) {
      if (statement.snp_report && *statement.snp_report != hcl->hardware_report) {
        statement.contradiction = found(Reason::kEvidenceContradiction,
                                        "there are two SNP reports, one in the HCL report");
      }
      statement.snp_report = hcl->hardware_report;
    }
  }
  if (statement.snp_report && evidence.td_quote) {
    statement.contradiction =
        found(Reason::kEvidenceContradiction, "there is an SNP report and a TDX quote");
  }
  statement.tee = statement.snp_report ? TeeFamily::kSevSnp
                  : evidence.td_quote  ? TeeFamily::kTdx
                                       : TeeFamily::kNone;
  return statement;
}

std::optional<Finding> examine_tee(const Evidence& evidence, const Statement& statement,
                                   const Policy& policy) {
  if (statement.tee == TeeFamily::kNone && evidence.td_report && !evidence.hcl_report) {
    return found(Reason::kTdReportIsNoEvidence, "a TDREPORT without a quote");
  }
  if (!policy.tees.contains(statement.tee)) {
    return found(Reason::kTeeRefused, "the evidence is of the TEE family '" +
                                          std::string(protocol::name(statement.tee)) + "'");
  }
  return std::nullopt;
}

// One verification: what all its parts need.
class Verification {
 public:
  Verification(const Evidence& evidence, const Policy& policy, const Collateral& collateral,
               const TrustStore& store, crypto::Time now)
      : evidence_(evidence), policy_(policy), collateral_(collateral), store_(store), now_(now) {}

  Verdict run() {
    claims_.root_class = store_.root_class();
    claims_.verified_at = now_;
    if (!list_.judge("evidence.envelope", examine_envelope(evidence_))) {
      return finish();
    }
    const auto statement = statement_of(evidence_);
    claims_.tee = statement.tee;
    list_.judge("evidence.parts", statement.contradiction);
    list_.judge("evidence.tee", examine_tee(evidence_, statement, policy_));
    if (statement.tee == TeeFamily::kSevSnp) {
      judge_snp(*statement.snp_report);
    } else if (statement.tee == TeeFamily::kTdx) {
      judge_tdx();
    }
    tee_stands_ = stands(list_.checks());
    judge_report_data();
    judge_hcl();
    judge_tpm();
    judge_logs();
    return finish();
  }

 private:
  void judge_snp(const base::Bytes& report) {
    const auto certificates =
        complete_snp_chain(evidence_.snp_certificates, collateral_.snp_authorities);
    const auto chain =
        judge_snp_chain(certificates, {store_, collateral_.snp_crls, policy_.snp.crl, now_});
    claims_.snp = judge_snp_report(report, chain, policy_.snp, list_);
    if (claims_.snp) {
      bound_report_ = BoundReport{HclReportType::kSnp, claims_.snp->report.report_data,
                                  base::copy_of(claims_.snp->report.host_data), std::nullopt};
    }
  }

  void judge_tdx() {
    const TdxRules rules{store_, collateral_.tdx, now_, policy_.tdx.grace};
    const auto read = read_td_quote(*evidence_.td_quote);
    const auto chain = judge_pck_chain(read.quote ? read.quote->pck_chain : "", rules);
    const auto documents = judge_tdx_collateral(chain.platform, rules);
    claims_.tdx =
        judge_td_quote(*evidence_.td_quote, read, chain, documents, policy_.tdx, now_, list_);
    if (claims_.tdx) {
      const auto& body = claims_.tdx->quote.body;
      bound_report_ = BoundReport{HclReportType::kTdx, body.report_data,
                                  base::copy_of(body.mr_config_id), body.mr_td};
    }
  }

  // A report without claims says something only by its report data.
  void judge_report_data() {
    const std::string check = "report_data";
    if (policy_.report_data.is_list() && bound_report_) {
      judge_expected(list_, check, policy_.report_data, bound_report_->report_data,
                     Reason::kReportDataMismatch, "report data");
    } else if (evidence_.hcl_report || !bound_report_ || policy_.report_data.is_set()) {
      list_.not_asked(check, evidence_.hcl_report ? "the claims explain it"
                                                  : "the policy takes any report data");
    } else {
      list_.fail(check, Reason::kReportDataUnpinned, "the policy names no report data");
    }
  }

  void judge_hcl() {
    if (!evidence_.hcl_report) {
      judge_no_claims(policy_.hcl, claims_.tee, list_);
      return;
    }
    const auto* nonce = evidence_.quotes.empty() ? &policy_.nonce : nullptr;
    auto judged = judge_claims(*evidence_.hcl_report, evidence_.extended_claims, bound_report_,
                               nonce, policy_.hcl, list_);
    claims_.claims_bound = judged.bound && tee_stands_;
    claims_.runtime = std::move(judged.runtime);
    claims_.extended = std::move(judged.extended);
  }

  void judge_tpm() {
    JudgedAk ak;
    const bool wanted = !evidence_.quotes.empty() || !evidence_.ak.empty() ||
                        policy_.quote.required || policy_.ak.require_certificate ||
                        policy_.ak.names.is_list() || policy_.ak.keys.is_list() ||
                        !policy_.ak.classes.empty();
    if (wanted) {
      const AkClaims ak_claims{
          claims_.runtime ? &*claims_.runtime : nullptr,
          claims_.extended ? &*claims_.extended : nullptr, claims_.claims_bound,
          evidence_.hcl_report && claims_.tee != TeeFamily::kNone && !claims_.claims_bound};
      ak = judge_ak(evidence_.ak, ak_claims, collateral_.ak, policy_.ak, now_, list_);
      claims_.ak_statement =
          judge_ak_certificate(ak, {policy_.hcl.vm_id, ak_claims}, policy_.ak, store_, list_);
    } else {
      not_ask_ak(list_);
    }
    claims_.ak = ak.key;
    claims_.ak_certificate_until = ak.certificate_until;
    if (ak.name_is_certain) {
      claims_.ak_name = ak.name;
    }
    // Without a TEE nothing but a quote says anything.
    auto quote_policy = policy_.quote;
    quote_policy.required = quote_policy.required || claims_.tee == TeeFamily::kNone;
    claims_.quotes = judge_quotes(evidence_.quotes, ak, policy_.nonce, quote_policy, list_);
  }

  void judge_logs() {
    const bool has_rtmr_log = evidence_.cc_event_log && claims_.tdx;
    if (evidence_.event_log) {
      judge_pcr_log(*evidence_.event_log);
    } else if (policy_.log.required && (!has_rtmr_log || !evidence_.quotes.empty())) {
      list_.fail("log", Reason::kLogMissing, "the evidence has no event log");
    } else {
      list_.not_asked("log", "the evidence has no event log of PCRs");
    }
    if (has_rtmr_log) {
      judge_rtmr_log(*evidence_.cc_event_log);
    } else {
      list_.not_asked("cc_log", "the evidence has no event log of RTMRs");
    }
    // A policy that wants something of the boot and looks at no register that tells of it would
    // leave the reader of the verdict without a reason.
    if (policy_.boot) {
      const bool told = has_rtmr_log || policy_.quote.pcrs.contains(7);
      list_.judge("boot.pcrs",
                  told ? std::nullopt
                       : found(Reason::kBootPcrMissing, "the policy does not look at PCR 7"));
    } else {
      list_.not_asked("boot.pcrs", "the policy wants nothing of the boot");
    }
    judge_boot(claims_.secure_boot, policy_.boot, list_);
  }

  std::optional<EventLog> read_log(const std::string& check, const base::Bytes& bytes) {
    auto log = decode_event_log(bytes);
    if (!log) {
      list_.fail(check, Reason::kLogMalformed, log.error().message);
      list_.not_run(check + ".data", "the event log cannot be read");
      return std::nullopt;
    }
    list_.pass(check, std::to_string(log->events.size()) + " events");
    return *std::move(log);
  }

  void judge_pcr_log(const base::Bytes& bytes) {
    const auto log = read_log("log", bytes);
    if (!log) {
      return;
    }
    const auto bank = judge_quoted_pcrs(*log);
    if (!policy_.quote.pcrs.contains(7)) {
      list_.not_asked("log.data", "the policy does not look at PCR 7");
    } else if (!bank) {
      list_.not_run("log.data", "the log does not lead to values that somebody vouches for");
    } else {
      keep_boot("log.data", read_secure_boot(*log, *bank, Registers::kPcrs));
    }
  }

  // The quote of the TD itself vouches for the RTMRs.
  void judge_rtmr_log(const base::Bytes& bytes) {
    const auto log = read_log("cc_log", bytes);
    if (!log) {
      return;
    }
    std::map<std::uint32_t, base::Bytes> actual;
    for (std::uint32_t i = 0; i < 4; ++i) {
      actual[i + 1] = base::copy_of(claims_.tdx->quote.body.rtmr.at(i));
    }
    if (judge_replay(*log, crypto::Hash::kSha384, Registers::kRtmrs, actual, list_)) {
      keep_boot("cc_log.data", read_secure_boot(*log, crypto::Hash::kSha384, Registers::kRtmrs));
    } else {
      list_.not_run("cc_log.data", "the log does not lead to the RTMRs");
    }
  }

  // The PCRs say more about a boot than the RTMRs, where both are there.
  void keep_boot(const std::string& check, SecureBootState state) {
    list_.judge(check, state.data);
    if (!claims_.secure_boot) {
      claims_.secure_boot = std::move(state);
    }
  }

  // A log explains the PCRs that the policy asks for, in each bank that decides. Where it has
  // explained one, it need not have the others.
  std::optional<crypto::Hash> judge_quoted_pcrs(const EventLog& log) {
    std::optional<crypto::Hash> bank;
    bool explained = false;
    for (const bool in_log : {true, false}) {
      for (const auto& quote : claims_.quotes) {
        if (log.has_bank(tpm_of_hash(quote.bank)) != in_log) {
          continue;
        }
        if (!quote.decides || (!in_log && explained)) {
          list_.not_asked("log." + bank_name(quote.bank) + ".bank",
                          quote.decides ? "the log explains a quote of another bank"
                                        : "its bank decides nothing");
          continue;
        }
        const auto actual = wanted_pcrs(quote);
        if (judge_replay(log, quote.bank, Registers::kPcrs, actual, list_)) {
          explained = true;
          bank = bank || !actual.contains(7) ? bank : quote.bank;
        }
      }
    }
    return bank;
  }

  [[nodiscard]] std::map<std::uint32_t, base::Bytes> wanted_pcrs(const QuoteClaims& quote) const {
    std::map<std::uint32_t, base::Bytes> wanted;
    for (const auto pcr : policy_.quote.pcrs) {
      if (const auto value = quote.pcrs.find(pcr); value != quote.pcrs.end()) {
        wanted[pcr] = value->second;
      }
    }
    return wanted;
  }

  Verdict finish() {
    Verdict verdict;
    verdict.accepted = list_.accepted();
    if (const auto* failed = list_.first_failure()) {
      verdict.reason = failed->reason;
      verdict.detail = failed->detail;
    }
    if (verdict.accepted) {
      verdict.claims = std::move(claims_);
    }
    verdict.checks = std::move(list_).take();
    return verdict;
  }

  const Evidence& evidence_;
  const Policy& policy_;
  const Collateral& collateral_;
  const TrustStore& store_;
  crypto::Time now_;
  Checklist list_;
  Claims claims_{};
  std::optional<BoundReport> bound_report_;
  bool tee_stands_ = false;
};

}  // namespace

base::Bytes snp_report_of(const Evidence& evidence) {
  return statement_of(evidence).snp_report.value_or(base::Bytes());
}

std::optional<SnpSigningKey> snp_signing_key(const Evidence& evidence) {
  const auto report = decode_snp_report(snp_report_of(evidence));
  return report ? std::optional(report->signing_key) : std::nullopt;
}

Verdict verify(const Evidence& evidence, const Policy& policy, const Collateral& collateral,
               const TrustStore& store, crypto::Time now) {
  return Verification(evidence, policy, collateral, store, now).run();
}

}  // namespace keybroker::evidence
