// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_tdx.h"

#include <algorithm>
#include <functional>

#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/kdf.h"
#include "vtpm/tee/key_request.h"

namespace vtpm::tee_sim {

namespace {

namespace evidence = keybroker::evidence;

constexpr std::uint8_t kTdxReportType = 0x81;
constexpr std::uint64_t kTcbInfoValid = 0x301FF;

evidence::TdxDigest simulated_module() {
  return vmgs::crypto::sha384(base::bytes_of("simulated TDX module"));
}

// The module refuses an SVN above the platform's in any component.
bool reaches(base::ByteView machine, base::ByteView wanted) {
  return std::ranges::equal(machine, wanted, std::greater_equal<>());
}

}  // namespace

base::Result<SimulatedTdxTee> SimulatedTdxTee::open(MachineFolder folder, const TdxMachine& machine,
                                                    const evidence::TdxDigest& mr_config_id,
                                                    keybroker::crypto::Time now) {
  TRY_ASSIGN(secret, folder.secret());
  return SimulatedTdxTee(std::move(folder), machine, mr_config_id, now, std::move(secret));
}

base::Result<tee::Evidence> SimulatedTdxTee::report(const tee::ReportData& report_data) {
  if (!quoting_) {
    TRY_ASSIGN(quoting, QuotingService::open(folder_, machine_, now_));
    quoting_ = std::move(quoting);
  }
  TRY_ASSIGN(raw, td_report(report_data));
  TRY_ASSIGN(quote, quoting_->quote(base::view(raw)));
  return tee::Evidence{.report = std::move(quote), .certificates = {}};
}

base::Result<evidence::TdReportLayout> SimulatedTdxTee::td_report(
    const tee::ReportData& report_data) const {
  evidence::TdReportLayout raw{};
  raw.report_data = report_data;
  raw.tee = kTdxReportType;
  raw.cpu_svn = machine_.cpu_svn;
  raw.valid = kTcbInfoValid;
  raw.tee_tcb_svn = machine_.tee_tcb_svn;
  raw.mr_seam = simulated_module();
  raw.tee_tcb_svn2 = machine_.tee_tcb_svn;
  raw.attributes = machine_.attributes;
  raw.xfam = machine_.xfam;
  raw.mr_td = machine_.mr_td;
  raw.mr_config_id = mr_config_id_;
  raw.mr_owner = machine_.mr_owner;
  raw.mr_owner_config = machine_.mr_owner_config;
  raw.rtmr = machine_.rtmr;
  fill_inner_hashes(raw);
  TRY_ASSIGN(mac, report_mac(secret_, raw));
  raw.mac = mac;
  return raw;
}

base::Result<base::Bytes> SimulatedTdxTee::hardware_report(const tee::ReportData& report_data) {
  TRY_ASSIGN(raw, td_report(report_data));
  return base::copy_of(base::view(raw));
}

base::Result<tee::OwnReport> SimulatedTdxTee::own_report() {
  TRY_ASSIGN(raw, td_report({}));
  TRY_ASSIGN(report, evidence::decode_td_report(base::view(raw)));
  auto own = tee::own_report_of(report);
  own.simulated = true;
  return own;
}

base::Result<base::Secret<32>> SimulatedTdxTee::derive(
    const tee::TdxKeyRequestLayout& request) const {
  if (!reaches(machine_.tee_tcb_svn, request.tee_tcb_svn) ||
      !reaches(machine_.cpu_svn, request.cpu_svn)) {
    return base::fail(base::ErrorCode::kDenied,
                      "the simulated TDX module refuses a key for an SVN above the platform's");
  }
  const auto policy = request.key_policy.value();
  base::Writer mixed;
  mixed.layout(request);
  mixed.bytes(machine_.platform_id);
  mixed.u64_le(machine_.attributes & request.attributes_mask.value());
  mixed.u64_le(machine_.xfam & request.xfam_mask.value());
  if ((policy & tee::kTdxMixMrTd) != 0) {
    mixed.bytes(machine_.mr_td);
  }
  if ((policy & tee::kTdxMixMrConfigId) != 0) {
    mixed.bytes(mr_config_id_);
  }
  if ((policy & tee::kTdxMixMrOwnerConfig) != 0) {
    mixed.bytes(machine_.mr_owner_config);
  }
  return vmgs::crypto::derive<32>(secret_.expose(), base::bytes_of("SIM-TDX-KEY-1"),
                                  mixed.written());
}

base::Result<base::Secret<32>> SimulatedTdxTee::derive_key(const tee::KeyBinding& binding) {
  TRY_ASSIGN(request, tee::tdx_key_request(binding));
  return derive(request);
}

}  // namespace vtpm::tee_sim
