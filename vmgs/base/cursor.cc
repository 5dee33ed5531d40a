// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/cursor.h"

namespace base {

namespace {

template <typename Buffer>
auto read_integer(Reader& reader) -> Result<typename Buffer::value_type> {
  TRY_ASSIGN(raw, reader.layout<Buffer>());
  return raw.value();
}

template <typename Buffer>
void write_integer(Writer& writer, typename Buffer::value_type value) {
  writer.layout(Buffer(value));
}

}  // namespace

Result<std::uint8_t> Reader::u8() {
  TRY_ASSIGN(raw, bytes(1));
  return std::to_integer<std::uint8_t>(raw[0]);
}

Result<std::uint16_t> Reader::u16_be() { return read_integer<U16Be>(*this); }

Result<std::uint32_t> Reader::u32_be() { return read_integer<U32Be>(*this); }

Result<std::uint64_t> Reader::u64_be() { return read_integer<U64Be>(*this); }

Result<std::uint16_t> Reader::u16_le() { return read_integer<U16Le>(*this); }

Result<std::uint32_t> Reader::u32_le() { return read_integer<U32Le>(*this); }

Result<std::uint64_t> Reader::u64_le() { return read_integer<U64Le>(*this); }

Result<ByteView> Reader::bytes(std::size_t count) {
  if (count > remaining()) {
    return fail(ErrorCode::kCorrupt, "needs " + std::to_string(count) + " bytes at offset " +
                                         std::to_string(offset_) + ", has " +
                                         std::to_string(remaining()));
  }
  const auto taken = bytes_.subspan(offset_, count);
  offset_ += count;
  return taken;
}

ByteView Reader::rest() {
  const auto taken = bytes_.subspan(offset_);
  offset_ = bytes_.size();
  return taken;
}

Result<void> Reader::expect_end() const {
  if (!empty()) {
    return fail(ErrorCode::kCorrupt, std::to_string(remaining()) + " bytes too many at offset " +
                                         std::to_string(offset_));
  }
  return {};
}

void Writer::u8(std::uint8_t value) { out_.push_back(std::byte{value}); }

void Writer::u16_be(std::uint16_t value) { write_integer<U16Be>(*this, value); }

void Writer::u32_be(std::uint32_t value) { write_integer<U32Be>(*this, value); }

void Writer::u64_be(std::uint64_t value) { write_integer<U64Be>(*this, value); }

void Writer::u16_le(std::uint16_t value) { write_integer<U16Le>(*this, value); }

void Writer::u32_le(std::uint32_t value) { write_integer<U32Le>(*this, value); }

void Writer::u64_le(std::uint64_t value) { write_integer<U64Le>(*this, value); }

void Writer::bytes(ByteView value) { out_.insert(out_.end(), value.begin(), value.end()); }

}  // namespace base
