// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/policy/decision.h"
#include "keybroker/policy/release_policy.h"
#include "keybroker/policy/warnings.h"
#include "keybroker/store/broker_records.h"

namespace keybroker::broker {

// StoredPolicy is a release policy that was put on record, and what is doubtful about it.
struct StoredPolicy {
  protocol::Sha256Digest digest{};
  std::vector<policy::Warning> warnings;
};

// put_policy() reads a policy and keeps it for good under its digest. kInvalidArgument, with the
// path of the clause, for a text that is none.
base::Result<StoredPolicy> put_policy(store::BrokerRecords& records, std::string_view text,
                                      policy::Compatibility compatibility, crypto::Time now);

// load_policy() reads it back, and checks that it is the one of that digest: kCorrupt if somebody
// changed the record.
base::Result<policy::ReleasePolicy> load_policy(store::BrokerRecords& records,
                                                const protocol::Sha256Digest& digest);

// load_owned_policies() is that of all owners of a VM, in order.
base::Result<std::vector<policy::OwnedPolicy>> load_owned_policies(
    store::BrokerRecords& records, std::span<const store::OwnerPolicy> policies);

}  // namespace keybroker::broker
