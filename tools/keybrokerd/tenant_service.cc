// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/workload_keys.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/once.h"
#include "tools/keybrokerd/admin.h"

namespace tools::keybrokerd {

namespace {

namespace broker = keybroker::broker;
namespace hsm = keybroker::hsm;
namespace protocol = keybroker::protocol;
namespace store = keybroker::store;
using base::ErrorCode;
using transport::tls::Role;

constexpr const char* kService = "TenantService";

base::Result<api::Tenant> tenant_message(Desk& desk, const store::Tenant& tenant) {
  api::Tenant message;
  message.set_tenant_id(protocol::uuid_text(tenant.tenant_id));
  message.set_name(tenant.name);
  *message.mutable_created() = timestamp_of(tenant.created);
  const auto kek = desk.records.newest_kek(tenant.tenant_id);
  if (!kek) {
    message.set_key_state("key-absent");
    message.set_key_finding(kek.error().message);
    message.set_key_remedy("Create the tenant again by its id: what is missing is made.");
    return message;
  }
  message.set_key_provider(kek->provider);
  message.set_key_version(static_cast<std::uint32_t>(kek->version));
  TRY_ASSIGN(record, broker::kek_record(*kek));
  const auto status = desk.office.keys.status(record);
  message.set_key_state(std::string(name(status.state)));
  message.set_key_finding(status.finding);
  message.set_key_remedy(status.remedy);
  return message;
}

std::string label_of(std::uint64_t version) { return "strongroom-" + std::to_string(version); }

base::Result<api::CreateTenantResponse> create(Desk& desk, const api::CreateTenantRequest& request,
                                               const Caller& caller) {
  store::Tenant tenant;
  TRY_ASSIGN(act, act_of(desk, caller, request));
  if (request.tenant_id().empty()) {
    // The request's own id, so that a repeat makes no other tenant; as a UUID of version 4
    // (RFC 4122, 4.4).
    tenant.tenant_id = act.request_id;
    tenant.tenant_id[6] = (tenant.tenant_id[6] & std::byte{0x0F}) | std::byte{0x40};
    tenant.tenant_id[8] = (tenant.tenant_id[8] & std::byte{0x3F}) | std::byte{0x80};
  } else {
    TRY_ASSIGN(id, uuid_of("tenant_id", request.tenant_id()));
    tenant.tenant_id = id;
  }
  tenant.name = request.name();
  tenant.created = act.now;
  TRY_ASSIGN(is_new, desk.records.create_tenant(tenant, act));
  // Where an earlier attempt ended between the two, its key is made now.
  if (const auto kek = desk.records.newest_kek(tenant.tenant_id);
      !kek && kek.error().code == ErrorCode::kNotFound) {
    TRY_ASSIGN(first, desk.office.keys.make(tenant.tenant_id, label_of(1)));
    TRY_ASSIGN(its_act, act_of(caller));
    TRY(desk.records.add_kek(broker::kek_of(first, 1), its_act));
  }
  TRY_ASSIGN(kept, desk.records.tenant(tenant.tenant_id));
  TRY_ASSIGN(message, tenant_message(desk, kept));
  api::CreateTenantResponse response;
  *response.mutable_tenant() = std::move(message);
  response.set_created(is_new);
  return response;
}

base::Result<api::ListTenantsResponse> list(Desk& desk, const api::ListTenantsRequest&,
                                            const Caller&) {
  TRY_ASSIGN(tenants, desk.records.tenants());
  api::ListTenantsResponse response;
  for (const auto& tenant : tenants) {
    TRY_ASSIGN(message, tenant_message(desk, tenant));
    *response.add_tenants() = std::move(message);
  }
  return response;
}

constexpr std::size_t kPage = 256;

// All VM keys of a tenant under its newest key-encryption key. What is wrapped anew stays so if
// this is cut short, and the rest follows when it is repeated.
base::Result<std::uint32_t> rewrap_vm_keys(Desk& desk, const protocol::Uuid& tenant,
                                           const store::Kek& newest, const Caller& caller) {
  std::uint32_t rewrapped = 0;
  std::optional<protocol::Uuid> after;
  for (;;) {
    TRY_ASSIGN(page, desk.records.vms(tenant, after, kPage));
    for (const auto& vm_id : page) {
      const auto key = desk.records.newest_vm_key(vm_id);
      if (!key && key.error().code == ErrorCode::kNotFound) {
        continue;  // a VM that was deleted has none
      }
      if (!key) {
        return base::fail(base::Error(key.error()));
      }
      if (key->kek_version == newest.version) {
        continue;
      }
      TRY_ASSIGN(old, desk.records.kek(tenant, key->kek_version));
      TRY_ASSIGN(plain, broker::unwrap_vm_key(desk.worker, vm_id, *key, old));
      TRY_ASSIGN(record, broker::kek_record(newest));
      TRY_ASSIGN(wrapped, desk.office.keys.wrap(
                              record, broker::wrapping_context(vm_id, key->version), plain));
      TRY_ASSIGN(act, act_of(caller));
      TRY(desk.records.rewrap_vm_key(
          vm_id,
          {.version = key->version, .wrapped = std::move(wrapped), .kek_version = newest.version},
          act));
      ++rewrapped;
    }
    if (page.size() < kPage) {
      return rewrapped;
    }
    after = page.back();
  }
}

// The same with the content keys of its workload keys.
base::Result<std::uint32_t> rewrap_workload_keys(Desk& desk, const protocol::Uuid& tenant,
                                                 const store::Kek& newest, const Caller& caller) {
  std::uint32_t rewrapped = 0;
  for (;;) {
    TRY_ASSIGN(page, store::workload_keys_before(desk.records, tenant, newest.version, kPage));
    for (const auto& key : page) {
      TRY_ASSIGN(act, act_of(caller));
      TRY(broker::rewrap_workload_key(desk.worker, key, newest, act));
      ++rewrapped;
    }
    if (page.size() < kPage) {
      return rewrapped;
    }
  }
}

struct Rewrapped {
  std::uint32_t vm_keys = 0;
  std::uint32_t workload_keys = 0;
};

base::Result<Rewrapped> rewrap_all(Desk& desk, const protocol::Uuid& tenant,
                                   const store::Kek& newest, const Caller& caller) {
  TRY_ASSIGN(vm_keys, rewrap_vm_keys(desk, tenant, newest, caller));
  TRY_ASSIGN(workload_keys, rewrap_workload_keys(desk, tenant, newest, caller));
  return Rewrapped{vm_keys, workload_keys};
}

// Whether what is wrapped under the present key can be taken out of it: else there is nothing that
// a new one could get, and new VMs would already be under it.
base::Result<void> prove_present(Desk& desk, const store::Kek& present,
                                 const hsm::KekRecord& record) {
  if (const auto status = desk.office.keys.status(record); status.state != hsm::KekState::kReady) {
    return base::fail(ErrorCode::kUnavailable, std::string(name(status.state)) + ": " +
                                                   status.finding + "; " + status.remedy);
  }
  std::optional<protocol::Uuid> after;
  for (;;) {
    TRY_ASSIGN(page, desk.records.vms(present.tenant, after, kPage));
    for (const auto& vm_id : page) {
      const auto key = desk.records.newest_vm_key(vm_id);
      if (key) {
        TRY(broker::unwrap_vm_key(desk.worker, vm_id, *key, present));
        return {};
      }
      if (key.error().code != ErrorCode::kNotFound) {
        return base::fail(base::Error(key.error()));
      }
    }
    if (page.size() < kPage) {
      return {};
    }
    after = page.back();
  }
}

base::Result<api::RotateTenantKeyResponse> rotate(Desk& desk,
                                                  const api::RotateTenantKeyRequest& request,
                                                  const Caller& caller) {
  TRY_ASSIGN(id, uuid_of("tenant_id", request.tenant_id()));
  TRY_ASSIGN(present, desk.records.newest_kek(id));
  TRY_ASSIGN(act, act_of(desk, caller, request));
  TRY_ASSIGN(known, store::made_before(desk.records.sql(), store::tenant_subject(id),
                                       {store::kKekAdded}, act));
  // What a rotation before left behind comes first, so that all is under the present key.
  TRY(rewrap_all(desk, id, present, caller));
  if (!known) {
    TRY_ASSIGN(present_record, broker::kek_record(present));
    TRY(prove_present(desk, present, present_record));
    const auto version = present.version + 1;
    TRY_ASSIGN(made, desk.office.keys.make_after(present_record, label_of(version)));
    TRY(desk.records.add_kek(broker::kek_of(made, version), act));
  }
  TRY_ASSIGN(newest, desk.records.newest_kek(id));
  TRY_ASSIGN(rewrapped, rewrap_all(desk, id, newest, caller));
  api::RotateTenantKeyResponse response;
  response.set_key_version(static_cast<std::uint32_t>(newest.version));
  response.set_rewrapped(rewrapped.vm_keys);
  response.set_rewrapped_workload_keys(rewrapped.workload_keys);
  return response;
}

}  // namespace

void add_tenant_service(Services& services) {
  services.add<api::CreateTenantRequest, api::CreateTenantResponse>(kService, "CreateTenant",
                                                                    {Role::kOperator}, create);
  services.add<api::ListTenantsRequest, api::ListTenantsResponse>(kService, "ListTenants",
                                                                  {Role::kOperator}, list);
  services.add<api::RotateTenantKeyRequest, api::RotateTenantKeyResponse>(
      kService, "RotateTenantKey", {Role::kOperator}, rotate);
}

}  // namespace tools::keybrokerd
