// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/admin.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/broker/registered_launch.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/random.h"

namespace tools::keybrokerd {

namespace broker = keybroker::broker;
namespace protocol = keybroker::protocol;
namespace store = keybroker::store;
using base::ErrorCode;

base::Result<protocol::Uuid> tenant_of(const Caller& caller) {
  if (!caller.tenant) {
    return base::fail(ErrorCode::kDenied, "the certificate of '" + caller.name +
                                              "' names no tenant (O), for whom this is");
  }
  return *caller.tenant;
}

base::Result<store::Act> act_of(const Caller& caller) {
  store::Act act;
  TRY(vmgs::crypto::random_bytes(act.request_id));
  act.now = now_in_seconds();
  act.audit = boost::json::serialize(
      boost::json::object{{"by", caller.name}, {"role", transport::tls::name(caller.role)}});
  return act;
}

base::Result<store::Act> act_of(Desk& desk, const Caller& caller, std::string_view request_id,
                                const google::protobuf::MessageLite& request) {
  TRY_ASSIGN(act, act_of(caller));
  if (request_id.empty()) {
    return act;
  }
  if (request_id.size() != act.request_id.size()) {
    return base::fail(ErrorCode::kInvalidArgument, "request_id: expected 16 bytes");
  }
  std::ranges::copy(base::bytes_of(request_id), act.request_id.begin());
  // What a tenant wants kept may be in it.
  base::SecretBytes content(request.ByteSizeLong());
  request.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(content.fill().data()));
  act.request_digest = desk.records.seal().of_request(content.expose());
  return act;
}

base::Result<protocol::Uuid> uuid_of(std::string_view field, const std::string& text) {
  auto uuid = protocol::parse_uuid(text);
  if (!uuid) {
    return base::fail(std::move(uuid).error().context(std::string(field)));
  }
  return uuid;
}

base::Result<protocol::Sha256Digest> digest_of(const std::string& hex) {
  const auto bytes = base::from_hex(hex);
  protocol::Sha256Digest digest{};
  if (!bytes || bytes->size() != digest.size()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "'" + hex + "' is no digest: a SHA-256 has 64 hexadecimal digits");
  }
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

google::protobuf::Timestamp timestamp_of(keybroker::crypto::Time time) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(time.time_since_epoch().count());
  return timestamp;
}

base::Result<broker::Registrar> registrar_of(Desk& desk, const protocol::Uuid& tenant) {
  auto kek = desk.records.newest_kek(tenant);
  if (!kek) {
    return base::fail(std::move(kek).error().context(
        "tenant " + protocol::uuid_text(tenant) + " (an operator makes it: kbctl tenant create)"));
  }
  return broker::Registrar{.records = desk.records,
                           .key_encryption = desk.office.keys,
                           .root = desk.office.roots.front().fingerprint()};
}

base::Result<api::Vm> vm_message(Desk& desk, const store::VmRecord& record,
                                 const protocol::Uuid& tenant) {
  const auto& registration = record.registration;
  const auto& launch = registration.launch;
  TRY_ASSIGN(document, protocol::decode_launch_document(launch.document));
  api::Vm vm;
  vm.set_vm_id(protocol::uuid_text(registration.vm_id));
  vm.set_tenant_id(protocol::uuid_text(registration.tenant));
  vm.set_tee(std::string(name(launch.family)));
  vm.set_root_class(std::string(name(registration.root_class)));
  vm.set_protection(std::string(name(launch.protection)));
  vm.set_lifetime(std::string(name(registration.lifetime)));
  vm.set_offline_rule(std::string(name(document.offline_rule)));
  vm.set_anchor_class(std::string(name(document.anchor_class)));
  vm.set_fde_mode(registration.fde_mode);
  vm.set_region(registration.region);
  vm.set_launch_digest(base::to_hex(broker::launch_digest_bytes(launch.digest, launch.family)));
  if (record.previous) {
    const auto& previous = record.previous->launch;
    vm.set_previous_launch_digest(
        base::to_hex(broker::launch_digest_bytes(previous.digest, previous.family)));
  }
  vm.set_status(std::string(name(record.status)));
  std::vector<protocol::Uuid> others;
  for (const auto& owned : registration.policies) {
    if (owned.owner == tenant) {
      vm.add_policies(base::to_hex(owned.policy));
    } else if (std::ranges::find(others, owned.owner) == others.end()) {
      others.push_back(owned.owner);
    }
  }
  vm.set_other_owners(static_cast<std::uint32_t>(others.size()));
  vm.set_has_execution_policy(launch.execution_policy.has_value());
  vm.set_epoch(record.epoch);
  if (record.anchor) {
    vm.set_anchor_epoch(record.anchor->epoch);
    vm.set_anchor_sequence(record.anchor->state.sequence);
  }
  vm.set_restores(record.restores);
  if (record.restore) {
    vm.set_restore_until(keybroker::crypto::to_text(record.restore->until));
  }
  if (record.status != store::VmStatus::kDeleted) {
    TRY_ASSIGN(key, desk.records.newest_vm_key(registration.vm_id));
    vm.set_key_version(static_cast<std::uint32_t>(key.version));
  }
  *vm.mutable_created() = timestamp_of(record.created);
  TRY_ASSIGN(released, desk.records.log({.subject = store::vm_subject(registration.vm_id),
                                         .vms_of = std::nullopt,
                                         .kind = "claimed",
                                         .before = std::nullopt,
                                         .most = 1}));
  if (!released.empty()) {
    *vm.mutable_last_release() = timestamp_of(released.front().time);
  }
  return vm;
}

}  // namespace tools::keybrokerd
