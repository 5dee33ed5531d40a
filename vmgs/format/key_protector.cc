// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/key_protector.h"

#include <algorithm>
#include <string>

namespace vmgs::format {

namespace {

constexpr std::size_t kLeastRsaWrappedBytes = 256;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "KEY_PROTECTOR: " + why);
}

}  // namespace

base::Bytes encode(const KeyProtector& protector) {
  KeyProtectorLayout raw{};
  raw.dek = protector.dek;
  for (std::size_t i = 0; i < raw.gsp.size(); ++i) {
    raw.gsp[i].length = protector.gsp[i].length;
    raw.gsp[i].buffer = protector.gsp[i].buffer;
  }
  raw.active = protector.active;
  return base::copy_of(base::view(raw));
}

base::Result<KeyProtector> decode_key_protector(base::ByteView bytes, DekWrapping wrapping) {
  const std::size_t least =
      wrapping == DekWrapping::kRsa ? kLeastRsaWrappedBytes : kAesWrappedDekBytes;
  if (bytes.size() < least || bytes.size() > sizeof(KeyProtectorLayout)) {
    return corrupt("has " + std::to_string(bytes.size()) + " bytes; it has " +
                   std::to_string(least) + " to " + std::to_string(sizeof(KeyProtectorLayout)));
  }
  std::array<std::byte, sizeof(KeyProtectorLayout)> padded{};
  std::ranges::copy(bytes, padded.begin());
  const auto raw = base::load<KeyProtectorLayout>(padded);
  KeyProtector protector;
  protector.dek = raw.dek;
  for (std::size_t i = 0; i < raw.gsp.size(); ++i) {
    const std::uint32_t length = raw.gsp[i].length.value();
    if (length > kHostSeedBytes) {
      return corrupt("the host seed in slot " + std::to_string(i) + " claims " +
                     std::to_string(length) + " bytes, its buffer has 512");
    }
    protector.gsp[i] = {.length = length, .buffer = raw.gsp[i].buffer};
  }
  protector.active = raw.active.value();
  return protector;
}

}  // namespace vmgs::format
