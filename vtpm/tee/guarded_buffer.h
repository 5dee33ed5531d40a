// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/secret.h"

namespace vtpm::tee {

// GuardedBuffer is memory that a kernel fills through an address: zero at first, with a pattern on
// both sides that tells when it wrote more than it was to. It is wiped when it dies, as derived
// keys come through it.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(std::size_t bytes) : memory_(bytes + 2 * kGuardBytes) {
    std::ranges::fill(memory_.fill(), kPattern);
    std::ranges::fill(room(), std::byte{0});
  }

  // room() is what the kernel may fill.
  [[nodiscard]] std::span<std::byte> room() {
    return memory_.fill().subspan(kGuardBytes, memory_.size() - 2 * kGuardBytes);
  }

  [[nodiscard]] std::uint64_t address() { return reinterpret_cast<std::uintptr_t>(room().data()); }

  // intact() tells whether the patterns are as they were.
  [[nodiscard]] bool intact() const {
    const auto is_pattern = [](std::byte byte) { return byte == kPattern; };
    return std::ranges::all_of(memory_.expose().first(kGuardBytes), is_pattern) &&
           std::ranges::all_of(memory_.expose().last(kGuardBytes), is_pattern);
  }

  // as() copies a layout out of the room, which has its size. store() copies one into it.
  template <base::ByteLayout T>
  [[nodiscard]] T as() {
    return base::load<T>(room().first<sizeof(T)>());
  }

  template <base::ByteLayout T>
  void store(const T& layout) {
    base::store(layout, room().template first<sizeof(T)>());
  }

 private:
  static constexpr std::size_t kGuardBytes = 64;
  static constexpr std::byte kPattern{0xA5};

  base::SecretBytes memory_;
};

}  // namespace vtpm::tee
