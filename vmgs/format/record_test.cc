// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/record.h"

#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

Record sample() {
  Record record;
  record.vm_id = *parse_vm_id("00112233-4455-6677-8899-aabbccddeeff");
  record.epoch = 3;
  record.boot_id.fill(std::byte{7});
  record.pending = Anchor{3, 9, {}};
  record.receipt = base::copy_of(base::bytes_of("receipt"));
  record.offline_boots = 1;
  record.restores = 2;
  return record;
}

TEST(RecordTest, RoundTrips) {
  EXPECT_EQ(*decode_record(encode_record(sample())), sample());
  EXPECT_EQ(*decode_record(encode_record(Record{})), Record{});
}

TEST(RecordTest, RejectsEveryTruncationAndATail) {
  auto bytes = encode_record(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_record(base::ByteView(bytes).first(size))) << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(decode_record(bytes));
}

TEST(RecordTest, RejectsAnAbsentAnchorWithContent) {
  auto bytes = encode_record(sample());
  const std::size_t pending_present = 4 + 4 + 16 + 8 + 16 + 49;
  ASSERT_EQ(bytes[pending_present], std::byte{1});

  bytes[pending_present] = std::byte{0};
  EXPECT_FALSE(decode_record(bytes));
  bytes[pending_present] = std::byte{2};
  EXPECT_FALSE(decode_record(bytes));
}

TEST(RecordTest, RejectsAVersionOfTheFuture) {
  auto bytes = encode_record(sample());
  bytes[4] = std::byte{2};

  const auto record = decode_record(bytes);

  ASSERT_FALSE(record);
  EXPECT_NE(record.error().message.find("version 2"), std::string::npos);
}

}  // namespace
}  // namespace vmgs::format
