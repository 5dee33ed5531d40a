// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/snp_chain.h"
#include "keybroker/evidence/snp_policy.h"
#include "keybroker/evidence/snp_report.h"
#include "vmgs/base/bytes.h"

namespace keybroker::evidence {

// SnpClaims is what a report says, and who says so. It is worth something only if the checklist it
// came with was accepted.
struct SnpClaims {
  SnpReport report;
  std::optional<SnpProduct> product;  // by the processor or, before version 3, by the root
  std::optional<SnpSigningKey> signer;
  std::optional<std::string> csp;
  RootClass root_class = RootClass::kProduction;
  std::optional<crypto::Time> collateral_until{};  // first end of a certificate or of the CRL

  // tcb() names the components of one of the report's versions.
  [[nodiscard]] TcbVersion tcb(const RawTcb& raw) const;

  // chip_masked() tells whether the report does not say which chip it is from.
  [[nodiscard]] bool chip_masked() const { return base::is_all_zero(report.chip_id); }
};

// judge_snp_report() makes the checks `snp....` in their order: the format of `report`, those of
// its chain, that both agree, the signature over the bytes as they were received, and the policy.
// It gives the claims if the report has the right format.
std::optional<SnpClaims> judge_snp_report(base::ByteView report, const JudgedSnpChain& chain,
                                          const SnpPolicy& policy, Checklist& list);

}  // namespace keybroker::evidence
