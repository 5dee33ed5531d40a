// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/wrapped_key.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace keybroker::hsm {
namespace {

using namespace std::string_view_literals;

constexpr std::uint8_t kForm = 1;
constexpr auto kPurpose = "strongroom.wrapped-key/1\0"sv;

struct WrappedKeyLayout {
  std::uint8_t form;
  vmgs::crypto::AeadNonce nonce;
  std::array<std::byte, 32> ciphertext;
  vmgs::crypto::AeadTag tag;
};

static_assert(sizeof(WrappedKeyLayout) == kWrappedKeyBytes);

}  // namespace

base::Bytes encode(const WrappedKey& wrapped) {
  return base::copy_of(
      base::view(WrappedKeyLayout{kForm, wrapped.nonce, wrapped.ciphertext, wrapped.tag}));
}

base::Result<WrappedKey> decode_wrapped_key(base::ByteView bytes) {
  if (bytes.size() != kWrappedKeyBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "a wrapped key has " +
                                                     std::to_string(kWrappedKeyBytes) +
                                                     " bytes, not " + std::to_string(bytes.size()));
  }
  const auto layout = base::load<WrappedKeyLayout>(bytes.first<kWrappedKeyBytes>());
  if (layout.form != kForm) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "a wrapped key of form " + std::to_string(layout.form) +
                          "; this broker knows form 1: was it written by a newer one?");
  }
  return WrappedKey{layout.nonce, layout.ciphertext, layout.tag};
}

base::Bytes wrapped_key_context(const Uuid& tenant, base::ByteView context) {
  base::Writer out;
  out.bytes(base::bytes_of(kPurpose));
  out.bytes(tenant);
  out.bytes(context);
  return std::move(out).take();
}

}  // namespace keybroker::hsm
