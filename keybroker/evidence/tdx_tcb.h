// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keybroker/crypto/sgx_extension.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/tcb_info.h"
#include "keybroker/evidence/td_quote.h"

namespace keybroker::evidence {

// A level that was met, or why none was.
struct MetLevel {
  std::optional<TcbVerdict> verdict;
  std::optional<Finding> finding;
};

// qe_level() compares the quoting enclave with its identity and finds its level.
MetLevel qe_level(const QeReportLayout& report, const QeIdentity& identity);

// The two levels of a platform: by its SGX components only, and by its TDX components as well.
struct PlatformLevels {
  std::optional<TcbVerdict> sgx;
  std::optional<TcbVerdict> tdx;
  std::optional<Finding> finding;  // if and only if there is no TDX level
};

// platform_levels() finds them. From module version 1 on, the two TDX components that describe the
// module are left to module_level().
PlatformLevels platform_levels(const crypto::SgxTcb& pck, const TdQuoteBodyLayout& body,
                               const TcbInfo& info);

// module_level() compares the TDX module with what the TCB info says of its version. A module of
// version 0 has no level of its own: its verdict is UpToDate.
MetLevel module_level(const TdQuoteBodyLayout& body, const TcbInfo& info);

// What a quote's parts add up to.
struct TcbSummary {
  TcbStatus status = TcbStatus::kUpToDate;
  crypto::Time date;                    // of the oldest part
  std::vector<std::string> advisories;  // of all parts, sorted, none twice
};

// summarise() combines platform, module and quoting enclave; `body_15` is there for quotes of
// TDX 1.5 and tells whether the TD would be up to date if it were started again.
TcbSummary summarise(const PlatformLevels& platform, const TcbVerdict& module, const TcbVerdict& qe,
                     const std::optional<TdQuoteBody15Layout>& body_15, const TcbInfo& info);

}  // namespace keybroker::evidence
