// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_snp.h"

#include <string>

#include "keybroker/evidence/snp_certificates.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/kdf.h"
#include "vmgs/crypto/random.h"
#include "vtpm/tee/key_request.h"
#include "vtpm/tee_sim/vendor.h"

namespace vtpm::tee_sim {

namespace {

namespace evidence = keybroker::evidence;

evidence::SnpCpu cpu_of(SnpProduct product) {
  switch (product) {
    case SnpProduct::kMilan:
      return {.family = 0x19, .model = 0x01, .stepping = 1};
    case SnpProduct::kGenoa:
      return {.family = 0x19, .model = 0x11, .stepping = 1};
    case SnpProduct::kTurin:
      return {.family = 0x1A, .model = 0x02, .stepping = 1};
  }
  return {};
}

auto invalid_parameter(const std::string& why) {
  return base::fail(base::ErrorCode::kDenied,
                    "the simulated SNP firmware says invalid parameter (0x16): " + why);
}

}  // namespace

base::Result<SimulatedSnpTee> SimulatedSnpTee::open(MachineFolder folder, const SnpMachine& machine,
                                                    const std::array<std::byte, 32>& host_data,
                                                    keybroker::crypto::Time now) {
  TRY_ASSIGN(secret, folder.secret());
  std::array<std::byte, 32> report_id{};
  TRY(vmgs::crypto::random_bytes(report_id));
  return SimulatedSnpTee(std::move(folder), machine, host_data, now, std::move(secret), report_id);
}

evidence::SnpReportLayout SimulatedSnpTee::unsigned_report(
    const tee::ReportData& report_data) const {
  const auto form = tcb_form(machine_.product);
  evidence::SnpReportLayout report{};
  report.version = machine_.report_version;
  report.guest_svn = machine_.guest_svn;
  report.policy = machine_.policy;
  report.family_id = machine_.family_id;
  report.image_id = machine_.image_id;
  report.vmpl = machine_.vmpl;
  report.signature_algorithm = evidence::kEcdsaP384Sha384;
  report.current_tcb = encode_tcb(machine_.current, form);
  report.platform_info = machine_.platform_info;
  report.report_data = report_data;
  report.measurement = machine_.measurement;
  report.host_data = host_data_;
  report.report_id = report_id_;
  report.report_id_ma.fill(std::byte{0xFF});  // no migration agent
  report.reported_tcb = encode_tcb(machine_.reported, form);
  report.chip_id = machine_.chip_id;
  report.committed_tcb = encode_tcb(machine_.committed, form);
  report.current_version = {1, 55, 1};  // build, minor, major of the firmware
  report.committed_version = report.current_version;
  report.launch_tcb = encode_tcb(machine_.launch, form);
  if (machine_.report_version >= 3) {
    const auto cpu = cpu_of(machine_.product);
    report.cpuid_family = cpu.family;
    report.cpuid_model = cpu.model;
    report.cpuid_stepping = cpu.stepping;
  }
  return report;
}

base::Result<tee::Evidence> SimulatedSnpTee::report(const tee::ReportData& report_data) {
  if (!mint_) {
    TRY_ASSIGN(mint, snp_mint_of(folder_, machine_.product, now_));
    mint_ = std::move(mint);
  }
  auto report = unsigned_report(report_data);
  TRY_ASSIGN(key, vcek_key(secret_, machine_.chip_id, report.reported_tcb));
  TRY(sign(report, key));
  TRY_ASSIGN(vcek, mint_->issue_by_ask(mint_->vcek_spec(machine_.chip_id, machine_.reported),
                                       key.public_key()));
  return tee::Evidence{.report = base::copy_of(base::view(report)),
                       .certificates = evidence::encode_snp_certificates(
                           {{evidence::kVcekGuid, vcek.der()},
                            {evidence::kAskGuid, mint_->ask().der()},
                            {evidence::kArkGuid, mint_->ark().der()}})};
}

base::Result<base::Bytes> SimulatedSnpTee::hardware_report(const tee::ReportData& report_data) {
  auto raw = unsigned_report(report_data);
  TRY_ASSIGN(key, vcek_key(secret_, machine_.chip_id, raw.reported_tcb));
  TRY(sign(raw, key));
  return base::copy_of(base::view(raw));
}

base::Result<tee::OwnReport> SimulatedSnpTee::own_report() {
  const auto raw = unsigned_report({});
  TRY_ASSIGN(report, evidence::decode_snp_report(base::view(raw)));
  auto own = tee::own_report_of(report);
  own.simulated = true;
  return own;
}

base::Result<base::Secret<32>> SimulatedSnpTee::derive(
    const tee::SnpKeyRequestLayout& request) const {
  const auto form = tcb_form(machine_.product);
  if (!reaches(machine_.committed, decode_tcb(request.tcb_version, form))) {
    return invalid_parameter(
        "the requested TCB (" + describe(decode_tcb(request.tcb_version, form), form) +
        ") is above the committed one (" + describe(machine_.committed, form) + ")");
  }
  if (request.guest_svn.value() > machine_.guest_svn) {
    return invalid_parameter("the requested guest SVN is above that of the VM");
  }
  const auto selected = request.guest_field_select.value();
  base::Writer mixed;
  mixed.layout(request);
  mixed.bytes(machine_.chip_id);
  if ((selected & tee::kSnpMixPolicy) != 0) {
    mixed.u64_le(machine_.policy);
  }
  if ((selected & tee::kSnpMixImageId) != 0) {
    mixed.bytes(machine_.image_id);
  }
  if ((selected & tee::kSnpMixFamilyId) != 0) {
    mixed.bytes(machine_.family_id);
  }
  if ((selected & tee::kSnpMixMeasurement) != 0) {
    mixed.bytes(machine_.measurement);
  }
  return vmgs::crypto::derive<32>(secret_.expose(), base::bytes_of("SIM-SNP-KEY-1"),
                                  mixed.written());
}

base::Result<base::Secret<32>> SimulatedSnpTee::derive_key(const tee::KeyBinding& binding) {
  return derive(tee::snp_key_request(binding));
}

}  // namespace vtpm::tee_sim
