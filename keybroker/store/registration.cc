// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "keybroker/protocol/uuid.h"
#include "keybroker/store/broker_records.h"
#include "keybroker/store/columns.h"
#include "keybroker/store/kek_row.h"
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
base::Result<bool> insert_vm(Sql& sql, const RecordSeal& seal, const VmRegistration& vm,
                             const VmKey& key, const Act& act) {
  VmRecord record;
  record.registration = vm;
  record.created = act.now;
  TRY_ASSIGN(
      rows, sql.execute(
                "INSERT INTO vm (vm_id, tenant_id, subject, status, conf_version, launch_document, "
                "launch_digest, family, protection, execution_policy, root_class, lifetime, "
                "origin, fde_mode, cloned_from, clone_pending, region, created, epoch, "
                "lease_until, a_epoch, ek_name, ak_name, restores, seal) "
                "VALUES ($1, $2, $18, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
                "$15, $16, 0, 0, 0, $17, $17, 0, $19) ON CONFLICT (vm_id) DO NOTHING "
                "RETURNING vm_id",
                {value_of(vm.vm_id), value_of(vm.tenant), std::string(name(record.status)),
                 vm.launch.document, value_of(vm.launch.digest.bytes), value_of(vm.launch.family),
                 value_of(vm.launch.protection), value_of(vm.launch.execution_policy),
                 value_of(vm.root_class), value_of(vm.lifetime), value_of(vm.origin), vm.fde_mode,
                 value_of(vm.cloned_from), std::int64_t{vm.cloned_from ? 1 : 0}, vm.region,
                 value_of(act.now), base::Bytes(), value_of(vm_subject(vm.vm_id)),
                 value_of(seal.of(record))}));
  if (rows.empty()) {
    return false;
  }
  TRY(
      sql.execute("INSERT INTO vm_key (vm_id, version, wrapped, kek_version, created) "
                  "VALUES ($1, $2, $3, $4, $5)",
                  {value_of(vm.vm_id), value_of(key.version), key.wrapped,
                   value_of(key.kek_version), value_of(act.now)}));
  TRY(expect_newest_kek(sql, vm.tenant, key.kek_version));
  TRY(store_policies(sql, vm));
  return true;
}

// An id is a VM's or a tenant's, so that whoever reads one knows which.
base::Result<void> expect_no_tenant(Sql& sql, const Uuid& vm_id) {
  TRY_ASSIGN(rows,
             sql.execute("SELECT created FROM tenant WHERE tenant_id = $1", {value_of(vm_id)}));
  if (!rows.empty()) {
    return base::fail(ErrorCode::kDenied,
                      "vm_id: " + protocol::uuid_text(vm_id) + " is a tenant's; draw another");
  }
  return {};
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
      *sql_, vm_subject(registration.vm_id), "registered",
      with_facts(act, digest_fact(registration.launch)), [&]() -> base::Result<bool> {
        TRY(tenant(registration.tenant));
        TRY(expect_no_tenant(*sql_, registration.vm_id));
        TRY_ASSIGN(inserted, insert_vm(*sql_, *seal_, registration, key, act));
        created = inserted;
        if (!inserted) {
          TRY_ASSIGN(record, load_vm(*sql_, *seal_, registration.vm_id));
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
  const auto subject = vm_subject(registration.vm_id);
  return change(*sql_, subject, kUpdated, act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, held_vm(*sql_, *seal_, registration.vm_id));
    const auto field = difference(record.registration, registration, Fields::kImmutable);
    if (!field.empty()) {
      return differs(field);
    }
    TRY(check_version(record, conf_version));
    if (record.registration == registration) {
      return false;
    }
    record.registration = registration;
    ++record.conf_version;
    TRY(store_vm(*sql_, *seal_, record));
    TRY(store_policies(*sql_, registration));
    return true;
  });
}

base::Result<VmRecord> BrokerRecords::vm(const Uuid& vm_id) {
  return load_vm(*sql_, *seal_, vm_id);
}

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
  return change(*sql_, vm_subject(vm_id), kConversionBegun, told, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, held_vm(*sql_, *seal_, vm_id));
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
    record.previous = PreviousLaunch{record.registration.launch, until};
    record.registration.launch = launch;
    record.status = VmStatus::kConverting;
    ++record.conf_version;
    TRY(store_vm(*sql_, *seal_, record));
    return true;
  });
}

namespace {

// end_conversion() takes a VM that is converting out of it.
base::Result<void> end_conversion(Sql& sql, const RecordSeal& seal, const Uuid& vm_id,
                                  std::uint64_t conf_version, const Act& act, std::string_view kind,
                                  bool is_back) {
  return change(sql, vm_subject(vm_id), kind, act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, held_vm(sql, seal, vm_id));
    TRY(check_version(record, conf_version));
    if (record.status != VmStatus::kConverting || !record.previous) {
      return base::fail(ErrorCode::kDenied, "this VM is not being converted");
    }
    if (is_back) {
      record.registration.launch = record.previous->launch;
    }
    record.previous.reset();
    record.status = VmStatus::kActive;
    ++record.conf_version;
    TRY(store_vm(sql, seal, record));
    return true;
  });
}

}  // namespace

base::Result<void> BrokerRecords::confirm_conversion(const Uuid& vm_id, std::uint64_t conf_version,
                                                     const Act& act) {
  return end_conversion(*sql_, *seal_, vm_id, conf_version, act, "conversion-confirmed", false);
}

base::Result<void> BrokerRecords::cancel_conversion(const Uuid& vm_id, std::uint64_t conf_version,
                                                    const Act& act) {
  return end_conversion(*sql_, *seal_, vm_id, conf_version, act, kConversionCancelled, true);
}

}  // namespace keybroker::store
