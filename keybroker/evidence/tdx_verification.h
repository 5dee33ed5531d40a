// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/td_quote.h"
#include "keybroker/evidence/tdx_chain.h"
#include "keybroker/evidence/tdx_policy.h"
#include "keybroker/evidence/tdx_tcb.h"
#include "vmgs/base/bytes.h"

namespace keybroker::evidence {

// TdxClaims is what a quote says, and who says so. It is worth something only if the checklist it
// came with was accepted.
struct TdxClaims {
  TdQuote quote;
  std::optional<crypto::SgxExtension> platform;
  std::optional<TcbSummary> tcb;
  std::optional<TcbStatus> qe_status;
  std::optional<TcbStatus> module_status;
  std::optional<TcbStatus> platform_status;
  std::optional<std::uint32_t> evaluation_number;
  std::optional<crypto::Time> collateral_until;
  RootClass root_class = RootClass::kProduction;
};

// judge_td_quote() makes the checks `tdx....` in their order: the format, those of the chain, what
// is signed by what, those of the collateral, the TCB, and the policy. `bytes` are those that
// `read` was read from. It gives the claims if the quote could be read.
std::optional<TdxClaims> judge_td_quote(base::ByteView bytes, const ReadTdQuote& read,
                                        const JudgedPckChain& chain,
                                        const JudgedTdxCollateral& collateral,
                                        const TdxPolicy& policy, crypto::Time now, Checklist& list);

// judge_td_policy() is its last part; not_run_td_policy() lists the same where nothing is to judge.
void judge_td_policy(const TdxClaims& claims, const TdxPolicy& policy, crypto::Time now,
                     Checklist& list);
void not_run_td_policy(Checklist& list, const std::string& why);

}  // namespace keybroker::evidence
