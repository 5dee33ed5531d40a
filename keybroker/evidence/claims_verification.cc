// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/claims_verification.h"

#include <algorithm>

#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::evidence {

namespace {

constexpr std::initializer_list<const char*> kAllButFirst{
    "hcl.form",      "hcl.tee",        "hcl.td_report",   "hcl.quote",
    "claims.hash",   "claims.binding", "claims",          "claims.extended",
    "claims.launch", "claims.vm_id",   "claims.user_data"};

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::optional<Finding> examine_tee(const HclReport& hcl, const std::optional<BoundReport>& report) {
  const auto expected = report ? report->type : HclReportType::kTrustedVm;
  if (hcl.type != expected) {
    return found(Reason::kHclTeeType, "the HCL report has type " +
                                          std::to_string(static_cast<int>(hcl.type)) +
                                          ", the hardware evidence has type " +
                                          std::to_string(static_cast<int>(expected)));
  }
  return std::nullopt;
}

// A TDREPORT counts only if the quote repeats it.
void judge_td_report(const HclReport& hcl, const std::optional<BoundReport>& report,
                     Checklist& list) {
  if (hcl.type != HclReportType::kTdx) {
    list.not_asked("hcl.td_report", "the HCL report has no TDREPORT");
    list.not_asked("hcl.quote", "the HCL report has no TDREPORT");
    return;
  }
  const auto td_report = decode_td_report(hcl.hardware_report);
  if (!td_report) {
    list.fail("hcl.td_report", Reason::kTdReportMalformed, td_report.error().message);
    list.not_run("hcl.quote", "the TDREPORT cannot be read");
    return;
  }
  list.pass("hcl.td_report");
  if (!report || !report->mr_td) {
    list.not_run("hcl.quote", "there is no quote to compare it with");
    return;
  }
  const bool same =
      td_report->report_data == report->report_data && td_report->mr_td == *report->mr_td;
  list.judge("hcl.quote",
             same ? std::nullopt
                  : found(Reason::kTdReportMismatch,
                          "the quote and the TDREPORT have another REPORTDATA or MRTD"));
}

std::optional<Finding> examine_binding(const HclReport& hcl,
                                       const std::array<std::byte, 64>& report_data) {
  const auto digest = crypto::digest(hcl.hash, base::bytes_of(hcl.claims));
  const base::ByteView data(report_data);
  if (!std::ranges::equal(data.first(digest.size()), digest)) {
    return found(Reason::kClaimsBinding, "the report data is not the hash of the claims");
  }
  if (!base::is_all_zero(data.subspan(digest.size()))) {
    return found(Reason::kClaimsBinding, "the report data has more than the hash of the claims");
  }
  return std::nullopt;
}

void judge_binding(const HclReport& hcl, const std::optional<BoundReport>& report,
                   const HclPolicy& policy, Checklist& list) {
  list.judge("claims.hash",
             hcl.hash == policy.hash
                 ? std::nullopt
                 : found(Reason::kHclHashType,
                         "the claims are bound by " + std::string(crypto::name(hcl.hash))));
  if (!report) {
    list.not_asked("claims.binding",
                   "an ordinary VM has no hardware report: its claims are its own word");
    return;
  }
  list.judge("claims.binding", examine_binding(hcl, report->report_data));
}

// Extended claims count only if the runtime claims commit to them.
void judge_extended(const protocol::RuntimeClaims& runtime,
                    const std::optional<std::string>& extended_claims, JudgedClaims& judged,
                    Checklist& list) {
  const std::string check = "claims.extended";
  if (!runtime.extended_digest) {
    if (extended_claims) {
      list.fail(check, Reason::kExtendedClaimsBinding, "the claims commit to no extended claims");
    } else {
      list.not_asked(check, "the claims commit to no extended claims");
    }
    return;
  }
  if (!extended_claims) {
    list.fail(check, Reason::kExtendedClaimsMissing, "the extended claims are not there");
    return;
  }
  if (vmgs::crypto::sha256(base::bytes_of(*extended_claims)) != *runtime.extended_digest) {
    list.fail(check, Reason::kExtendedClaimsBinding,
              "the extended claims are not those that the claims commit to");
    return;
  }
  auto extended = protocol::decode_extended_claims(*extended_claims);
  if (!extended) {
    list.fail(check, Reason::kClaimsMalformed, extended.error().message);
    return;
  }
  judged.extended = *std::move(extended);
  list.pass(check);
}

void judge_launch(const JudgedClaims& judged, const std::optional<BoundReport>& report,
                  Checklist& list) {
  const std::string check = "claims.launch";
  if (!judged.extended || !report) {
    list.not_asked(check, "no claims say which launch document was used");
    return;
  }
  list.judge(check, judged.extended->launch == report->launch
                        ? std::nullopt
                        : found(Reason::kLaunchMismatch, "the claims name the launch digest " +
                                                             base::to_hex(judged.extended->launch) +
                                                             ", the hardware report has " +
                                                             base::to_hex(report->launch)));
}

// Both places that name the VM must name the one that is expected, and each other's.
std::optional<Finding> examine_vm_id(const JudgedClaims& judged, const HclPolicy& policy) {
  const auto named = protocol::parse_uuid(judged.runtime->vm.vm_unique_id);
  if (policy.vm_id && (!named || *named != *policy.vm_id)) {
    return found(Reason::kVmIdMismatch, "the claims are of VM " +
                                            judged.runtime->vm.vm_unique_id.substr(0, 40) +
                                            ", expected " + protocol::uuid_text(*policy.vm_id));
  }
  if (judged.extended && (!named || *named != judged.extended->vm_id)) {
    return found(Reason::kVmIdMismatch, "claims and extended claims name different VMs");
  }
  return std::nullopt;
}

void judge_vm_id(const JudgedClaims& judged, const HclPolicy& policy, Checklist& list) {
  const auto finding = examine_vm_id(judged, policy);
  if (!finding && !policy.vm_id) {
    list.not_asked("claims.vm_id", "the policy names no VM");
    return;
  }
  list.judge("claims.vm_id", finding);
}

base::Bytes extended_by_zero(base::Bytes bytes) {
  bytes.resize(sizeof(protocol::UserData));
  return bytes;
}

// The nonce of the boot-time flow is in front of the user data, which is compared in full.
std::optional<Finding> examine_nonce(const std::optional<protocol::UserData>& user_data,
                                     const Expectation& nonce) {
  switch (nonce.kind) {
    case Expectation::Kind::kUnset:
      return found(Reason::kNonceUnpinned, "the policy names no nonce");
    case Expectation::Kind::kAny:
      return std::nullopt;
    case Expectation::Kind::kOneOf:
      break;
  }
  if (!user_data) {
    return found(Reason::kNonceEmpty, "the claims carry no user data");
  }
  const bool known = std::ranges::any_of(nonce.values, [&](const base::Bytes& value) {
    return !value.empty() && value.size() <= user_data->size() &&
           vmgs::crypto::equal_in_constant_time(extended_by_zero(value), *user_data);
  });
  return known ? std::nullopt
               : found(Reason::kNonceMismatch,
                       "the claims were made for the user data " + base::to_hex(*user_data));
}

void judge_user_data(const protocol::RuntimeClaims& runtime, const Expectation* nonce,
                     const HclPolicy& policy, Checklist& list) {
  const std::string check = "claims.user_data";
  if (policy.user_data.is_list()) {
    const auto user_data = runtime.user_data ? base::copy_of(*runtime.user_data) : base::Bytes();
    judge_expected(list, check, policy.user_data, user_data, Reason::kUserDataMismatch,
                   "user data");
  } else if (nonce != nullptr) {
    list.judge(check, examine_nonce(runtime.user_data, *nonce),
               nonce->is_list() ? "" : "any nonce is taken: freshness is not checked");
  } else {
    list.not_asked(check, "the policy names no user data, and the quote carries the nonce");
  }
}

}  // namespace

JudgedClaims judge_claims(base::ByteView hcl_report,
                          const std::optional<std::string>& extended_claims,
                          const std::optional<BoundReport>& report, const Expectation* nonce,
                          const HclPolicy& policy, Checklist& list) {
  JudgedClaims judged;
  const auto hcl = decode_hcl_report(hcl_report);
  if (!hcl) {
    list.fail("hcl", Reason::kHclMalformed, hcl.error().message);
    list.not_run(kAllButFirst, "the HCL report cannot be read");
    return judged;
  }
  list.pass("hcl");
  if (policy.own_form) {
    list.judge("hcl.form", has_own_form(hcl_report)
                               ? std::nullopt
                               : found(Reason::kHclForm, "our vTPM does not write this form"));
  } else {
    list.not_asked("hcl.form", "the policy takes reports of any maker");
  }
  const auto before = list.checks().size();
  list.judge("hcl.tee", examine_tee(*hcl, report));
  judge_td_report(*hcl, report, list);
  judge_binding(*hcl, report, policy, list);
  judged.bound = report && std::all_of(list.checks().begin() + static_cast<std::ptrdiff_t>(before),
                                       list.checks().end(), [](const Check& check) {
                                         return check.outcome == Outcome::kPass ||
                                                check.outcome == Outcome::kNotAsked;
                                       });
  auto runtime = protocol::decode_runtime_claims(hcl->claims);
  if (!runtime) {
    list.fail("claims", Reason::kClaimsMalformed, runtime.error().message);
    list.not_run({"claims.extended", "claims.launch", "claims.vm_id", "claims.user_data"},
                 "the claims cannot be read");
    return judged;
  }
  list.pass("claims");
  judged.runtime = *std::move(runtime);
  judge_extended(*judged.runtime, extended_claims, judged, list);
  judge_launch(judged, report, list);
  judge_vm_id(judged, policy, list);
  judge_user_data(*judged.runtime, nonce, policy, list);
  return judged;
}

void judge_no_claims(const HclPolicy& policy, protocol::TeeFamily tee, Checklist& list) {
  const std::string why = "the evidence has no HCL report";
  list.not_asked("hcl", why);
  for (const std::string check : kAllButFirst) {
    if (check == "hcl.form" && policy.own_form) {
      list.fail(check, Reason::kHclForm, why + ", and the policy wants one of our vTPM");
    } else if (check == "claims.vm_id" && policy.vm_id && tee != protocol::TeeFamily::kNone) {
      list.fail(check, Reason::kVmIdMismatch, why + ", so no claims say which VM it is of");
    } else if (check == "claims.user_data" && policy.user_data.is_list()) {
      list.fail(check, Reason::kUserDataMismatch, why + ", so there are no user data");
    } else {
      list.not_asked(check, why);
    }
  }
}

}  // namespace keybroker::evidence
