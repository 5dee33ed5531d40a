// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/workload_keys.h"
#include "tools/keybrokerd/admin.h"

namespace tools::keybrokerd {

namespace {

namespace broker = keybroker::broker;
namespace store = keybroker::store;
using base::ErrorCode;
using store::WorkloadKeyKind;
using transport::tls::Role;

constexpr const char* kService = "WorkloadKeyService";
constexpr std::size_t kMostListed = 1000;

base::Result<WorkloadKeyKind> kind_of(const std::string& word) {
  for (const auto kind : {WorkloadKeyKind::kOct, WorkloadKeyKind::kRsa, WorkloadKeyKind::kEc}) {
    if (word == name(kind)) {
      return kind;
    }
  }
  return base::fail(ErrorCode::kInvalidArgument,
                    "'" + word + "' is no kind of a key; expected oct, RSA or EC");
}

api::WorkloadKey message_of(const store::WorkloadKey& key) {
  api::WorkloadKey message;
  message.set_name(key.name);
  message.set_version(key.version);
  message.set_kind(std::string(name(key.kind)));
  message.set_policy(base::to_hex(key.policy));
  message.set_immutable(key.immutable);
  *message.mutable_created() = timestamp_of(key.created);
  return message;
}

base::Result<api::PutWorkloadKeyResponse> put(Desk& desk, const api::PutWorkloadKeyRequest& request,
                                              const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  broker::NewWorkloadKey key;
  TRY_ASSIGN(kind, kind_of(request.kind()));
  TRY_ASSIGN(policy, digest_of(request.policy()));
  if (request.material().empty()) {
    TRY_ASSIGN(drawn, broker::generate_workload_key(kind));
    key.material = std::move(drawn);
  } else {
    key.material = base::SecretBytes::taking(base::copy_of(base::bytes_of(request.material())));
  }
  key.name = request.name();
  key.kind = kind;
  key.policy = policy;
  key.immutable = request.immutable();
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY_ASSIGN(version, broker::put_workload_key(desk.worker, tenant, std::move(key), act));
  TRY_ASSIGN(kept, store::workload_key(desk.records, tenant, request.name(), version));
  api::PutWorkloadKeyResponse response;
  *response.mutable_key() = message_of(kept);
  return response;
}

// A page ends with the last version of a name.
base::Result<api::ListWorkloadKeysResponse> list(Desk& desk,
                                                 const api::ListWorkloadKeysRequest& request,
                                                 const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(keys, store::workload_keys(desk.records, tenant, request.after(), kMostListed));
  api::ListWorkloadKeysResponse response;
  const bool is_full = keys.size() == kMostListed;
  const auto cut = is_full ? keys.back().name : std::string();
  for (const auto& key : keys) {
    if (is_full && key.name == cut && keys.front().name != cut) {
      break;
    }
    *response.add_keys() = message_of(key);
    if (is_full) {
      response.set_next(key.name);
    }
  }
  return response;
}

base::Result<api::SetWorkloadKeyPolicyResponse> set_policy(
    Desk& desk, const api::SetWorkloadKeyPolicyRequest& request, const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(policy, digest_of(request.policy()));
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY(store::set_workload_key_policy(desk.records, tenant, request.name(), request.version(),
                                     policy, act));
  return api::SetWorkloadKeyPolicyResponse();
}

base::Result<api::DeleteWorkloadKeyResponse> remove(Desk& desk,
                                                    const api::DeleteWorkloadKeyRequest& request,
                                                    const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  if (!store::is_workload_key_name(request.name())) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a key's name is 1 to 127 letters, digits and hyphens");
  }
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY(store::delete_workload_key(desk.records, tenant, request.name(), act));
  return api::DeleteWorkloadKeyResponse();
}

}  // namespace

void add_workload_key_service(Services& services) {
  const transport::rpc::Roles tenants = {Role::kTenant};
  services.add<api::PutWorkloadKeyRequest, api::PutWorkloadKeyResponse>(kService, "PutWorkloadKey",
                                                                        tenants, put);
  services.add<api::ListWorkloadKeysRequest, api::ListWorkloadKeysResponse>(
      kService, "ListWorkloadKeys", tenants, list);
  services.add<api::SetWorkloadKeyPolicyRequest, api::SetWorkloadKeyPolicyResponse>(
      kService, "SetWorkloadKeyPolicy", tenants, set_policy);
  services.add<api::DeleteWorkloadKeyRequest, api::DeleteWorkloadKeyResponse>(
      kService, "DeleteWorkloadKey", tenants, remove);
}

}  // namespace tools::keybrokerd
