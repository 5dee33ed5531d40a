// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/bios_nvram.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using tests::support::error_code;

// Name "PK", data 01 02 03, with a time.
const std::string kRecord =
    "00000000"
    "39000000"
    "27000000"
    "ea07"
    "0b"
    "16"
    "0a"
    "1e"
    "3b"
    "00"
    "00000000"
    "0000"
    "00"
    "00"
    "61dfe48bca93d211aa0d00e098032b8c"
    "0600"
    "0300"
    "50004b000000"
    "010203";

base::Bytes bytes(const std::string& hex) { return *base::from_hex(hex); }

// The record with `hex` at an offset of it.
base::Bytes spoilt(std::size_t offset, const std::string& hex) {
  auto record = kRecord;
  return bytes(record.replace(2 * offset, hex.size(), hex));
}

TEST(BiosNvramTest, HoldsRecordsOneBehindTheOther) {
  const auto variables = decode_bios_nvram(bytes(kRecord + kRecord));

  ASSERT_TRUE(variables) << variables.error().message;
  ASSERT_EQ(variables->size(), 2u);
  const auto& variable = variables->front();
  EXPECT_EQ(variable.name, u"PK");
  EXPECT_EQ(variable.vendor, kGlobalVariable);
  EXPECT_EQ(variable.attributes, 0x27u);
  EXPECT_EQ(variable.data, bytes("010203"));
  EXPECT_EQ(variable.timestamp, (Timestamp{2026, 11, 22, 10, 30, 59}));
  EXPECT_EQ(variable.state, State::kCurrent);
}

TEST(BiosNvramTest, IsAnEmptyStoreWhereItIsEmpty) { EXPECT_TRUE(decode_bios_nvram({})->empty()); }

TEST(BiosNvramTest, RefusesARecordOfAnotherTypeOrWithLengthsThatDoNotFit) {
  EXPECT_EQ(error_code(decode_bios_nvram(spoilt(0, "01"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_bios_nvram(spoilt(4, "3a"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_bios_nvram(spoilt(44, "08"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_bios_nvram(spoilt(46, "ffff"))), ErrorCode::kCorrupt);
}

TEST(BiosNvramTest, RefusesANameOfOddSizeOrWithoutAnEnd) {
  auto odd = spoilt(44, "0500");
  odd[46] = std::byte{4};
  EXPECT_EQ(error_code(decode_bios_nvram(odd)), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_bios_nvram(spoilt(52, "5100"))), ErrorCode::kCorrupt);
}

TEST(BiosNvramTest, RefusesWhatIsLeftOver) {
  EXPECT_EQ(error_code(decode_bios_nvram(bytes(kRecord + "00"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_bios_nvram(bytes(kRecord.substr(2)))), ErrorCode::kCorrupt);
}

TEST(BiosNvramTest, RefusesMoreThanTheFormatHasRoomFor) {
  // Name and data are as long as they say, and longer than they may be.
  auto long_name = bytes(
      "00000000"
      "32080000" +
      kRecord.substr(16, 72) +
      "0208"
      "0000");
  long_name.resize(48 + 2050);
  EXPECT_EQ(error_code(decode_bios_nvram(long_name)), ErrorCode::kCorrupt);
  auto long_data = bytes(
      "00000000"
      "33800000" +
      kRecord.substr(16, 72) +
      "0200"
      "0180"
      "0000");
  long_data.resize(48 + 2 + 32769);
  EXPECT_EQ(error_code(decode_bios_nvram(long_data)), ErrorCode::kCorrupt);
  std::string many;
  while (many.size() / 2 <= kMaxBiosNvramBytes) {
    many += kRecord;
  }
  EXPECT_EQ(error_code(decode_bios_nvram(bytes(many))), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vmgs::uefi
