// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "keybroker/policy/decision.h"
#include "keybroker/store/broker_records.h"

namespace keybroker::broker {

// try_policy() says what a policy would say of what was seen at a release or refusal: line
// `sequence` of the VM's log, which has the claims of that moment. Nothing is released, and nothing
// is written. kNotFound for a VM that own_vm() does not find for the tenant, a line that is not
// there, and one without claims: evidence that was refused makes none.
base::Result<policy::Decision> try_policy(store::BrokerRecords& records,
                                          const protocol::Uuid& tenant, const protocol::Uuid& vm_id,
                                          std::uint64_t sequence,
                                          const policy::ReleasePolicy& policy,
                                          const std::set<std::string>& authorities);

}  // namespace keybroker::broker
