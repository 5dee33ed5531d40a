// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/record_seal.h"

#include <utility>

#include "keybroker/store/workload_keys.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

namespace {

constexpr std::string_view kVmLabel{"strongroom.record.vm/1\0", 23};
constexpr std::string_view kWorkloadLabel{"strongroom.record.workload-key/1\0", 33};
constexpr std::string_view kRequestLabel{"strongroom.record.request/1\0", 28};

// Each field has a length that is fixed or stands before it, so that no two records have one form.
void field(base::Writer& out, base::ByteView bytes) {
  out.u64_be(bytes.size());
  out.bytes(bytes);
}

void field(base::Writer& out, std::string_view text) { field(out, base::bytes_of(text)); }

void field(base::Writer& out, crypto::Time time) {
  out.u64_be(static_cast<std::uint64_t>(time.time_since_epoch().count()));
}

void field(base::Writer& out, const Launch& launch) {
  field(out, launch.document);
  out.bytes(launch.digest.bytes);
  out.u8(static_cast<std::uint8_t>(launch.family));
  out.u8(static_cast<std::uint8_t>(launch.protection));
  out.u8(launch.execution_policy ? 1 : 0);
  field(out, launch.execution_policy ? base::ByteView(*launch.execution_policy) : base::ByteView());
}

void field(base::Writer& out, const VmRegistration& vm) {
  out.bytes(vm.vm_id);
  out.bytes(vm.tenant);
  field(out, vm.launch);
  out.u8(static_cast<std::uint8_t>(vm.root_class));
  out.u8(static_cast<std::uint8_t>(vm.lifetime));
  out.u8(static_cast<std::uint8_t>(vm.origin));
  field(out, vm.fde_mode);
  out.u64_be(vm.policies.size());
  for (const auto& each : vm.policies) {
    out.bytes(each.owner);
    out.bytes(each.policy);
  }
  out.u8(vm.cloned_from ? 1 : 0);
  out.bytes(vm.cloned_from.value_or(Uuid{}));
  field(out, vm.region);
}

}  // namespace

std::shared_ptr<const RecordSeal> RecordSeal::under(base::Secret<32> key) {
  return std::shared_ptr<const RecordSeal>(new RecordSeal(std::move(key)));
}

Sha256Digest RecordSeal::of(const VmRecord& record) const {
  base::Writer out;
  out.bytes(base::bytes_of(kVmLabel));
  field(out, record.registration);
  out.u8(static_cast<std::uint8_t>(record.status));
  out.u64_be(record.conf_version);
  out.u8(record.previous ? 1 : 0);
  if (record.previous) {
    field(out, record.previous->launch);
    field(out, record.previous->until);
  }
  field(out, record.created);
  return vmgs::crypto::hmac_sha256(key_.expose(), out.written());
}

Sha256Digest RecordSeal::of(const WorkloadKey& key) const {
  base::Writer out;
  out.bytes(base::bytes_of(kWorkloadLabel));
  out.bytes(key.tenant);
  field(out, key.name);
  out.u64_be(key.version);
  out.u8(static_cast<std::uint8_t>(key.kind));
  out.bytes(key.policy);
  out.u8(key.immutable ? 1 : 0);
  field(out, key.created);
  field(out, key.sealed);
  return vmgs::crypto::hmac_sha256(key_.expose(), out.written());
}

Sha256Digest RecordSeal::of_request(base::ByteView content) const {
  base::Writer out;
  out.bytes(base::bytes_of(kRequestLabel));
  out.bytes(vmgs::crypto::sha256(content));
  return vmgs::crypto::hmac_sha256(key_.expose(), out.written());
}

}  // namespace keybroker::store
