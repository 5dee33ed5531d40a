// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace vmgs::format {

inline constexpr std::size_t kDekSlotBytes = 512;
inline constexpr std::size_t kHostSeedBytes = 512;

// A seed as the host's guest-state protection (GSP) encrypted it.
struct HostSeedLayout {
  base::U32Le length;
  std::array<std::byte, kHostSeedBytes> buffer;
};

// KEY_PROTECTOR (file 6) has the datastore's root key wrapped, or what it is derived from. It is
// plaintext: whoever owns the storage wrote it.
struct KeyProtectorLayout {
  std::array<std::array<std::byte, kDekSlotBytes>, 2> dek;
  std::array<HostSeedLayout, 2> gsp;
  base::U32Le active;
};

static_assert(sizeof(KeyProtectorLayout) == 2060);
static_assert(offsetof(KeyProtectorLayout, gsp) == 0x400);
static_assert(offsetof(KeyProtectorLayout, active) == 0x808);
static_assert(sizeof(HostSeedLayout) == 516);

// How the data encryption keys of a protector are wrapped. It says how short a file may be.
enum class DekWrapping : std::uint8_t {
  kRsa,         // RSA-OAEP: a slot uses as many bytes as the modulus has, 256 at least
  kAesKeyWrap,  // AES-256-KWP of 32 bytes: a slot uses 40
};

inline constexpr std::size_t kAesWrappedDekBytes = 40;

// KeyProtector is one that has passed every rule that needs no key.
struct KeyProtector {
  using Slot = std::array<std::byte, kDekSlotBytes>;

  struct HostSeed {
    std::uint32_t length = 0;  // 0: there is none; at most 512
    std::array<std::byte, kHostSeedBytes> buffer{};

    // bytes() are the encrypted seed. The view ends with it.
    [[nodiscard]] base::ByteView bytes() const { return base::ByteView(buffer).first(length); }

    friend bool operator==(const HostSeed&, const HostSeed&) = default;
  };

  std::array<Slot, 2> dek{};
  std::array<HostSeed, 2> gsp{};
  std::uint32_t active = 0;

  // The ingress slot is what opens the store. The egress slot is where the next key goes; an
  // interrupted rotation of another maker may have left one there that opens it.
  [[nodiscard]] std::size_t ingress() const { return active % 2; }

  [[nodiscard]] std::size_t egress() const { return 1 - ingress(); }

  [[nodiscard]] bool has_dek(std::size_t slot) const { return !base::is_all_zero(dek.at(slot)); }

  friend bool operator==(const KeyProtector&, const KeyProtector&) = default;
};

// encode() gives the whole file of 2060 bytes. No length may be above 512.
base::Bytes encode(const KeyProtector& protector);

// decode_key_protector() reads a file of at most 2060 bytes; a shorter one is as if zeros followed,
// but has 256 bytes at least, 40 where the wrapping is kAesKeyWrap. An absent file is a
// KeyProtector{}. kCorrupt for other sizes and for a seed longer than its buffer.
base::Result<KeyProtector> decode_key_protector(base::ByteView bytes, DekWrapping wrapping);

}  // namespace vmgs::format
