// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_judgement.h"

#include <algorithm>
#include <array>

namespace keybroker::evidence {

namespace {

// SNP firmware ABI, guest policy. Bit 17 is always one.
constexpr std::array kPolicyBits{NamedBit{"smt", kSnpPolicySmt},
                                 NamedBit{"migration", kSnpPolicyMigrationAgent},
                                 NamedBit{"debug", kSnpPolicyDebug},
                                 NamedBit{"single_socket", 1ULL << 20},
                                 NamedBit{"cxl", 1ULL << 21},
                                 NamedBit{"aes_256_xts", 1ULL << 22},
                                 NamedBit{"rapl_disabled", 1ULL << 23},
                                 NamedBit{"ciphertext_hiding", 1ULL << 24},
                                 NamedBit{"page_swap_disabled", 1ULL << 25}};

constexpr std::uint64_t kAliasCheck = 1ULL << 5;

constexpr std::array kPlatformBits{NamedBit{"smt", 1ULL << 0},
                                   NamedBit{"tsme", 1ULL << 1},
                                   NamedBit{"ecc", 1ULL << 2},
                                   NamedBit{"rapl_disabled", 1ULL << 3},
                                   NamedBit{"ciphertext_hiding", 1ULL << 4},
                                   NamedBit{"alias_check", kAliasCheck},
                                   NamedBit{"tio", 1ULL << 7}};

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::optional<Finding> examine_tcb_order(const SnpClaims& claims) {
  const auto current = claims.tcb(claims.report.current_tcb);
  if (!reaches(current, claims.tcb(claims.report.reported_tcb))) {
    return found(Reason::kSnpTcbOrder, "the reported TCB is ahead of the one that runs");
  }
  if (!reaches(current, claims.tcb(claims.report.committed_tcb))) {
    return found(Reason::kSnpTcbOrder, "the committed TCB is ahead of the one that runs");
  }
  return std::nullopt;
}

std::optional<Finding> examine_min_tcb(const SnpClaims& claims, const TcbVersion& wanted) {
  const auto form = tcb_form(*claims.product);
  for (const auto& [what, raw] : {std::pair{"reported", claims.report.reported_tcb},
                                  std::pair{"launch", claims.report.launch_tcb}}) {
    const auto tcb = claims.tcb(raw);
    if (!reaches(tcb, wanted)) {
      return found(Reason::kSnpTcbTooLow, std::string("the ") + what + " TCB is " +
                                              describe(tcb, form) + ", the policy wants " +
                                              describe(wanted, form));
    }
  }
  return std::nullopt;
}

void judge_tcb(const SnpClaims& claims, const SnpPolicy& policy, Checklist& list) {
  list.judge("snp.tcb.order", examine_tcb_order(claims));
  const auto floor = claims.product ? policy.min_tcb.find(*claims.product) : policy.min_tcb.end();
  if (floor == policy.min_tcb.end()) {
    list.not_asked("snp.tcb.minimum", "the policy names no minimum TCB for this product");
  } else {
    list.judge("snp.tcb.minimum", examine_min_tcb(claims, floor->second));
  }
  if (!policy.require_committed_equals_current) {
    list.not_asked("snp.tcb.committed", "the policy lets firmware run ahead of what is committed");
  } else {
    const bool equal =
        claims.tcb(claims.report.committed_tcb) == claims.tcb(claims.report.current_tcb);
    list.judge("snp.tcb.committed",
               equal ? std::nullopt
                     : found(Reason::kSnpCommittedBehind,
                             "the firmware that runs is newer than the one that is committed"));
  }
}

// The first bit that breaks `rule`, by its name.
std::optional<std::string> broken_bit(std::uint64_t value, const BitRule& rule,
                                      std::span<const NamedBit> bits) {
  for (const auto& bit : bits) {
    if ((rule.required & bit.mask) != 0 && (value & bit.mask) == 0) {
      return "'" + std::string(bit.name) + "' is off, the policy wants it on";
    }
    if ((rule.refused & bit.mask) != 0 && (value & bit.mask) != 0) {
      return "'" + std::string(bit.name) + "' is on, the policy wants it off";
    }
  }
  return std::nullopt;
}

std::optional<Finding> examine_platform(const SnpReport& report, const SnpPolicy& policy) {
  auto value = report.platform_info;
  auto rule = policy.platform;
  if (report.version < 3) {
    rule.required &= ~kAliasCheck;  // older firmware had no such bit to set
  }
  if (auto broken = broken_bit(value, rule, kPlatformBits)) {
    return found(Reason::kSnpPlatformRefused, "platform info: " + *broken);
  }
  for (const auto& bit : kPlatformBits) {
    value &= ~bit.mask;
  }
  if (policy.refuse_unknown_platform_bits && value != 0) {
    return found(Reason::kSnpPlatformRefused, "platform info has a bit that is not known here");
  }
  return std::nullopt;
}

void judge_guest_policy(const SnpReport& report, const SnpPolicy& policy, Checklist& list) {
  list.judge("snp.policy.debug",
             report.debug() && !policy.allow_debug
                 ? found(Reason::kSnpDebugAllowed, "the guest policy lets the host debug the guest")
                 : std::nullopt);
  list.judge("snp.policy.migration",
             (report.policy & kSnpPolicyMigrationAgent) != 0 && !policy.allow_migration_agent
                 ? found(Reason::kSnpMigrationAllowed, "the guest policy allows a migration agent")
                 : std::nullopt);
  const auto broken = broken_bit(report.policy, policy.guest_policy, kPolicyBits);
  list.judge("snp.policy.bits",
             broken ? found(Reason::kSnpGuestPolicy, "guest policy: " + *broken) : std::nullopt);
  list.judge("snp.vmpl", std::ranges::find(policy.vmpls, report.vmpl) == policy.vmpls.end()
                             ? found(Reason::kSnpVmplRefused, "the report was asked for at VMPL " +
                                                                  std::to_string(report.vmpl))
                             : std::nullopt);
}

void judge_signer(const SnpClaims& claims, const SnpPolicy& policy, Checklist& list) {
  if (policy.products) {
    const bool allowed = claims.product && std::ranges::find(*policy.products, *claims.product) !=
                                               policy.products->end();
    list.judge("snp.policy.product", allowed ? std::nullopt
                                             : found(Reason::kSnpProductRefused,
                                                     "the policy does not take this product"));
  } else {
    list.not_asked("snp.policy.product", "the policy names no products");
  }
  // By what the report itself says, which its signature covers.
  const bool allowed =
      std::ranges::find(policy.signers, claims.report.signing_key) != policy.signers.end();
  list.judge("snp.policy.signer",
             allowed ? std::nullopt
                     : found(Reason::kSnpSignerRefused,
                             claims.report.signing_key == SnpSigningKey::kVlek
                                 ? "the policy does not take reports signed by a VLEK"
                                 : "the policy does not take reports signed by a VCEK"));
  if (claims.csp) {
    judge_expected(list, "snp.policy.csp", policy.csps, base::bytes_of(*claims.csp),
                   Reason::kSnpSignerRefused, "provider");
  } else {
    list.not_asked("snp.policy.csp", "a chip's own key names no provider");
  }
}

// A report that names no owner and no image could be anybody's.
std::optional<Finding> examine_pinned(const SnpPolicy& policy) {
  if (policy.measurements.is_set() || policy.id_key_digests.is_list() ||
      policy.author_key_digests.is_list()) {
    return std::nullopt;
  }
  return found(Reason::kSnpUnpinned,
               "the policy names no measurement and no identity key that it expects");
}

void judge_identity(const SnpReport& report, const SnpPolicy& policy, Checklist& list) {
  list.judge("snp.pinned", examine_pinned(policy));
  judge_expected(list, "snp.measurement", policy.measurements, report.measurement,
                 Reason::kSnpMeasurementUnknown, "measurement");
  judge_expected(list, "snp.id_key", policy.id_key_digests, report.id_key_digest,
                 Reason::kSnpIdKeyUnknown, "identity key digest");
  if (!report.author_key_enabled && !base::is_all_zero(report.author_key_digest)) {
    list.fail("snp.author_key", Reason::kSnpAuthorKeyInconsistent,
              "the report names an author key and says that there is none");
  } else {
    judge_expected(list, "snp.author_key", policy.author_key_digests, report.author_key_digest,
                   Reason::kSnpIdKeyUnknown, "author key digest");
  }
  judge_expected(list, "snp.host_data", policy.host_data, report.host_data,
                 Reason::kSnpHostDataUnknown, "host data");
  judge_expected(list, "snp.family_id", policy.family_ids, report.family_id,
                 Reason::kSnpMeasurementUnknown, "family id");
  judge_expected(list, "snp.image_id", policy.image_ids, report.image_id,
                 Reason::kSnpMeasurementUnknown, "image id");
  judge_expected(list, "snp.policy.chip", policy.chip_ids, report.chip_id, Reason::kSnpChipUnknown,
                 "chip");
  list.judge("snp.guest_svn",
             report.guest_svn < policy.min_guest_svn
                 ? found(Reason::kSnpGuestSvnTooLow,
                         "the guest SVN is " + std::to_string(report.guest_svn) +
                             ", the policy wants " + std::to_string(policy.min_guest_svn))
                 : std::nullopt);
}

}  // namespace

std::span<const NamedBit> snp_policy_bits() { return kPolicyBits; }

std::span<const NamedBit> snp_platform_bits() { return kPlatformBits; }

void judge_snp_policy(const SnpClaims& claims, const SnpPolicy& policy, Checklist& list) {
  judge_tcb(claims, policy, list);
  judge_guest_policy(claims.report, policy, list);
  judge_signer(claims, policy, list);
  judge_identity(claims.report, policy, list);
  list.judge("snp.platform", examine_platform(claims.report, policy));
}

void not_run_snp_policy(Checklist& list, const std::string& why) {
  list.not_run(
      {"snp.tcb.order",        "snp.tcb.minimum", "snp.tcb.committed", "snp.policy.debug",
       "snp.policy.migration", "snp.policy.bits", "snp.vmpl",          "snp.policy.product",
       "snp.policy.signer",    "snp.policy.csp",  "snp.pinned",        "snp.measurement",
       "snp.id_key",           "snp.author_key",  "snp.host_data",     "snp.family_id",
       "snp.image_id",         "snp.policy.chip", "snp.guest_svn",     "snp.platform"},
      why);
}

}  // namespace keybroker::evidence
