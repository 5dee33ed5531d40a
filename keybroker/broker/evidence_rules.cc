// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/evidence_rules.h"

#include <algorithm>

#include "keybroker/evidence/snp_chain.h"
#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/td_quote.h"
#include "keybroker/protocol/release_claims.h"

namespace keybroker::broker {

namespace {

using evidence::Expectation;
using protocol::TeeFamily;

evidence::Policy policy_for(const ReleaseSubject& subject, const evidence::Policy& given) {
  auto policy = given;
  policy.tees = {subject.family};
  const auto report_data = protocol::release_report_data(subject.claims);
  policy.report_data = Expectation::one_of({base::copy_of(report_data)});
  const auto launch = Expectation::one_of({subject.launch});
  policy.snp.host_data = launch;
  policy.snp.vmpls = {0};
  policy.snp.allow_debug = false;
  policy.tdx.mr_config_id = launch;
  policy.tdx.allow_debug = false;
  // There is no guest yet that a TPM or a log could speak of.
  policy.hcl = {};
  policy.ak = {};
  policy.quote = {};
  policy.log = {};
  policy.boot.reset();
  return policy;
}

std::optional<std::array<std::byte, 64>> report_data_of(const evidence::Evidence& shown) {
  if (shown.snp_report) {
    const auto report = evidence::decode_snp_report(*shown.snp_report);
    return report ? std::optional(report->report_data) : std::nullopt;
  }
  const auto quote = evidence::decode_td_quote(*shown.td_quote);
  return quote ? std::optional(quote->body.report_data) : std::nullopt;
}

// A report for guests has a digest of 32 bytes, and nothing behind it.
bool is_for_guests(const evidence::Evidence& shown) {
  const auto report_data = report_data_of(shown);
  return report_data && base::is_all_zero(base::ByteView(*report_data).subspan(32));
}

}  // namespace

Outcome<evidence::Claims> judge_release_evidence(base::ByteView report, base::ByteView table,
                                                 const ReleaseSubject& subject,
                                                 const EvidenceRules& rules, crypto::Time now,
                                                 evidence::Verdict& verdict) {
  if (subject.root_class == evidence::RootClass::kSimulated && !rules.simulated) {
    return refuse(RefusalReason::kSimulatedNotAccepted, "");
  }
  evidence::Evidence shown;
  if (subject.family == TeeFamily::kSevSnp) {
    shown.snp_report = base::copy_of(report);
    if (!table.empty()) {
      auto certificates = evidence::certificates_of_table(table, evidence::snp_signing_key(shown));
      if (!certificates) {
        return refuse(RefusalReason::kCertificateTableMalformed, certificates.error().message);
      }
      shown.snp_certificates = *std::move(certificates);
    }
  } else {
    shown.td_quote = base::copy_of(report);
  }
  const auto collateral = rules.collateral(shown);
  if (!collateral) {
    return tl::unexpected<Failure>(collateral.error());
  }
  const auto& store = subject.root_class == evidence::RootClass::kSimulated
                          ? *rules.simulated
                          : evidence::TrustStore::production();
  verdict = evidence::verify(shown, policy_for(subject, rules.policy), *collateral, store, now);
  if (verdict.accepted) {
    return *verdict.claims;
  }
  if (verdict.reason == evidence::Reason::kReportDataMismatch && is_for_guests(shown)) {
    return refuse(RefusalReason::kGuestReport, "");
  }
  return tl::unexpected<Failure>(refusal(verdict));
}

}  // namespace keybroker::broker
