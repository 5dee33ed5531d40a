// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/volume/volume.h"

// What tests of a volume share.
namespace vmgs::volume {

inline constexpr std::uint64_t kStoreBytes = 64 * 4096;

inline DatastoreKey key_of(unsigned char value) {
  DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), std::byte{value});
  return key;
}

inline base::Bytes content_of(std::size_t size, unsigned char seed) {
  base::Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = std::byte(static_cast<unsigned char>(seed + i * 7));
  }
  return bytes;
}

inline std::string read_hex(const Volume& volume, format::FileId id) {
  const auto content = volume.read(id);
  return content ? base::to_hex(content->expose()) : "error: " + content.error().message;
}

inline base::Result<void> put(Volume& volume, format::FileId id, base::ByteView content,
                              Protection protection = Protection::kAsStore) {
  Transaction transaction;
  transaction.put(id, content, protection);
  return volume.commit(transaction);
}

inline Volume opened(storage::BlockDevice& device, unsigned char key) {
  auto volume = *Volume::open(device, format::HeaderSpacing::k512);
  EXPECT_TRUE(volume.unlock(fixed_key(key_of(key))));
  return volume;
}

}  // namespace vmgs::volume
