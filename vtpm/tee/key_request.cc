// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/key_request.h"

#include <algorithm>
#include <string_view>

namespace vtpm::tee {

namespace {

std::array<std::byte, 32> salt_of(std::string_view text) {
  std::array<std::byte, 32> salt{};
  std::ranges::copy(base::bytes_of(text), salt.begin());
  return salt;
}

Svn svn_of(const keybroker::evidence::RawTcb& tcb) {
  Svn svn{};
  std::ranges::copy(tcb, svn.begin());
  return svn;
}

}  // namespace

SnpKeyRequestLayout snp_key_request(const KeyBinding& binding) {
  SnpKeyRequestLayout request{};
  request.guest_field_select =
      kSnpMixPolicy | kSnpMixTcb |
      (binding.scheme == KeyScheme::kOpenHclSigner ? 0 : kSnpMixMeasurement);
  std::copy_n(binding.svn.begin(), request.tcb_version.size(), request.tcb_version.begin());
  return request;
}

base::Result<TdxKeyRequestLayout> tdx_key_request(const KeyBinding& binding) {
  TdxKeyRequestLayout request{};
  request.key_name = kTdxSealKeyName;
  request.key_size = kTdxKeyOf256Bits;
  std::copy_n(binding.svn.begin(), 16, request.tee_tcb_svn.begin());
  std::copy_n(binding.svn.begin() + 16, 16, request.cpu_svn.begin());
  switch (binding.scheme) {
    case KeyScheme::kSealedKeys:
      request.key_policy = kTdxMixMrTd | kTdxMixMrConfigId | kTdxMixMrOwnerConfig;
      request.attributes_mask = keybroker::evidence::kTdAttributeDebug;
      request.salt = salt_of("VMSEAL-1");
      return request;
    case KeyScheme::kOpenHclHash:
      request.key_policy = kTdxMixMrTd;
      request.salt = salt_of("TDXHWSEAL");
      return request;
    case KeyScheme::kOpenHclSigner:
      break;
  }
  return base::fail(base::ErrorCode::kDenied,
                    "TDX derives no key for OpenHCL's sealing policy 'signer': every TD of the "
                    "machine could derive it");
}

OwnReport own_report_of(const keybroker::evidence::SnpReport& report) {
  OwnReport own{.family = TeeFamily::kSevSnp,
                .simulated = false,
                .measurement = report.measurement,
                .policy = report.policy,
                .debug = report.debug(),
                .launch_digest = {},
                .svn_layout = report.tcb_form() == keybroker::evidence::TcbForm::kTurin
                                  ? SvnLayout::kSnpTurin
                                  : SvnLayout::kSnp,
                .committed_svn = svn_of(report.committed_tcb),
                .reported_svn = svn_of(report.reported_tcb)};
  std::ranges::copy(report.host_data, own.launch_digest.bytes.begin());
  return own;
}

OwnReport own_report_of(const keybroker::evidence::TdReport& report) {
  Svn svn{};
  std::ranges::copy(report.tee_tcb_svn, svn.begin());
  std::ranges::copy(report.cpu_svn, svn.begin() + 16);
  return {.family = TeeFamily::kTdx,
          .simulated = false,
          .measurement = report.mr_td,
          .policy = report.attributes,
          .debug = report.debug(),
          .launch_digest = {report.mr_config_id},
          .svn_layout = SvnLayout::kTdx,
          .committed_svn = svn,
          .reported_svn = svn};
}

}  // namespace vtpm::tee
