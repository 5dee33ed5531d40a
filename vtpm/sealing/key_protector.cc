// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/key_protector.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "vmgs/crypto/key_wrap.h"
#include "vmgs/format/file_id.h"

namespace vtpm::sealing {

namespace {

using vmgs::format::DekWrapping;
using vmgs::format::KeyProtector;

constexpr std::size_t kWrappedBytes = vmgs::format::kAesWrappedDekBytes;
static_assert(vmgs::crypto::wrapped_bytes(32) == kWrappedBytes);

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "KEY_PROTECTOR: " + why);
}

base::Result<KeyProtector> decode_ours(base::ByteView bytes) {
  TRY_ASSIGN(protector, vmgs::format::decode_key_protector(bytes, DekWrapping::kAesKeyWrap));
  if (protector.gsp[0].length != 0 || protector.gsp[1].length != 0) {
    return corrupt("it has a host's seed, so another maker wrote it; import the store");
  }
  return protector;
}

base::Result<base::Secret<32>> unwrap_slot(const KeyProtector& protector, std::size_t slot,
                                           const VmKey& vm_key) {
  const base::ByteView bytes(protector.dek.at(slot));
  if (!base::is_all_zero(bytes.subspan(kWrappedBytes))) {
    return corrupt("slot " + std::to_string(slot) +
                   " holds more than an AES key wrap, so another maker wrote it; import the store");
  }
  return vmgs::crypto::unwrap_secret<32>(vm_key.bytes, bytes.first(kWrappedBytes));
}

base::Result<base::Secret<32>> unwrap(base::ByteView bytes, const VmKey& vm_key) {
  TRY_ASSIGN(protector, decode_ours(bytes));
  const bool has_ingress = protector.has_dek(protector.ingress());
  const bool has_egress = protector.has_dek(protector.egress());
  if (!has_ingress && !has_egress) {
    return base::fail(base::ErrorCode::kNotFound, "KEY_PROTECTOR: both slots are empty");
  }
  if (!has_ingress) {
    return unwrap_slot(protector, protector.egress(), vm_key);
  }
  auto key = unwrap_slot(protector, protector.ingress(), vm_key);
  if (!key && has_egress) {
    auto other = unwrap_slot(protector, protector.egress(), vm_key);
    if (other) {
      return other;
    }
  }
  if (!key) {
    return base::fail(std::move(key).error().context("KEY_PROTECTOR: slot " +
                                                     std::to_string(protector.ingress())));
  }
  return key;
}

}  // namespace

base::Result<base::Bytes> wrap_dek(const EgressKey& root_key, const VmKey& vm_key,
                                   const KeyProtector& previous) {
  TRY_ASSIGN(wrapped, vmgs::crypto::wrap_key(vm_key.bytes, root_key.bytes().expose()));
  KeyProtector next;
  next.active = previous.active + 1;
  std::ranges::copy(wrapped, next.dek.at(next.ingress()).begin());
  return vmgs::format::encode(next);
}

base::Result<IngressKey> unwrap_dek(base::ByteView key_protector, const VmKey& vm_key) {
  TRY_ASSIGN(key, unwrap(key_protector, vm_key));
  return IngressKey(std::move(key));
}

base::Result<void> prove_dek(base::ByteView key_protector, const VmKey& vm_key,
                             const EgressKey& root_key) {
  TRY_ASSIGN(key, unwrap(key_protector, vm_key));
  if (!key.equals_in_constant_time(root_key.bytes())) {
    return base::fail(base::ErrorCode::kAuthentication,
                      "KEY_PROTECTOR: it holds another key than the one that was wrapped");
  }
  return {};
}

KeySource dek_source(VmKey vm_key) {
  auto held = std::make_shared<const VmKey>(std::move(vm_key));
  return ingress_source([held](const ProtectorReader& read) -> base::Result<IngressKey> {
    TRY_ASSIGN(bytes, read(vmgs::format::FileId::kKeyProtector));
    return unwrap_dek(bytes, *held);
  });
}

}  // namespace vtpm::sealing
