// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"

namespace vmgs::format {

// One entry of SEALED_KEYS (file 48), byte for byte: the root key of the store under a key that
// only one VM on one machine can derive. The file is plaintext, so every byte of it is hostile.
struct SealedKeyLayout {
  base::U32Le tee_type;
  base::U32Le bound_to;
  std::array<std::byte, 32> svn;
  std::array<std::byte, 48> measurement;
  std::array<std::byte, 48> launch_digest;
  std::array<std::byte, 16> vm_id;
  std::array<std::byte, 12> nonce;
  std::array<std::byte, 32> ciphertext;
  std::array<std::byte, 16> tag;
  base::U32Le zero;
};

static_assert(sizeof(SealedKeyLayout) == 216);
static_assert(offsetof(SealedKeyLayout, bound_to) == 4);
static_assert(offsetof(SealedKeyLayout, svn) == 8);
static_assert(offsetof(SealedKeyLayout, measurement) == 40);
static_assert(offsetof(SealedKeyLayout, launch_digest) == 88);
static_assert(offsetof(SealedKeyLayout, vm_id) == 136);
static_assert(offsetof(SealedKeyLayout, nonce) == 152);
static_assert(offsetof(SealedKeyLayout, ciphertext) == 164);
static_assert(offsetof(SealedKeyLayout, tag) == 196);
static_assert(offsetof(SealedKeyLayout, zero) == 212);

// What stands in front of the entries.
struct SealedKeysHeaderLayout {
  std::array<std::byte, 4> magic;
  base::U16Le version;
  std::uint8_t entries;
  std::uint8_t reserved;
};

static_assert(sizeof(SealedKeysHeaderLayout) == 8);
static_assert(offsetof(SealedKeysHeaderLayout, version) == 4);
static_assert(offsetof(SealedKeysHeaderLayout, entries) == 6);
static_assert(offsetof(SealedKeysHeaderLayout, reserved) == 7);

// What made the key that seals an entry. A simulator is another kind of machine: what it sealed
// never opens on a real one, nor the reverse.
enum class TeeType : std::uint32_t {
  kSnp = 0,
  kTdx = 1,
  kSimulatedSnp = 0x53494D00,
  kSimulatedTdx = 0x53494D01,
};

// name() is "SEV-SNP", "TDX", "simulated SEV-SNP" or "simulated TDX".
std::string_view name(TeeType type);

constexpr bool is_simulated(TeeType type) {
  return type == TeeType::kSimulatedSnp || type == TeeType::kSimulatedTdx;
}

constexpr bool is_snp(TeeType type) {
  return type == TeeType::kSnp || type == TeeType::kSimulatedSnp;
}

// What the derived key is bound to besides the machine. Version 1 knows one set for each TEE:
// SEV-SNP GUEST_FIELD_SELECT with guest policy, measurement and TCB version; TDX KEYPOLICY with
// MRTD, MRCONFIGID and MROWNERCONFIG (and DEBUG in the attributes mask).
constexpr std::uint32_t bound_to(TeeType type) { return is_snp(type) ? 0x29 : 0x19; }

// SealedKey is an entry that has passed every rule that needs no key. Its fields up to the nonce
// are what the maker wrote for messages; a wrong one only makes the entry not open.
struct SealedKey {
  TeeType tee_type = TeeType::kSnp;
  std::array<std::byte, 32> svn{};            // SNP: TCB version, 24 zero; TDX: TEE_TCB_SVN, CPUSVN
  std::array<std::byte, 48> measurement{};    // MEASUREMENT or MRTD
  std::array<std::byte, 48> launch_digest{};  // HOST_DATA and 16 zero, or MRCONFIGID
  VmId vm_id;
  std::array<std::byte, 12> nonce{};
  std::array<std::byte, 32> ciphertext{};
  std::array<std::byte, 16> tag{};

  friend bool operator==(const SealedKey&, const SealedKey&) = default;
};

inline constexpr std::size_t kSealedKeyContextBytes = 152;

// sealed_key_context() is the first 152 bytes of the entry: the context of its key derivation and
// the additional data of its AES-256-GCM.
std::array<std::byte, kSealedKeyContextBytes> sealed_key_context(const SealedKey& entry);

inline constexpr std::size_t kMaxSealedKeys = 2;

// encode_sealed_keys() gives the file for one or two entries, newest first: the same root key for
// the TCB of now and, in a grace period, for the one before. kInvalidArgument for another number.
base::Result<base::Bytes> encode_sealed_keys(const std::vector<SealedKey>& entries);

// decode_sealed_keys() accepts exactly what encode_sealed_keys() gives: kCorrupt names the field
// and the entry otherwise.
base::Result<std::vector<SealedKey>> decode_sealed_keys(base::ByteView bytes);

}  // namespace vmgs::format
