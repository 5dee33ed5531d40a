// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/guest_evidence.h"

#include <algorithm>

namespace keybroker::broker {

namespace {

using evidence::Expectation;

evidence::Policy policy_for(const RegisteredLaunch& launch, base::ByteView commitment,
                            const evidence::Policy& given) {
  auto policy = given;
  policy.tees = {launch.family};
  policy.report_data = {};
  policy.nonce = Expectation::one_of({base::copy_of(commitment)});
  auto user_data = base::copy_of(commitment);
  user_data.resize(protocol::UserData{}.size());
  policy.hcl.own_form = true;
  policy.hcl.vm_id = launch.document.vm_id;
  policy.hcl.user_data = Expectation::one_of({std::move(user_data)});
  const auto digest = Expectation::one_of({launch.digest});
  policy.snp.host_data = digest;
  policy.snp.vmpls = {0};
  policy.snp.allow_debug = false;
  policy.tdx.mr_config_id = digest;
  policy.tdx.allow_debug = false;
  policy.quote.required = true;
  return policy;
}

}  // namespace

Outcome<evidence::Claims> judge_guest_evidence(evidence::Evidence shown,
                                               const RegisteredLaunch& launch,
                                               evidence::RootClass root_class,
                                               base::ByteView commitment,
                                               const EvidenceRules& rules, crypto::Time now,
                                               evidence::Verdict& verdict) {
  const bool simulated = root_class == evidence::RootClass::kSimulated;
  if (simulated && !rules.simulated) {
    return refuse(RefusalReason::kSimulatedNotAccepted, "");
  }
  const auto collateral = rules.collateral(shown);
  if (!collateral) {
    return tl::unexpected<Failure>(collateral.error());
  }
  const auto& store = simulated ? *rules.simulated : evidence::TrustStore::production();
  verdict = evidence::verify(shown, policy_for(launch, commitment, rules.policy), *collateral,
                             store, now);
  if (!verdict.accepted) {
    return tl::unexpected<Failure>(refusal(verdict));
  }
  return *verdict.claims;
}

policy::Freshness freshness_now(const store::VmRecord& record, protocol::AnchorClass anchor_class,
                                const protocol::BootId& boot_id) {
  if (anchor_class == protocol::AnchorClass::kNone) {
    return policy::Freshness::kUnanchored;
  }
  const bool owns = record.owner && std::ranges::equal(*record.owner, boot_id);
  const bool anchored = record.anchor && record.anchor->epoch == record.epoch;
  return owns && anchored ? policy::Freshness::kFresh : policy::Freshness::kOffline;
}

}  // namespace keybroker::broker
