// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_report.h"

#include <string>

namespace keybroker::evidence {

namespace {

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "SNP report: " + why);
}

std::optional<Finding> broken(Reason reason, std::string why) {
  return Finding{reason, std::move(why)};
}

std::optional<Finding> examine_reserved(const SnpReportLayout& raw) {
  constexpr auto kReason = Reason::kSnpReportReserved;
  const bool has_cpu = raw.version.value() >= 3;
  const bool has_mitigations = raw.version.value() >= 5;
  if ((raw.policy.value() & kSnpPolicyReservedOne) == 0) {
    return broken(kReason, "bit 17 of its guest policy is not one");
  }
  if ((raw.policy.value() & ~kSnpPolicyKnown) != 0) {
    return broken(kReason, "a reserved bit of its guest policy is not zero");
  }
  if (!base::is_all_zero(raw.reserved_4c) || !base::is_all_zero(raw.reserved_18b) ||
      raw.reserved_1eb != std::byte{0} || raw.reserved_1ef != std::byte{0} ||
      !base::is_all_zero(raw.reserved_208)) {
    return broken(kReason, "a reserved byte is not zero");
  }
  if (!has_cpu && (raw.cpuid_family != 0 || raw.cpuid_model != 0 || raw.cpuid_stepping != 0)) {
    return broken(kReason, "version 2 names a CPU");
  }
  if (!has_mitigations &&
      (raw.launch_mitigations.value() != 0 || raw.current_mitigations.value() != 0)) {
    return broken(kReason, "a mitigation vector before version 5");
  }
  if (raw.key_info.value() >> 5 != 0) {
    return broken(kReason, "a reserved bit of its key info is not zero");
  }
  return std::nullopt;
}

// A masked chip key leaves the whole signature zero, which is P-384 sized as well.
std::optional<Finding> examine_signature(const SnpSignatureLayout& signature) {
  constexpr std::size_t kUsed = 48;
  if (!base::is_all_zero(std::span(signature.r).subspan(kUsed)) ||
      !base::is_all_zero(std::span(signature.s).subspan(kUsed)) ||
      !base::is_all_zero(signature.zero)) {
    return broken(Reason::kSnpSignatureForm, "its signature is longer than one of P-384");
  }
  return std::nullopt;
}

SnpSigningKey signing_key(const SnpReportLayout& raw) {
  return static_cast<SnpSigningKey>((raw.key_info.value() >> 2) & 7U);
}

bool is_known(SnpSigningKey key) {
  return key == SnpSigningKey::kVcek || key == SnpSigningKey::kVlek || key == SnpSigningKey::kNone;
}

}  // namespace

std::optional<Finding> examine_snp_report(base::ByteView bytes) {
  if (bytes.size() != kSnpReportBytes) {
    return broken(Reason::kSnpReportSize,
                  "has " + std::to_string(bytes.size()) + " bytes, expected 1184");
  }
  const auto raw = base::load<SnpReportLayout>(bytes.first<kSnpReportBytes>());
  const auto version = raw.version.value();
  if (version < 2 || version > 5) {
    return broken(Reason::kSnpReportVersion,
                  "version " + std::to_string(version) + " is not known here");
  }
  if (raw.signature_algorithm.value() != kEcdsaP384Sha384) {
    return broken(Reason::kSnpReportAlgorithm, "signature algorithm " +
                                                   std::to_string(raw.signature_algorithm.value()) +
                                                   " is not ECDSA P-384 with SHA-384");
  }
  if (auto finding = examine_reserved(raw)) {
    return finding;
  }
  if (auto finding = examine_signature(raw.signature)) {
    return finding;
  }
  if (!is_known(signing_key(raw))) {
    return broken(
        Reason::kSnpSigningKeyUnknown,
        "names the unknown signing key " + std::to_string(static_cast<int>(signing_key(raw))));
  }
  if (raw.vmpl.value() > kSnpMostVmpl) {
    return broken(Reason::kSnpVmplRange,
                  "VMPL " + std::to_string(raw.vmpl.value()) + " is not one of a guest");
  }
  return std::nullopt;
}

base::Result<SnpReport> decode_snp_report(base::ByteView bytes) {
  if (const auto finding = examine_snp_report(bytes)) {
    return corrupt(finding->detail);
  }
  const auto raw = base::load<SnpReportLayout>(bytes.first<kSnpReportBytes>());
  const auto version = raw.version.value();
  SnpReport report{.version = version,
                   .guest_svn = raw.guest_svn.value(),
                   .policy = raw.policy.value(),
                   .family_id = raw.family_id,
                   .image_id = raw.image_id,
                   .vmpl = raw.vmpl.value(),
                   .current_tcb = raw.current_tcb,
                   .platform_info = raw.platform_info.value(),
                   .author_key_enabled = (raw.key_info.value() & 1U) != 0,
                   .chip_key_masked = (raw.key_info.value() & 2U) != 0,
                   .signing_key = signing_key(raw),
                   .report_data = raw.report_data,
                   .measurement = raw.measurement,
                   .host_data = raw.host_data,
                   .id_key_digest = raw.id_key_digest,
                   .author_key_digest = raw.author_key_digest,
                   .report_id = raw.report_id,
                   .report_id_ma = raw.report_id_ma,
                   .reported_tcb = raw.reported_tcb,
                   .cpu = std::nullopt,
                   .chip_id = raw.chip_id,
                   .committed_tcb = raw.committed_tcb,
                   .launch_tcb = raw.launch_tcb,
                   .launch_mitigations = raw.launch_mitigations.value(),
                   .current_mitigations = raw.current_mitigations.value()};
  if (version >= 3) {
    report.cpu = SnpCpu{raw.cpuid_family, raw.cpuid_model, raw.cpuid_stepping};
  }
  return report;
}

}  // namespace keybroker::evidence
