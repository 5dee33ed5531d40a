// SPDX-License-Identifier: Apache-2.0
#include <boost/json/serialize.hpp>

#include "keybroker/broker/owner_policies.h"
#include "keybroker/broker/policy_trial.h"
#include "keybroker/policy/decision.h"
#include "keybroker/protocol/strict_json.h"
#include "keybroker/protocol/uuid.h"
#include "tools/keybrokerd/admin.h"
#include "tools/keybrokerd/release_lines.h"
#include "vmgs/base/log.h"

namespace tools::keybrokerd {

namespace {

namespace broker = keybroker::broker;
namespace json = boost::json;
namespace policy = keybroker::policy;
namespace protocol = keybroker::protocol;
namespace store = keybroker::store;
using base::ErrorCode;
using transport::tls::Role;

constexpr const char* kService = "PolicyService";
constexpr std::size_t kMaxClaimsBytes = 1024 * 1024;
constexpr std::string_view kPolicyBudget = "policies";

base::Result<policy::Compatibility> compatibility_of(const std::string& word) {
  if (word.empty() || word == "strict") {
    return policy::Compatibility::kStrict;
  }
  if (word == "akv") {
    return policy::Compatibility::kAkv;
  }
  return base::fail(ErrorCode::kInvalidArgument,
                    "'" + word + "' is no compatibility; expected strict or akv");
}

base::Result<api::PutPolicyResponse> put(Desk& desk, const api::PutPolicyRequest& request,
                                         const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  // Policies are kept for good, whoever put them.
  const auto now = now_in_seconds();
  if (!desk.office.limit.take(kPolicyBudget, tenant, now)) {
    return base::fail(ErrorCode::kUnavailable,
                      "too-many-requests: the tenant puts policies too often; wait");
  }
  TRY_ASSIGN(compatibility, compatibility_of(request.compatibility()));
  TRY_ASSIGN(stored, broker::put_policy(desk.records, request.text(), compatibility, now));
  base::log(base::LogLevel::kInfo, "policy " + base::to_hex(stored.digest) + " was put by '" +
                                       caller.name + "' of tenant " + protocol::uuid_text(tenant));
  api::PutPolicyResponse response;
  response.set_digest(base::to_hex(stored.digest));
  for (const auto& warning : stored.warnings) {
    response.add_warnings(warning.path + ": " + warning.message);
  }
  return response;
}

// Who knows a policy's digest may read it: it holds no secret.
base::Result<api::GetPolicyResponse> get(Desk& desk, const api::GetPolicyRequest& request,
                                         const Caller&) {
  TRY_ASSIGN(digest, digest_of(request.digest()));
  TRY_ASSIGN(found, broker::load_policy(desk.records, digest));
  api::GetPolicyResponse response;
  response.set_text(policy::canonical_form(found));
  response.set_compatibility(found.compatibility == policy::Compatibility::kAkv ? "akv" : "strict");
  return response;
}

base::Result<policy::ReleasePolicy> policy_of(Desk& desk, const api::TestPolicyRequest& request) {
  if (request.text().empty() == request.digest().empty()) {
    return base::fail(ErrorCode::kInvalidArgument, "expected a policy's text or its digest");
  }
  if (!request.digest().empty()) {
    TRY_ASSIGN(digest, digest_of(request.digest()));
    return broker::load_policy(desk.records, digest);
  }
  TRY_ASSIGN(compatibility, compatibility_of(request.compatibility()));
  return policy::parse_release_policy(request.text(), compatibility);
}

base::Result<policy::Decision> decide(Desk& desk, const api::TestPolicyRequest& request,
                                      const protocol::Uuid& tenant,
                                      const policy::ReleasePolicy& tried) {
  // As of a release: keys' policies may name the issuer of tokens.
  auto authorities = desk.office.rules.policy_authorities;
  if (desk.office.tokens) {
    authorities.insert(desk.office.tokens->issuer);
  }
  if (request.release_id().empty() == request.claims_json().empty()) {
    return base::fail(ErrorCode::kInvalidArgument, "expected a release's id or claims");
  }
  if (request.release_id().empty()) {
    TRY_ASSIGN(value, protocol::parse_json(request.claims_json(), kMaxClaimsBytes));
    if (!value.is_object()) {
      return base::fail(ErrorCode::kInvalidArgument, "claims are one JSON object");
    }
    return policy::evaluate(tried, {std::move(value.as_object())}, authorities);
  }
  TRY_ASSIGN(row, line_of_tenant(desk, request.release_id(), tenant));
  return broker::try_policy(desk.records, tenant, store::id_of(row.subject), row.sequence, tried,
                            authorities);
}

base::Result<api::TestPolicyResponse> test(Desk& desk, const api::TestPolicyRequest& request,
                                           const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(tried, policy_of(desk, request));
  TRY_ASSIGN(decision, decide(desk, request, tenant, tried));
  api::TestPolicyResponse response;
  response.set_allowed(decision.allowed);
  response.set_why(decision.why());
  response.set_trace_json(json::serialize(policy::to_json(decision)));
  return response;
}

base::Result<api::SetVmPoliciesResponse> set(Desk& desk, const api::SetVmPoliciesRequest& request,
                                             const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(vm_id, uuid_of("vm_id", request.vm_id()));
  std::vector<protocol::Sha256Digest> digests;
  for (const auto& hex : request.policies()) {
    TRY_ASSIGN(digest, digest_of(hex));
    digests.push_back(digest);
  }
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY(broker::set_policies(desk.records, tenant, vm_id, digests, act));
  if (digests.empty()) {
    return api::SetVmPoliciesResponse();
  }
  TRY_ASSIGN(record, broker::own_vm(desk.records, tenant, vm_id));
  TRY_ASSIGN(message, vm_message(desk, record, tenant));
  api::SetVmPoliciesResponse response;
  *response.mutable_vm() = std::move(message);
  return response;
}

}  // namespace

void add_policy_service(Services& services) {
  const transport::rpc::Roles tenants = {Role::kTenant};
  services.add<api::PutPolicyRequest, api::PutPolicyResponse>(kService, "PutPolicy", tenants, put);
  services.add<api::GetPolicyRequest, api::GetPolicyResponse>(kService, "GetPolicy", tenants, get);
  services.add<api::TestPolicyRequest, api::TestPolicyResponse>(kService, "TestPolicy", tenants,
                                                                test);
  services.add<api::SetVmPoliciesRequest, api::SetVmPoliciesResponse>(kService, "SetVmPolicies",
                                                                      tenants, set);
}

}  // namespace tools::keybrokerd
