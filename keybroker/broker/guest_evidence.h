// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/broker/evidence_rules.h"
#include "keybroker/broker/registered_launch.h"
#include "keybroker/policy/claim_set.h"
#include "keybroker/protocol/extended_claims.h"

namespace keybroker::broker {

// judge_guest_evidence() verifies what a guest with a vTPM shows: a hardware report or TD quote,
// the claims that it binds, and a quote of PCR 0 to 7 by the AK of those claims. The rules are the
// broker's, as for a release; the claims must be of this VM, of this launch, and of the form that
// our vTPM writes. It refuses with a word of evidence or simulated-not-accepted. `verdict` has the
// checks in either case. Any thread; it takes some milliseconds.
Outcome<evidence::Claims> judge_guest_evidence(evidence::Evidence shown,
                                               const RegisteredLaunch& launch,
                                               evidence::RootClass root_class,
                                               base::ByteView commitment,
                                               const EvidenceRules& rules, crypto::Time now,
                                               evidence::Verdict& verdict);

// freshness_now() is how much the records know of the state that a boot runs on: fresh if it is the
// boot that claimed last and it has anchored since. A boot that another one has fenced is like one
// that never asked: offline.
policy::Freshness freshness_now(const store::VmRecord& record, protocol::AnchorClass anchor_class,
                                const protocol::BootId& boot_id);

}  // namespace keybroker::broker
