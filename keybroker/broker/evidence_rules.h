// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "keybroker/broker/refusal.h"
#include "keybroker/evidence/td_quote.h"
#include "keybroker/evidence/verify.h"
#include "keybroker/protocol/launch_document.h"

namespace keybroker::broker {

// EvidenceRules is what a broker judges the evidence of all VMs by; what a VM's owners ask beyond
// it stands in their release policies. Immutable; `collateral` is called by all workers at once.
struct EvidenceRules {
  // The broker's floors: minimum TCB, collateral, products. It names no VM; that a report speaks
  // for a release, is of VMPL 0, does not allow debugging and is of this launch is added to it.
  evidence::Policy policy{};

  // collateral() gives what vendors publish, as it is now, and adds to evidence that came without
  // certificates those that are kept for its machine.
  std::function<base::Result<evidence::Collateral>(evidence::Evidence&)> collateral;

  // Whom VMs are believed from that are registered as simulated, if from anybody.
  std::optional<evidence::TrustStore> simulated{};
};

// What evidence of a release has to be of.
struct ReleaseSubject {
  protocol::TeeFamily family = protocol::TeeFamily::kSevSnp;
  evidence::RootClass root_class = evidence::RootClass::kProduction;
  base::Bytes launch;  // the digest, 32 or 48 bytes
  base::ByteView claims;
};

inline constexpr std::size_t kMaxReportBytes = evidence::kMaxTdQuoteBytes;
inline constexpr std::size_t kMaxCertificateTableBytes = 64 * 1024;

// judge_release_evidence() verifies an SNP report or a TD quote. It refuses with a word of
// evidence, or guest-report, simulated-not-accepted or certificate-table-malformed. `verdict` has
// the checks in either case. Any thread; it takes about a millisecond.
Outcome<evidence::Claims> judge_release_evidence(base::ByteView report, base::ByteView table,
                                                 const ReleaseSubject& subject,
                                                 const EvidenceRules& rules, crypto::Time now,
                                                 evidence::Verdict& verdict);

}  // namespace keybroker::broker
