// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/registration.h"

#include <algorithm>

#include "keybroker/broker/answer.h"
#include "keybroker/broker/registered_vms.h"
#include "keybroker/broker/worker.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/once.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::broker {

namespace {

using base::ErrorCode;
using protocol::LaunchDocument;
using protocol::Uuid;

auto denied(const std::string& why) { return base::fail(ErrorCode::kDenied, why); }

auto not_found(const Uuid& vm_id) {
  return base::fail(ErrorCode::kNotFound, "no VM " + protocol::uuid_text(vm_id) + " of yours");
}

}  // namespace

base::Result<void> check_broker_launch(const LaunchDocument& document, const Uuid& tenant,
                                       const crypto::Fingerprint& root) {
  if (document.tee_family == protocol::TeeFamily::kNone) {
    return denied("tee_family: only a confidential VM can prove what it is to a broker");
  }
  if (document.tenant != tenant) {
    return denied("tenant: the launch document names " +
                  (document.tenant ? protocol::uuid_text(*document.tenant) : "none") + ", not you");
  }
  if (std::ranges::find(document.broker_root_hashes, root) == document.broker_root_hashes.end()) {
    return denied("broker_root_hashes: this broker's root " + base::to_hex(root) +
                  " is not among them, and the VM would not believe its answers");
  }
  return {};
}

base::Result<store::Launch> launch_of(base::ByteView launch_document,
                                      const LaunchDocument& document,
                                      const std::optional<base::Bytes>& execution_policy) {
  if (execution_policy && execution_policy->size() > kMaxExecutionPolicyBytes) {
    return denied("execution_policy: it has " + std::to_string(execution_policy->size()) +
                  " bytes, at most " + std::to_string(kMaxExecutionPolicyBytes) + " are allowed");
  }
  if (execution_policy.has_value() != document.policy_digest.has_value()) {
    return denied(execution_policy
                      ? "execution_policy: the launch document names none"
                      : "execution_policy: the launch document names one, and its text is missing");
  }
  if (execution_policy && vmgs::crypto::sha256(*execution_policy) != *document.policy_digest) {
    return denied("execution_policy: its SHA-256 is " +
                  base::to_hex(vmgs::crypto::sha256(*execution_policy)) +
                  ", the launch document names " + base::to_hex(*document.policy_digest));
  }
  return store::Launch{base::copy_of(launch_document),
                       protocol::launch_digest(launch_document, document.tee_family),
                       document.tee_family, document.protection, execution_policy};
}

base::Result<bool> register_vm(Registrar& registrar, const Uuid& tenant, const NewVm& vm,
                               const store::Act& act) {
  TRY_ASSIGN(document, protocol::decode_launch_document(vm.launch_document));
  TRY(check_broker_launch(document, tenant, registrar.root));
  if (document.protection != protocol::Protection::kBroker) {
    return denied("protection: it is " + std::string(name(document.protection)) +
                  ", and only the keys of protection broker are kept here");
  }
  TRY_ASSIGN(launch, launch_of(vm.launch_document, document, vm.execution_policy));
  store::VmRegistration registration;
  registration.vm_id = document.vm_id;
  registration.tenant = tenant;
  registration.launch = std::move(launch);
  registration.root_class = vm.root_class;
  registration.lifetime = document.lifetime;
  registration.fde_mode = vm.fde_mode;
  registration.policies = vm.policies;
  registration.region = vm.region;
  std::ranges::sort(registration.policies);
  if (vm.policies.size() > kMostPolicies ||
      std::ranges::find(vm.policies, tenant, &store::OwnerPolicy::owner) == vm.policies.end()) {
    return denied("policies: 1 to " + std::to_string(kMostPolicies) +
                  ", one of your own among them: without it nothing is released");
  }
  TRY_ASSIGN(kek, registrar.records.newest_kek(tenant));
  TRY_ASSIGN(record, kek_record(kek));
  TRY_ASSIGN(secret, vmgs::crypto::random_secret<32>());
  TRY_ASSIGN(wrapped,
             registrar.key_encryption.wrap(record, wrapping_context(document.vm_id, 1), secret));
  return registrar.records.register_vm(registration, {1, std::move(wrapped), kek.version}, act);
}

base::Result<store::VmRecord> own_vm(store::BrokerRecords& records, const Uuid& tenant,
                                     const Uuid& vm_id) {
  auto record = records.vm(vm_id);
  if (!record) {
    return record.error().code == ErrorCode::kNotFound ? not_found(vm_id)
                                                       : base::fail(std::move(record).error());
  }
  const auto& registration = record->registration;
  const bool owns_policy =
      std::ranges::find(registration.policies, tenant, &store::OwnerPolicy::owner) !=
      registration.policies.end();
  if (registration.tenant != tenant && !owns_policy) {
    return not_found(vm_id);
  }
  return record;
}

// Its tenant's, and not one that another tenant lets it have a say in.
base::Result<store::VmRecord> vm_of_tenant(store::BrokerRecords& records, const Uuid& tenant,
                                           const Uuid& vm_id) {
  TRY_ASSIGN(record, own_vm(records, tenant, vm_id));
  if (record.registration.tenant != tenant) {
    return denied("only the tenant of VM " + protocol::uuid_text(vm_id) +
                  " can do that; you own a policy of it");
  }
  return record;
}

base::Result<void> set_policies(store::BrokerRecords& records, const Uuid& owner, const Uuid& vm_id,
                                std::span<const protocol::Sha256Digest> digests,
                                const store::Act& act) {
  // Whoever gave up its last policy of a VM does not own it any more, and may ask again.
  TRY_ASSIGN(made,
             store::made_before(records.sql(), store::vm_subject(vm_id), {store::kUpdated}, act));
  if (made) {
    return {};
  }
  TRY_ASSIGN(record, own_vm(records, owner, vm_id));
  auto registration = record.registration;
  std::erase_if(registration.policies, [&](const auto& each) { return each.owner == owner; });
  for (const auto& digest : digests) {
    registration.policies.push_back({owner, digest});
  }
  std::ranges::sort(registration.policies);
  if (registration.policies.size() > kMostPolicies) {
    return denied("policies: " + std::to_string(registration.policies.size()) +
                  " of all owners together, at most " + std::to_string(kMostPolicies));
  }
  if (digests.empty() && owner == registration.tenant) {
    return denied("policies: without one of the VM's tenant nothing is released; disable the VM");
  }
  return records.update_vm(registration, record.conf_version, act);
}

base::Result<void> set_enabled(store::BrokerRecords& records, const Uuid& tenant, const Uuid& vm_id,
                               bool enabled, const store::Act& act) {
  TRY(vm_of_tenant(records, tenant, vm_id));
  return enabled ? records.enable_vm(vm_id, act) : records.disable_vm(vm_id, act);
}

base::Result<void> delete_vm(store::BrokerRecords& records, const Uuid& tenant, const Uuid& vm_id,
                             const store::Act& act) {
  TRY(vm_of_tenant(records, tenant, vm_id));
  return records.delete_vm(vm_id, act);
}

namespace {

base::Result<void> check_life(std::chrono::seconds life) {
  if (life <= std::chrono::seconds(0) || life > kMaxRestoreLife) {
    return denied("a restore is allowed for 1 s to " + std::to_string(kMaxRestoreLife.count()) +
                  " hours");
  }
  return {};
}

}  // namespace

base::Result<store::StatePoint> allow_restore_by_receipt(
    store::BrokerRecords& records, const Uuid& tenant, const Uuid& vm_id, base::ByteView receipt,
    std::span<const crypto::Fingerprint> receipt_roots, std::chrono::seconds life,
    const store::Act& act) {
  TRY(check_life(life));
  TRY(vm_of_tenant(records, tenant, vm_id));
  TRY_ASSIGN(opened, open_receipt(receipt, receipt_roots));
  if (!std::ranges::equal(base::bytes_of(opened.vm_id()), vm_id)) {
    return denied("the receipt is another VM's");
  }
  store::StatePoint state;
  state.sequence = opened.anchor().sequence();
  std::ranges::copy(base::bytes_of(opened.anchor().digest()), state.digest.begin());
  TRY(records.allow_restore(vm_id, state, act.now + life, act));
  return state;
}

base::Result<store::StatePoint> allow_restore_of(store::BrokerRecords& records, const Uuid& tenant,
                                                 const Uuid& vm_id, crypto::Time point,
                                                 std::chrono::seconds life, const store::Act& act) {
  TRY(check_life(life));
  TRY(vm_of_tenant(records, tenant, vm_id));
  TRY_ASSIGN(anchor, records.anchor_at(vm_id, point));
  TRY(records.allow_restore(vm_id, anchor.state, act.now + life, act));
  return anchor.state;
}

}  // namespace keybroker::broker
