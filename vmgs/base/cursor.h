// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace base {

// Reader walks over bytes that have no fixed shape. Each step checks the bound, advances, and
// fails with kCorrupt, naming the offset, when the bytes run out. It owns nothing.
class Reader {
 public:
  explicit Reader(ByteView bytes) : bytes_(bytes) {}

  [[nodiscard]] std::size_t offset() const { return offset_; }

  [[nodiscard]] std::size_t remaining() const { return bytes_.size() - offset_; }

  [[nodiscard]] bool empty() const { return remaining() == 0; }

  Result<std::uint8_t> u8();
  Result<std::uint16_t> u16_be();
  Result<std::uint32_t> u32_be();
  Result<std::uint64_t> u64_be();
  Result<std::uint16_t> u16_le();
  Result<std::uint32_t> u32_le();
  Result<std::uint64_t> u64_le();

  // bytes() is a view of the next `count` bytes.
  Result<ByteView> bytes(std::size_t count);

  // rest() is a view of all that is left; it leaves the reader empty.
  ByteView rest();

  // layout() copies the next sizeof(T) bytes into a layout.
  template <ByteLayout T>
  Result<T> layout() {
    TRY_ASSIGN(raw, bytes(sizeof(T)));
    return load<T>(raw.template first<sizeof(T)>());
  }

  // expect_end() fails with kCorrupt if anything is left.
  Result<void> expect_end() const;

 private:
  ByteView bytes_;
  std::size_t offset_ = 0;
};

// Writer builds such bytes. It cannot fail but for lack of memory.
class Writer {
 public:
  void u8(std::uint8_t value);
  void u16_be(std::uint16_t value);
  void u32_be(std::uint32_t value);
  void u64_be(std::uint64_t value);
  void u16_le(std::uint16_t value);
  void u32_le(std::uint32_t value);
  void u64_le(std::uint64_t value);
  void bytes(ByteView value);

  template <ByteLayout T>
  void layout(const T& value) {
    bytes(view(value));
  }

  [[nodiscard]] std::size_t size() const { return out_.size(); }

  [[nodiscard]] const Bytes& written() const { return out_; }

  [[nodiscard]] Bytes take() && { return std::move(out_); }

 private:
  Bytes out_;
};

}  // namespace base
