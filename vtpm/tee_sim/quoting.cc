// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/quoting.h"

#include <algorithm>

#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/kdf.h"
#include "vtpm/tee_sim/vendor.h"

namespace vtpm::tee_sim {

namespace evidence = keybroker::evidence;

keybroker::crypto::SgxExtension sgx_platform_of(const TdxMachine& machine) {
  keybroker::crypto::SgxExtension platform;
  platform.ppid = machine.platform_id;
  platform.tcb.cpu_svn = machine.cpu_svn;
  std::ranges::transform(machine.cpu_svn, platform.tcb.components.begin(),
                         [](std::byte svn) { return std::to_integer<std::uint8_t>(svn); });
  platform.tcb.pce_svn = 13;
  platform.fmspc = {std::byte{'S'}, std::byte{'I'}, std::byte{'M'}};
  platform.type = keybroker::crypto::SgxType::kScalable;
  platform.platform_instance_id = machine.platform_id;
  platform.configuration = keybroker::crypto::SgxConfiguration{
      .dynamic_platform = true, .cached_keys = true, .smt_enabled = true};
  return platform;
}

base::Result<std::array<std::byte, 32>> report_mac(const base::Secret<32>& machine_secret,
                                                   const evidence::TdReportLayout& report) {
  const auto covered = base::view(report).first(offsetof(evidence::TdReportLayout, mac));
  std::array<std::byte, 32> mac{};
  TRY(vmgs::crypto::kbkdf(machine_secret.expose(), base::bytes_of("SIM-TDX-MAC-1"), covered, mac));
  return mac;
}

base::Result<QuotingService> QuotingService::open(const MachineFolder& folder,
                                                  const TdxMachine& machine,
                                                  keybroker::crypto::Time now) {
  TRY_ASSIGN(mint, tdx_mint_of(folder, now));
  TRY_ASSIGN(secret, folder.secret());
  TRY_ASSIGN(enclave,
             make_quoting_enclave(mint, PckCa::kPlatform, sgx_platform_of(machine), secret));
  return QuotingService(machine, std::move(secret), std::move(enclave));
}

base::Result<base::Bytes> QuotingService::quote(base::ByteView td_report) const {
  // Its inner hashes bind to the covered bytes what the MAC does not cover itself.
  TRY_ASSIGN(report, evidence::decode_td_report(td_report));
  const auto raw =
      base::load<evidence::TdReportLayout>(td_report.first<evidence::kTdReportBytes>());
  TRY_ASSIGN(mac, report_mac(secret_, raw));
  if (!vmgs::crypto::equal_in_constant_time(mac, raw.mac)) {
    return base::fail(base::ErrorCode::kAuthentication,
                      "this TDREPORT was not made on this simulated machine");
  }
  evidence::TdQuote quote;
  quote.form = machine_.quote_form;
  quote.body.tee_tcb_svn = report.tee_tcb_svn;
  quote.body.mr_seam = report.mr_seam;
  quote.body.attributes = report.attributes;
  quote.body.xfam = report.xfam;
  quote.body.mr_td = report.mr_td;
  quote.body.mr_config_id = report.mr_config_id;
  quote.body.mr_owner = report.mr_owner;
  quote.body.mr_owner_config = report.mr_owner_config;
  quote.body.rtmr = report.rtmr;
  quote.body.report_data = report.report_data;
  if (quote.form == evidence::TdQuoteForm::kV5Body15) {
    quote.body_15.emplace();
    quote.body_15->tee_tcb_svn2 = raw.tee_tcb_svn2;
  }
  std::copy_n(machine_.platform_id.begin(), machine_.platform_id.size(), quote.user_data.begin());
  TRY(sign_quote(quote, enclave_));
  return encode(quote);
}

}  // namespace vtpm::tee_sim
