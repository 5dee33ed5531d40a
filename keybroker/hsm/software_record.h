// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "keybroker/hsm/key_encryption.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/crypto/aead.h"

namespace keybroker::hsm {

// SoftwareRecord is the content of the KekRecord of a software key: the key-encryption key under a
// master key of the broker, by AES-256-GCM with a random nonce.
//
//   offset  size
//        0     1  version of the master key, 1 to 255
//        1    12  nonce
//       13    32  ciphertext
//       45    16  tag
//
// The additional data is software_record_context(). KekRecord::version is 1.
struct SoftwareRecord {
  std::uint8_t master_version = 0;
  vmgs::crypto::AeadNonce nonce{};
  std::array<std::byte, 32> ciphertext{};
  vmgs::crypto::AeadTag tag{};
};

inline constexpr std::size_t kSoftwareRecordBytes = 61;
inline constexpr std::uint8_t kSoftwareRecordVersion = 1;

base::Bytes encode(const SoftwareRecord& record);

// decode_software_record() fails with kCorrupt for another size or a version of 0.
base::Result<SoftwareRecord> decode_software_record(base::ByteView bytes);

// software_record_context() is the additional data: "strongroom.kek/1", a zero byte, the version of
// the master key (1 byte) and the 16 bytes of the tenant.
base::Bytes software_record_context(std::uint8_t master_version, const Uuid& tenant);

}  // namespace keybroker::hsm
