// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/policy_trial.h"

#include <boost/json/parse.hpp>

#include "keybroker/broker/registration.h"
#include "keybroker/policy/claim_set.h"

namespace keybroker::broker {

base::Result<policy::Decision> try_policy(store::BrokerRecords& records,
                                          const protocol::Uuid& tenant, const protocol::Uuid& vm_id,
                                          std::uint64_t sequence,
                                          const policy::ReleasePolicy& policy,
                                          const std::set<std::string>& authorities) {
  TRY(own_vm(records, tenant, vm_id));
  TRY_ASSIGN(line, records.log_line(store::vm_subject(vm_id), sequence));
  boost::json::error_code error;
  const auto content = boost::json::parse(line.content, error);
  const auto* object = error ? nullptr : content.if_object();
  if (object != nullptr && object->contains("detail")) {
    object =
        object->at("detail").if_object();  // of a claim; the record's own facts stand around it
  }
  const auto* claims = object == nullptr ? nullptr : object->if_contains("claims");
  if (claims == nullptr || !claims->is_object()) {
    return base::fail(base::ErrorCode::kNotFound,
                      "line " + std::to_string(sequence) + " of this VM's log has no claims");
  }
  return policy::evaluate(policy, policy::ClaimSet{claims->as_object()}, authorities);
}

}  // namespace keybroker::broker
