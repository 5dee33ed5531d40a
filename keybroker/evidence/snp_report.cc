// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_report.h"

#include <string>

namespace keybroker::evidence {

namespace {

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "SNP report: " + why);
}

base::Result<void> check_reserved(const SnpReportLayout& raw) {
  const bool has_cpu = raw.version.value() >= 3;
  const bool has_mitigations = raw.version.value() >= 5;
  if (!base::is_all_zero(raw.reserved_4c) || !base::is_all_zero(raw.reserved_18b) ||
      raw.reserved_1eb != std::byte{0} || raw.reserved_1ef != std::byte{0} ||
      !base::is_all_zero(raw.reserved_208)) {
    return corrupt("a reserved byte is not zero");
  }
  if (!has_cpu && (raw.cpuid_family != 0 || raw.cpuid_model != 0 || raw.cpuid_stepping != 0)) {
    return corrupt("version 2 names a CPU");
  }
  if (!has_mitigations &&
      (raw.launch_mitigations.value() != 0 || raw.current_mitigations.value() != 0)) {
    return corrupt("a mitigation vector before version 5");
  }
  return {};
}

// A masked chip key leaves the whole signature zero, which is P-384 sized as well.
base::Result<void> check_signature(const SnpSignatureLayout& signature) {
  constexpr std::size_t kUsed = 48;
  if (!base::is_all_zero(std::span(signature.r).subspan(kUsed)) ||
      !base::is_all_zero(std::span(signature.s).subspan(kUsed)) ||
      !base::is_all_zero(signature.zero)) {
    return corrupt("its signature is longer than one of P-384");
  }
  return {};
}

base::Result<SnpSigningKey> signing_key(std::uint32_t key_info) {
  if (key_info >> 5 != 0) {
    return corrupt("a reserved bit of its key info is not zero");
  }
  const auto number = static_cast<std::uint8_t>((key_info >> 2) & 7U);
  switch (static_cast<SnpSigningKey>(number)) {
    case SnpSigningKey::kVcek:
    case SnpSigningKey::kVlek:
    case SnpSigningKey::kNone:
      return static_cast<SnpSigningKey>(number);
  }
  return corrupt("names the unknown signing key " + std::to_string(number));
}

}  // namespace

base::Result<SnpReport> decode_snp_report(base::ByteView bytes) {
  if (bytes.size() != kSnpReportBytes) {
    return corrupt("has " + std::to_string(bytes.size()) + " bytes, expected 1184");
  }
  const auto raw = base::load<SnpReportLayout>(bytes.first<kSnpReportBytes>());
  const auto version = raw.version.value();
  if (version < 2 || version > 5) {
    return corrupt("version " + std::to_string(version) + " is not known here");
  }
  if (raw.signature_algorithm.value() != kEcdsaP384Sha384) {
    return corrupt("signature algorithm " + std::to_string(raw.signature_algorithm.value()) +
                   " is not ECDSA P-384 with SHA-384");
  }
  if ((raw.policy.value() & kSnpPolicyReservedOne) == 0) {
    return corrupt("bit 17 of its guest policy is not one");
  }
  TRY(check_reserved(raw));
  TRY(check_signature(raw.signature));
  TRY_ASSIGN(key, signing_key(raw.key_info.value()));

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
                   .signing_key = key,
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
