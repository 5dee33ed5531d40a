// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/cursor.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(CursorTest, ReadsBackWhatWasWrittenInBothOrders) {
  Writer writer;
  writer.u8(1);
  writer.u16_be(0x0203);
  writer.u32_le(0x07060504);
  writer.u64_be(8);
  writer.bytes(bytes_of("end"));

  Reader reader(writer.written());

  EXPECT_EQ(*reader.u8(), 1);
  EXPECT_EQ(*reader.u16_be(), 0x0203);
  EXPECT_EQ(*reader.u32_be(), 0x04050607U);
  EXPECT_EQ(*reader.u64_be(), 8U);
  EXPECT_EQ(to_hex(*reader.bytes(3)), to_hex(bytes_of("end")));
  EXPECT_TRUE(reader.expect_end());
}

TEST(CursorTest, FailsWithTheOffsetWhenBytesRunOut) {
  const Bytes five(5);
  Reader reader(five);
  ASSERT_TRUE(reader.u32_be());

  const auto more = reader.u16_le();

  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(more.error().message.find("offset 4"), std::string::npos);
  EXPECT_EQ(reader.remaining(), 1U);
}

TEST(CursorTest, RefusesALengthThatWouldWrapAround) {
  const Bytes five(5);
  Reader reader(five);
  ASSERT_TRUE(reader.u8());

  EXPECT_FALSE(reader.bytes(static_cast<std::size_t>(-1)));
}

TEST(CursorTest, ExpectEndRefusesLeftovers) {
  const Bytes one(1);

  EXPECT_FALSE(Reader(one).expect_end());
}

}  // namespace
}  // namespace base
