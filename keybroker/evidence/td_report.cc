// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/td_report.h"

#include <string>

#include "vmgs/crypto/digest.h"

namespace keybroker::evidence {

namespace {

constexpr std::uint8_t kTdxType = 0x81;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "TDREPORT: " + why);
}

TdxDigest tee_tcb_info_hash(const TdReportLayout& report) {
  return vmgs::crypto::sha384(base::view(report).subspan(kTeeTcbInfoOffset, kTeeTcbInfoBytes));
}

TdxDigest td_info_hash(const TdReportLayout& report) {
  return vmgs::crypto::sha384(base::view(report).subspan(kTdInfoOffset, kTdInfoBytes));
}

}  // namespace

base::Result<TdReport> decode_td_report(base::ByteView bytes) {
  if (bytes.size() != kTdReportBytes) {
    return corrupt("has " + std::to_string(bytes.size()) + " bytes, expected 1024");
  }
  const auto raw = base::load<TdReportLayout>(bytes.first<kTdReportBytes>());
  if (raw.tee != kTdxType || raw.subtype != 0 || raw.version > 1) {
    return corrupt("type " + std::to_string(raw.tee) + "." + std::to_string(raw.subtype) + "." +
                   std::to_string(raw.version) + " is not known here");
  }
  if (raw.reserved_03 != 0 || !base::is_all_zero(raw.reserved_04) ||
      !base::is_all_zero(raw.reserved_c0) || !base::is_all_zero(raw.extension)) {
    return corrupt("a reserved byte is not zero");
  }
  if (raw.tee_tcb_info_hash != tee_tcb_info_hash(raw)) {
    return corrupt("its hash of TEE_TCB_INFO does not fit");
  }
  if (raw.td_info_hash != td_info_hash(raw)) {
    return corrupt("its hash of TDINFO does not fit");
  }
  return TdReport{.cpu_svn = raw.cpu_svn,
                  .report_data = raw.report_data,
                  .tee_tcb_svn = raw.tee_tcb_svn,
                  .mr_seam = raw.mr_seam,
                  .attributes = raw.attributes.value(),
                  .xfam = raw.xfam.value(),
                  .mr_td = raw.mr_td,
                  .mr_config_id = raw.mr_config_id,
                  .mr_owner = raw.mr_owner,
                  .mr_owner_config = raw.mr_owner_config,
                  .rtmr = raw.rtmr};
}

void fill_inner_hashes(TdReportLayout& report) {
  report.tee_tcb_info_hash = tee_tcb_info_hash(report);
  report.td_info_hash = td_info_hash(report);
}

}  // namespace keybroker::evidence
