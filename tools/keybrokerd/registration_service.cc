// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "keybroker/protocol/uuid.h"
#include "tools/keybrokerd/admin.h"

namespace tools::keybrokerd {

namespace {

namespace broker = keybroker::broker;
namespace evidence = keybroker::evidence;
namespace protocol = keybroker::protocol;
namespace store = keybroker::store;
using base::ErrorCode;
using transport::tls::Role;

constexpr const char* kService = "RegistrationService";
constexpr std::uint32_t kUsualPage = 100;
constexpr std::uint32_t kLargestPage = 1000;

base::Bytes bytes_of(const std::string& field) { return base::copy_of(base::bytes_of(field)); }

std::optional<base::Bytes> optional_bytes(const std::string& field) {
  return field.empty() ? std::nullopt : std::optional(bytes_of(field));
}

base::Result<evidence::RootClass> root_class_of(const std::string& word) {
  if (word.empty() || word == name(evidence::RootClass::kProduction)) {
    return evidence::RootClass::kProduction;
  }
  if (word == name(evidence::RootClass::kSimulated)) {
    return evidence::RootClass::kSimulated;
  }
  return base::fail(ErrorCode::kInvalidArgument,
                    "'" + word + "' is no root class; expected production or simulated");
}

// The answer of all calls that change a VM: how it is now.
template <typename Response>
base::Result<Response> with_vm(Desk& desk, const protocol::Uuid& tenant,
                               const protocol::Uuid& vm_id, Response response = {}) {
  TRY_ASSIGN(record, broker::own_vm(desk.records, tenant, vm_id));
  TRY_ASSIGN(message, vm_message(desk, record, tenant));
  *response.mutable_vm() = std::move(message);
  return response;
}

base::Result<api::RegisterVmResponse> register_vm(Desk& desk, const api::RegisterVmRequest& request,
                                                  const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(registrar, registrar_of(desk, tenant));
  broker::NewVm vm;
  vm.launch_document = bytes_of(request.launch_document());
  TRY_ASSIGN(root_class, root_class_of(request.root_class()));
  vm.root_class = root_class;
  vm.execution_policy = optional_bytes(request.execution_policy());
  vm.fde_mode = request.fde_mode();
  vm.region = request.region();
  for (const auto& hex : request.policies()) {
    TRY_ASSIGN(digest, digest_of(hex));
    vm.policies.push_back({.owner = tenant, .policy = digest});
  }
  for (const auto& other : request.other_owners()) {
    TRY_ASSIGN(owner, uuid_of("other_owners", other.tenant_id()));
    TRY_ASSIGN(digest, digest_of(other.digest()));
    vm.policies.push_back({.owner = owner, .policy = digest});
  }
  std::ranges::sort(vm.policies);
  TRY_ASSIGN(document, protocol::decode_launch_document(vm.launch_document));
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY_ASSIGN(is_new, broker::register_vm(registrar, tenant, vm, act));
  api::RegisterVmResponse response;
  response.set_created(is_new);
  return with_vm(desk, tenant, document.vm_id, std::move(response));
}

base::Result<api::GetVmResponse> get(Desk& desk, const api::GetVmRequest& request,
                                     const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(vm_id, uuid_of("vm_id", request.vm_id()));
  TRY_ASSIGN(record, broker::own_vm(desk.records, tenant, vm_id));
  api::GetVmResponse response;
  const auto& document = record.registration.launch.document;
  response.set_launch_document(document.data(), document.size());
  return with_vm(desk, tenant, vm_id, std::move(response));
}

base::Result<api::ListVmsResponse> list(Desk& desk, const api::ListVmsRequest& request,
                                        const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  std::optional<protocol::Uuid> after;
  if (!request.page_token().empty()) {
    TRY_ASSIGN(last, uuid_of("page_token", request.page_token()));
    after = last;
  }
  const auto most =
      request.page_size() == 0 ? kUsualPage : std::min(request.page_size(), kLargestPage);
  TRY_ASSIGN(ids, desk.records.vms(tenant, after, most));
  api::ListVmsResponse response;
  for (const auto& id : ids) {
    TRY_ASSIGN(record, desk.records.vm(id));
    TRY_ASSIGN(message, vm_message(desk, record, tenant));
    *response.add_vms() = std::move(message);
  }
  if (ids.size() == most) {
    response.set_next_page_token(protocol::uuid_text(ids.back()));
  }
  return response;
}

base::Result<api::SetVmEnabledResponse> set_enabled(Desk& desk,
                                                    const api::SetVmEnabledRequest& request,
                                                    const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(vm_id, uuid_of("vm_id", request.vm_id()));
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY(broker::set_enabled(desk.records, tenant, vm_id, request.enabled(), act));
  return with_vm<api::SetVmEnabledResponse>(desk, tenant, vm_id);
}

base::Result<api::DeleteVmResponse> delete_vm(Desk& desk, const api::DeleteVmRequest& request,
                                              const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(vm_id, uuid_of("vm_id", request.vm_id()));
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY(broker::delete_vm(desk.records, tenant, vm_id, act));
  // What vouched for its TPM vouches for nothing any more.
  TRY(desk.authority.forget(vm_id, act.now));
  return api::DeleteVmResponse();
}

base::Result<api::ConvertVmResponse> convert(Desk& desk, const api::ConvertVmRequest& request,
                                             const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(registrar, registrar_of(desk, tenant));
  const auto document = base::bytes_of(request.launch_document());
  const auto policy = optional_bytes(request.execution_policy());
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY_ASSIGN(conversion, request.dry_run()
                             ? broker::plan_conversion(registrar, tenant, document, policy)
                             : broker::convert_vm(registrar, tenant, document, policy, act));
  api::ConvertVmResponse response;
  for (const auto& change : conversion.changes) {
    response.add_changes(change);
  }
  for (const auto& note : conversion.notes) {
    response.add_notes(note);
  }
  return with_vm(desk, tenant, conversion.vm_id, std::move(response));
}

base::Result<api::AllowRestoreResponse> allow_restore(Desk& desk,
                                                      const api::AllowRestoreRequest& request,
                                                      const Caller& caller) {
  TRY_ASSIGN(tenant, tenant_of(caller));
  TRY_ASSIGN(vm_id, uuid_of("vm_id", request.vm_id()));
  if (request.receipt().empty() != request.has_point()) {
    return base::fail(ErrorCode::kInvalidArgument, "expected a receipt or a point in time");
  }
  const auto life = request.valid_seconds() == 0 ? std::chrono::seconds(broker::kRestoreLife)
                                                 : std::chrono::seconds(request.valid_seconds());
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY_ASSIGN(
      state,
      request.has_point()
          ? broker::allow_restore_of(
                desk.records, tenant, vm_id,
                keybroker::crypto::Time(std::chrono::seconds(request.point().seconds())), life, act)
          : broker::allow_restore_by_receipt(desk.records, tenant, vm_id,
                                             base::bytes_of(request.receipt()),
                                             desk.office.rules.receipt_roots, life, act));
  api::AllowRestoreResponse response;
  response.set_sequence(state.sequence);
  response.set_digest(state.digest.data(), state.digest.size());
  return with_vm(desk, tenant, vm_id, std::move(response));
}

}  // namespace

void add_registration_service(Services& services) {
  const transport::rpc::Roles tenants = {Role::kTenant};
  services.add<api::RegisterVmRequest, api::RegisterVmResponse>(kService, "RegisterVm", tenants,
                                                                register_vm);
  services.add<api::GetVmRequest, api::GetVmResponse>(kService, "GetVm", tenants, get);
  services.add<api::ListVmsRequest, api::ListVmsResponse>(kService, "ListVms", tenants, list);
  services.add<api::SetVmEnabledRequest, api::SetVmEnabledResponse>(kService, "SetVmEnabled",
                                                                    tenants, set_enabled);
  services.add<api::DeleteVmRequest, api::DeleteVmResponse>(kService, "DeleteVm", tenants,
                                                            delete_vm);
  services.add<api::ConvertVmRequest, api::ConvertVmResponse>(kService, "ConvertVm", tenants,
                                                              convert);
  services.add<api::AllowRestoreRequest, api::AllowRestoreResponse>(kService, "AllowRestore",
                                                                    tenants, allow_restore);
}

}  // namespace tools::keybrokerd
