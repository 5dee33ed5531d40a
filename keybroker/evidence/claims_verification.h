// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/expectation.h"
#include "keybroker/evidence/hcl_report.h"
#include "keybroker/evidence/td_report.h"
#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/runtime_claims.h"

namespace keybroker::evidence {

// What an owner wants of an HCL report and its claims.
struct HclPolicy {
  bool own_form = false;                      // exactly what our vTPM writes
  crypto::Hash hash = crypto::Hash::kSha256;  // the claims must be bound by this one
  std::optional<protocol::Uuid> vm_id{};
  Expectation user_data{};  // all 64 bytes
};

// What a hardware report says that claims are compared with. For a TDX VM it comes from the quote.
struct BoundReport {
  HclReportType type = HclReportType::kTrustedVm;
  std::array<std::byte, 64> report_data{};
  base::Bytes launch;                // HOST_DATA or MRCONFIGID
  std::optional<TdxDigest> mr_td{};  // TDX
};

// JudgedClaims is what the claims of an HCL report say. It is worth something only if the checklist
// it came with was accepted.
struct JudgedClaims {
  std::optional<protocol::RuntimeClaims> runtime{};
  std::optional<protocol::ExtendedClaims> extended{};
  bool bound = false;  // each tie between report and claims held
};

// judge_claims() makes the checks `hcl....` and `claims....`: the container, the tie between the
// hardware report and the claims, for TDX the tie between quote and TDREPORT, the claims
// themselves, the tie to the extended claims, and the VM. `report` is absent where no hardware
// report could be read. `nonce` is asked for in the user data where no quote carries it.
JudgedClaims judge_claims(base::ByteView hcl_report,
                          const std::optional<std::string>& extended_claims,
                          const std::optional<BoundReport>& report, const Expectation* nonce,
                          const HclPolicy& policy, Checklist& list);

// judge_no_claims() lists the same checks where there is no HCL report: what the policy wants of
// one fails, but that an AK certificate may say which VM it is where there is no TEE.
void judge_no_claims(const HclPolicy& policy, protocol::TeeFamily tee, Checklist& list);

}  // namespace keybroker::evidence
