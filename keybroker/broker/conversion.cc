// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/registered_vms.h"
#include "keybroker/store/once.h"

namespace keybroker::broker {

namespace {

using base::ErrorCode;
using protocol::LaunchDocument;
using protocol::Protection;
using protocol::TeeFamily;
using protocol::Uuid;

auto denied(const std::string& why) { return base::fail(ErrorCode::kDenied, why); }

// A planned conversion and what it rests on.
struct Planned {
  Conversion conversion;
  store::Launch launch;
  std::uint64_t conf_version = 0;
  bool is_back = false;  // to the launch before a conversion that no boot has ended
};

void note_change(Conversion& conversion, const std::string& field, std::string_view from,
                 std::string_view to) {
  if (from != to) {
    conversion.changes.push_back(field + ": " + std::string(from) + " -> " + std::string(to));
  }
}

std::string hex_or_none(const std::optional<protocol::Sha256Digest>& digest) {
  return digest ? base::to_hex(*digest) : "none";
}

void note_roots(Conversion& conversion, const LaunchDocument& from, const LaunchDocument& to) {
  const auto text = [](const LaunchDocument& document) {
    std::string all;
    for (const auto& root : document.broker_root_hashes) {
      all += (all.empty() ? "" : ",") + base::to_hex(root);
    }
    return all;
  };
  note_change(conversion, "broker_root_hashes", text(from), text(to));
}

// What the guest and the machine must have before the first boot under the new launch.
void note_floors(Conversion& conversion, const LaunchDocument& from, const LaunchDocument& to) {
  auto& notes = conversion.notes;
  if (from.tee_family != to.tee_family) {
    notes.emplace_back("The guest needs a kernel that runs as a guest of " +
                       std::string(name(to.tee_family)) +
                       ": Linux 5.19 or later, and 6.7 or later where it asks for reports itself.");
    notes.emplace_back(
        "Measured boot values change with the TEE's firmware: have the recovery key of the disk "
        "at hand, or suspend its protection before.");
    notes.emplace_back(
        "Release policies of all owners have to allow the new TEE: try them before.");
  }
  if (from.protection == Protection::kBroker && to.protection == Protection::kHardware) {
    notes.emplace_back(
        "Protection gets weaker: no broker witnesses the state, and the endorsement seed changes, "
        "so "
        "that certificates of before vouch for nothing.");
  }
  if (from.protection == Protection::kHardware && to.protection == Protection::kBroker) {
    notes.emplace_back(
        "From now on the VM does not boot without this broker, unless it is "
        "allowed to be offline.");
  }
  if (from.offline_rule != to.offline_rule && to.offline_rule == protocol::OfflineRule::kAllow) {
    notes.emplace_back("An offline boot proves nothing about the age of the state.");
  }
}

// What a conversion changes, and what to see to before.
void note_all(Conversion& conversion, const LaunchDocument& from, const LaunchDocument& to) {
  note_change(conversion, "tee", name(from.tee_family), name(to.tee_family));
  note_change(conversion, "protection", name(from.protection), name(to.protection));
  note_change(conversion, "offline_rule", name(from.offline_rule), name(to.offline_rule));
  note_change(conversion, "anchor_class", name(from.anchor_class), name(to.anchor_class));
  note_change(conversion, "lease", name(from.lease), name(to.lease));
  note_change(conversion, "secure_boot_template_digest",
              hex_or_none(from.secure_boot_template_digest),
              hex_or_none(to.secure_boot_template_digest));
  note_change(conversion, "policy_digest", hex_or_none(from.policy_digest),
              hex_or_none(to.policy_digest));
  note_roots(conversion, from, to);
  note_floors(conversion, from, to);
}

// What a request was answered that has converted the VM already. Once a boot has ended the
// conversion, or it was taken back, what it had changed is not on record any more.
base::Result<std::optional<Conversion>> converted_before(Registrar& registrar, const Uuid& tenant,
                                                         base::ByteView launch_document,
                                                         const store::Act& act) {
  TRY_ASSIGN(to, protocol::decode_launch_document(launch_document));
  TRY_ASSIGN(record, vm_of_tenant(registrar.records, tenant, to.vm_id));
  TRY_ASSIGN(made, store::made_before(registrar.records.sql(), store::vm_subject(to.vm_id),
                                      {store::kConversionBegun, store::kConversionCancelled}, act));
  if (!made) {
    return std::nullopt;
  }
  Conversion conversion{to.vm_id, {}, {}};
  if (record.previous && record.registration.launch.document == base::copy_of(launch_document)) {
    TRY_ASSIGN(from, protocol::decode_launch_document(record.previous->launch.document));
    note_all(conversion, from, to);
  }
  return std::optional(std::move(conversion));
}

base::Result<Planned> plan(Registrar& registrar, const Uuid& tenant, base::ByteView launch_document,
                           const std::optional<base::Bytes>& execution_policy) {
  TRY_ASSIGN(to, protocol::decode_launch_document(launch_document));
  TRY_ASSIGN(record, vm_of_tenant(registrar.records, tenant, to.vm_id));
  const auto& current = record.registration.launch;
  TRY_ASSIGN(from, protocol::decode_launch_document(current.document));
  if ((from.tee_family == TeeFamily::kNone) != (to.tee_family == TeeFamily::kNone)) {
    return denied(
        "tee_family: an ordinary VM never becomes a confidential one, nor the reverse; "
        "make a new VM");
  }
  TRY(check_broker_launch(to, tenant, registrar.root));
  if (to.protection != Protection::kBroker && to.protection != Protection::kHardware) {
    return denied("protection: a VM converts between broker and hardware, not to " +
                  std::string(name(to.protection)));
  }
  if (to.lifetime != from.lifetime) {
    return denied("lifetime: it never changes");
  }
  TRY_ASSIGN(launch, launch_of(launch_document, to, execution_policy));
  Planned planned{{to.vm_id, {}, {}}, std::move(launch), record.conf_version};
  planned.is_back = record.status == store::VmStatus::kConverting && record.previous &&
                    record.previous->launch.document == planned.launch.document;
  auto& conversion = planned.conversion;
  note_all(conversion, from, to);
  if (conversion.changes.empty()) {
    return denied("the launch document is the registered one: nothing would change");
  }
  return planned;
}

}  // namespace

base::Result<Conversion> plan_conversion(Registrar& registrar, const Uuid& tenant,
                                         base::ByteView launch_document,
                                         const std::optional<base::Bytes>& execution_policy) {
  TRY_ASSIGN(planned, plan(registrar, tenant, launch_document, execution_policy));
  return std::move(planned.conversion);
}

base::Result<Conversion> convert_vm(Registrar& registrar, const Uuid& tenant,
                                    base::ByteView launch_document,
                                    const std::optional<base::Bytes>& execution_policy,
                                    const store::Act& act) {
  TRY_ASSIGN(before, converted_before(registrar, tenant, launch_document, act));
  if (before) {
    return *std::move(before);
  }
  TRY_ASSIGN(planned, plan(registrar, tenant, launch_document, execution_policy));
  if (planned.is_back) {
    TRY(registrar.records.cancel_conversion(planned.conversion.vm_id, planned.conf_version, act));
    return std::move(planned.conversion);
  }
  TRY(registrar.records.convert(planned.conversion.vm_id, planned.conf_version, planned.launch,
                                act.now + kConversionLife, act));
  return std::move(planned.conversion);
}

}  // namespace keybroker::broker
