// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "keybroker/protocol/uuid.h"
#include "keybroker/store/broker_records.h"
#include "keybroker/store/columns.h"
#include "keybroker/store/once.h"
#include "keybroker/store/vm_row.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;
using protocol::TeeFamily;

base::Result<void> check(const VmRegistration& registration) {
  const auto& policies = registration.policies;
  if (!std::is_sorted(policies.begin(), policies.end()) ||
      std::adjacent_find(policies.begin(), policies.end()) != policies.end()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the policies of a VM are in order, and each is named once");
  }
  return {};
}

tl::unexpected<base::Error> differs(std::string_view field) {
  return base::fail(ErrorCode::kDenied, "this VM is registered with another " + std::string(field));
}

base::Result<void> check_version(const VmRecord& record, std::uint64_t conf_version) {
  if (record.status == VmStatus::kDeleted) {
    return base::fail(ErrorCode::kDenied, "this VM is deleted");
  }
  if (record.conf_version != conf_version) {
    return base::fail(ErrorCode::kDenied, "the registration was changed meanwhile; read it again");
  }
  return {};
}

// insert_vm() gives false if the VM is there.
base::Result<bool> insert_vm(Sql& sql, const VmRegistration& vm, const VmKey& key, const Act& act) {
  TRY_ASSIGN(
      rows,
      sql.execute("INSERT INTO vm (vm_id, tenant_id, status, conf_version, launch_document, "
                  "launch_digest, family, protection, execution_policy, root_class, lifetime, "
                  "origin, fde_mode, cloned_from, clone_pending, region, created, epoch, "
                  "lease_until, a_epoch, ek_name, ak_name, restores) "
                  "VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
                  "$16, 0, 0, 0, $17, $17, 0) ON CONFLICT (vm_id) DO NOTHING RETURNING vm_id",
                  {value_of(vm.vm_id), value_of(vm.tenant), std::string(name(VmStatus::kActive)),
                   vm.launch.document, value_of(vm.launch.digest.bytes), value_of(vm.launch.family),
                   value_of(vm.launch.protection), value_of(vm.launch.execution_policy),
                   value_of(vm.root_class), value_of(vm.lifetime), value_of(vm.origin), vm.fde_mode,
                   value_of(vm.cloned_from), std::int64_t{vm.cloned_from ? 1 : 0}, vm.region,
                   value_of(act.now), base::Bytes()}));
  if (rows.empty()) {
    return false;
  }
  TRY(
      sql.execute("INSERT INTO vm_key (vm_id, version, wrapped, kek_version, created) "
                  "VALUES ($1, $2, $3, $4, $5)",
                  {value_of(vm.vm_id), value_of(key.version), key.wrapped,
                   value_of(key.kek_version), value_of(act.now)}));
  TRY(store_policies(sql, vm));
  return true;
}

std::string digest_fact(const Launch& launch) {
  return "\"launch-digest\":\"" + base::to_hex(launch.digest.bytes) + "\"";
}

}  // namespace

base::Result<bool> BrokerRecords::register_vm(const VmRegistration& registration, const VmKey& key,
                                              const Act& act) {
  TRY(check(registration));
  if (key.version != 1) {
    return base::fail(ErrorCode::kInvalidArgument, "the first version of a VM's key is 1");
  }
  bool created = false;
  auto recorded = change(
      *sql_, registration.vm_id, "registered", with_facts(act, digest_fact(registration.launch)),
      [&]() -> base::Result<bool> {
        TRY(tenant(registration.tenant));
        TRY_ASSIGN(inserted, insert_vm(*sql_, registration, key, act));
        created = inserted;
        if (!inserted) {
          TRY_ASSIGN(record, load_vm(*sql_, registration.vm_id));
          const auto field = difference(record.registration, registration, Fields::kAll);
          if (record.status == VmStatus::kDeleted) {
            return base::fail(ErrorCode::kDenied, "this VM was deleted; a new one has another id");
          }
          if (!field.empty()) {
            return differs(field);
          }
        }
        return inserted;
      });
  TRY(std::move(recorded));
  return created;
}

base::Result<void> BrokerRecords::update_vm(const VmRegistration& registration,
                                            std::uint64_t conf_version, const Act& act) {
  TRY(check(registration));
  return change(*sql_, registration.vm_id, "updated", act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, load_vm(*sql_, registration.vm_id));
    const auto field = difference(record.registration, registration, Fields::kImmutable);
    if (!field.empty()) {
      return differs(field);
    }
    TRY(check_version(record, conf_version));
    if (record.registration == registration) {
      return false;
    }
    TRY_ASSIGN(rows, sql_->execute("UPDATE vm SET conf_version = conf_version + 1, region = $3 "
                                   "WHERE vm_id = $1 AND conf_version = $2 RETURNING conf_version",
                                   {value_of(registration.vm_id), value_of(conf_version),
                                    registration.region}));
    if (rows.empty()) {
      return base::fail(ErrorCode::kDenied,
                        "the registration was changed meanwhile; read it again");
    }
    TRY(store_policies(*sql_, registration));
    return true;
  });
}

base::Result<VmRecord> BrokerRecords::vm(const Uuid& vm_id) { return load_vm(*sql_, vm_id); }

base::Result<std::vector<Uuid>> BrokerRecords::vms(const Uuid& tenant,
                                                   const std::optional<Uuid>& after,
                                                   std::size_t most) {
  TRY_ASSIGN(rows, sql_->execute("SELECT vm_id FROM vm WHERE tenant_id = $1 AND vm_id > $2 "
                                 "ORDER BY vm_id LIMIT $3",
                                 {value_of(tenant), after ? value_of(*after) : Value(base::Bytes()),
                                  static_cast<std::int64_t>(most)}));
  std::vector<Uuid> found;
  for (const auto& row : rows) {
    TRY_ASSIGN(vm_id, fixed<16>(row, 0));
    found.push_back(vm_id);
  }
  return found;
}

base::Result<void> BrokerRecords::convert(const Uuid& vm_id, std::uint64_t conf_version,
                                          const Launch& launch, crypto::Time until,
                                          const Act& act) {
  const auto told = with_facts(act, digest_fact(launch));
  return change(*sql_, vm_id, "conversion-begun", told, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, load_vm(*sql_, vm_id));
    TRY(check_version(record, conf_version));
    if (record.status != VmStatus::kActive) {
      return base::fail(ErrorCode::kDenied, "this VM is " + std::string(name(record.status)) +
                                                "; only one that is active can be converted");
    }
    const auto family = record.registration.launch.family;
    if (family != launch.family &&
        (family == TeeFamily::kNone || launch.family == TeeFamily::kNone)) {
      return base::fail(ErrorCode::kDenied,
                        "an ordinary VM does not become confidential, nor the other way round; "
                        "create a new VM");
    }
    TRY_ASSIGN(rows, sql_->execute(
                         "UPDATE vm SET status = $3, conf_version = conf_version + 1, "
                         "previous_document = launch_document, previous_digest = launch_digest, "
                         "previous_family = family, previous_protection = protection, "
                         "previous_execution_policy = execution_policy, previous_until = $4, "
                         "launch_document = $5, launch_digest = $6, family = $7, protection = $8, "
                         "execution_policy = $9 "
                         "WHERE vm_id = $1 AND conf_version = $2 AND status = $10 "
                         "RETURNING conf_version",
                         {value_of(vm_id), value_of(conf_version),
                          std::string(name(VmStatus::kConverting)), value_of(until),
                          launch.document, value_of(launch.digest.bytes), value_of(launch.family),
                          value_of(launch.protection), value_of(launch.execution_policy),
                          std::string(name(VmStatus::kActive))}));
    if (rows.empty()) {
      return base::fail(ErrorCode::kDenied,
                        "the registration was changed meanwhile; read it again");
    }
    return true;
  });
}

namespace {

// end_conversion() runs `statement` on a VM that is converting.
base::Result<void> end_conversion(Sql& sql, const Uuid& vm_id, std::uint64_t conf_version,
                                  const Act& act, std::string_view kind,
                                  std::string_view statement) {
  return change(sql, vm_id, kind, act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(rows, sql.execute(statement, {value_of(vm_id), value_of(conf_version),
                                             std::string(name(VmStatus::kConverting)),
                                             std::string(name(VmStatus::kActive))}));
    if (rows.empty()) {
      TRY_ASSIGN(record, load_vm(sql, vm_id));
      TRY(check_version(record, conf_version));
      return base::fail(ErrorCode::kDenied, "this VM is not being converted");
    }
    return true;
  });
}

}  // namespace

base::Result<void> BrokerRecords::confirm_conversion(const Uuid& vm_id, std::uint64_t conf_version,
                                                     const Act& act) {
  return end_conversion(
      *sql_, vm_id, conf_version, act, "conversion-confirmed",
      "UPDATE vm SET status = $4, conf_version = conf_version + 1, previous_document = NULL, "
      "previous_digest = NULL, previous_family = NULL, previous_protection = NULL, "
      "previous_execution_policy = NULL, previous_until = NULL "
      "WHERE vm_id = $1 AND conf_version = $2 AND status = $3 RETURNING conf_version");
}

base::Result<void> BrokerRecords::cancel_conversion(const Uuid& vm_id, std::uint64_t conf_version,
                                                    const Act& act) {
  return end_conversion(
      *sql_, vm_id, conf_version, act, "conversion-cancelled",
      "UPDATE vm SET status = $4, conf_version = conf_version + 1, "
      "launch_document = previous_document, launch_digest = previous_digest, "
      "family = previous_family, protection = previous_protection, "
      "execution_policy = previous_execution_policy, previous_document = NULL, "
      "previous_digest = NULL, previous_family = NULL, previous_protection = NULL, "
      "previous_execution_policy = NULL, previous_until = NULL "
      "WHERE vm_id = $1 AND conf_version = $2 AND status = $3 RETURNING conf_version");
}

}  // namespace keybroker::store
