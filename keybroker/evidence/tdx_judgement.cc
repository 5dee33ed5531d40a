// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "keybroker/evidence/tdx_verification.h"

namespace keybroker::evidence {

namespace {

constexpr std::uint64_t kMigratable = 1ULL << 29;

// Intel TDX module ABI, TD attributes.
constexpr std::array kAttributeBits{
    NamedBit{"debug", kTdAttributeDebug}, NamedBit{"hgs_plus", 1ULL << 4},
    NamedBit{"perf_profile", 1ULL << 5},  NamedBit{"pmt_profile", 1ULL << 6},
    NamedBit{"lass", 1ULL << 27},         NamedBit{"sept_ve_disable", 1ULL << 28},
    NamedBit{"migratable", kMigratable},  NamedBit{"pks", 1ULL << 30},
    NamedBit{"key_locker", 1ULL << 31},   NamedBit{"tpa", 1ULL << 62},
    NamedBit{"perfmon", 1ULL << 63}};

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::optional<Finding> examine_age(const TcbSummary& tcb, const TdxPolicy& policy,
                                   crypto::Time now) {
  if (policy.max_tcb_age && tcb.date + *policy.max_tcb_age < now) {
    return found(Reason::kTdxTcbDate, "the TCB level is of " + crypto::to_text(tcb.date));
  }
  return std::nullopt;
}

std::optional<Finding> examine_advisories(const TcbSummary& tcb, const TdxPolicy& policy) {
  for (const auto& advisory : tcb.advisories) {
    if (policy.advisories && !policy.advisories->contains(advisory)) {
      return found(Reason::kTdxTcbAdvisory, advisory + " is not accepted");
    }
  }
  return std::nullopt;
}

void judge_status(const TdxClaims& claims, const TdxPolicy& policy, crypto::Time now,
                  Checklist& list) {
  if (!claims.tcb) {
    list.not_run({"tdx.tcb.status", "tdx.tcb.date", "tdx.tcb.advisories"},
                 "the TCB cannot be told");
    return;
  }
  const auto& tcb = *claims.tcb;
  const bool taken = std::ranges::find(policy.statuses, tcb.status) != policy.statuses.end();
  const auto part = [](const std::optional<TcbStatus>& status) {
    return std::string(status ? name(*status) : "unknown");
  };
  list.judge(
      "tdx.tcb.status",
      taken ? std::nullopt
            : found(Reason::kTdxTcbStatus,
                    "the status is " + std::string(name(tcb.status)) + " (platform " +
                        part(claims.platform_status) + ", module " + part(claims.module_status) +
                        ", quoting enclave " + part(claims.qe_status) + ")"));
  if (tcb.status == TcbStatus::kUpToDate) {
    list.not_asked("tdx.tcb.date", "the TCB is up to date");
    list.not_asked("tdx.tcb.advisories", "the TCB is up to date");
    return;
  }
  list.judge("tdx.tcb.date", examine_age(tcb, policy, now));
  list.judge("tdx.tcb.advisories", examine_advisories(tcb, policy));
}

std::optional<Finding> examine_attributes(std::uint64_t value, const TdxPolicy& policy) {
  std::uint64_t unknown = value;
  for (const auto& bit : kAttributeBits) {
    unknown &= ~bit.mask;
    const bool on = (value & bit.mask) != 0;
    if ((policy.attributes.required & bit.mask) != 0 && !on) {
      return found(Reason::kTdxAttributes,
                   "'" + std::string(bit.name) + "' is off, the policy wants it on");
    }
    if ((policy.attributes.refused & bit.mask) != 0 && on) {
      return found(Reason::kTdxAttributes,
                   "'" + std::string(bit.name) + "' is on, the policy wants it off");
    }
  }
  if (unknown != 0) {
    return found(Reason::kTdxAttributes, "a reserved attribute is set");
  }
  if ((value & kMigratable) != 0 && !policy.allow_migratable) {
    return found(Reason::kTdxAttributes, "the TD can be migrated, which the policy does not allow");
  }
  return std::nullopt;
}

void judge_td(const TdQuoteBodyLayout& body, const TdxPolicy& policy, Checklist& list) {
  const auto attributes = body.attributes.value();
  list.judge("tdx.policy.debug",
             (attributes & kTdAttributeDebug) != 0 && !policy.allow_debug
                 ? found(Reason::kTdxDebug, "the TD runs with the DEBUG attribute")
                 : std::nullopt);
  list.judge("tdx.policy.seam_attributes",
             body.seam_attributes.value() != 0
                 ? found(Reason::kTdxSeamAttributes, "SEAMATTRIBUTES are not zero")
                 : std::nullopt);
  list.judge("tdx.policy.attributes", examine_attributes(attributes, policy));
  if (!policy.xfam) {
    list.not_asked("tdx.policy.xfam", "the policy names no XFAM");
  } else {
    list.judge("tdx.policy.xfam",
               (body.xfam.value() & ~*policy.xfam) != 0
                   ? found(Reason::kTdxXfam, "XFAM has a feature that the policy does not name")
                   : std::nullopt);
  }
}

void judge_service_td(const std::optional<TdQuoteBody15Layout>& body_15, const TdxPolicy& policy,
                      Checklist& list) {
  const std::string check = "tdx.policy.service_td";
  if (!body_15 || base::is_all_zero(body_15->mr_service_td)) {
    list.pass(check);
  } else if (!policy.service_tds.is_set()) {
    list.fail(check, Reason::kTdxServiceTd,
              "the service TD " + base::to_hex(body_15->mr_service_td) + " is bound to the TD");
  } else {
    judge_expected(list, check, policy.service_tds, body_15->mr_service_td, Reason::kTdxServiceTd,
                   "service TD");
  }
}

void judge_measurements(const TdxClaims& claims, const TdxPolicy& policy, Checklist& list) {
  const auto& body = claims.quote.body;
  list.judge("tdx.pinned", policy.mr_td.is_set()
                               ? std::nullopt
                               : found(Reason::kTdxUnpinned, "the policy names no MRTD"));
  judge_expected(list, "tdx.mr_td", policy.mr_td, body.mr_td, Reason::kTdxMeasurementUnknown,
                 "MRTD");
  judge_expected(list, "tdx.mr_seam", policy.mr_seam, body.mr_seam, Reason::kTdxMeasurementUnknown,
                 "MRSEAM");
  for (std::size_t i = 0; i < body.rtmr.size(); ++i) {
    const auto number = std::to_string(i);
    judge_expected(list, "tdx.rtmr" + number, policy.rtmr.at(i), body.rtmr.at(i),
                   Reason::kTdxMeasurementUnknown, "RTMR" + number);
  }
  judge_expected(list, "tdx.mr_config_id", policy.mr_config_id, body.mr_config_id,
                 Reason::kTdxConfigUnknown, "MRCONFIGID");
  judge_expected(list, "tdx.mr_owner", policy.mr_owner, body.mr_owner, Reason::kTdxConfigUnknown,
                 "MROWNER");
  judge_expected(list, "tdx.mr_owner_config", policy.mr_owner_config, body.mr_owner_config,
                 Reason::kTdxConfigUnknown, "MROWNERCONFIG");
  if (claims.platform) {
    judge_expected(list, "tdx.fmspc", policy.fmspcs, claims.platform->fmspc,
                   Reason::kTdxMeasurementUnknown, "FMSPC");
  } else {
    list.not_run("tdx.fmspc", "the platform is not known");
  }
}

}  // namespace

std::span<const NamedBit> td_attribute_bits() { return kAttributeBits; }

void judge_td_policy(const TdxClaims& claims, const TdxPolicy& policy, crypto::Time now,
                     Checklist& list) {
  judge_status(claims, policy, now, list);
  judge_td(claims.quote.body, policy, list);
  judge_service_td(claims.quote.body_15, policy, list);
  judge_measurements(claims, policy, list);
}

void not_run_td_policy(Checklist& list, const std::string& why) {
  list.not_run({"tdx.tcb.status", "tdx.tcb.date", "tdx.tcb.advisories", "tdx.policy.debug",
                "tdx.policy.seam_attributes", "tdx.policy.attributes", "tdx.policy.xfam",
                "tdx.policy.service_td", "tdx.pinned", "tdx.mr_td", "tdx.mr_seam", "tdx.rtmr0",
                "tdx.rtmr1", "tdx.rtmr2", "tdx.rtmr3", "tdx.mr_config_id", "tdx.mr_owner",
                "tdx.mr_owner_config", "tdx.fmspc"},
               why);
}

}  // namespace keybroker::evidence
