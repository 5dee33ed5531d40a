// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/command_frame.h"

#include <gtest/gtest.h>

#include <string>

namespace transport::tpm_socket {
namespace {

const std::string kCommand = "80010000000c0000017b0010";

std::optional<CommandFrame> frame(const std::string& hex) {
  return frame_command(*base::from_hex(hex));
}

TEST(CommandFrameTest, EndsWhereTheCommandsOwnSizeSays) {
  const auto found = frame(kCommand + "8001");

  ASSERT_TRUE(found);
  EXPECT_EQ(found->begin, 0U);
  EXPECT_EQ(found->end, 12U);
  EXPECT_EQ(found->used, 12U);
  EXPECT_FALSE(found->locality);
}

TEST(CommandFrameTest, WaitsForAWholeCommand) {
  for (std::size_t digits = 0; digits < kCommand.size(); digits += 2) {
    EXPECT_FALSE(frame(kCommand.substr(0, digits))) << digits / 2;
  }
}

TEST(CommandFrameTest, TakesThePrefixOff) {
  const std::string prefixed =
      "00000008"
      "03"
      "0000000c" +
      kCommand;
  const auto found = frame(prefixed);

  ASSERT_TRUE(found);
  EXPECT_EQ(found->begin, 9U);
  EXPECT_EQ(found->end, 21U);
  EXPECT_EQ(found->used, 21U);
  EXPECT_EQ(found->locality, 3);
  for (std::size_t digits = 0; digits < prefixed.size(); digits += 2) {
    EXPECT_FALSE(frame(prefixed.substr(0, digits))) << digits / 2;
  }
}

TEST(CommandFrameTest, TakesAllThereIsWhereTheSizeIsNoneOfACommand) {
  for (const char* size : {"00000000", "00000009", "00001001", "ffffffff"}) {
    const auto found = frame("8001" + std::string(size) + "0000017b");
    ASSERT_TRUE(found) << size;
    EXPECT_EQ(found->begin, 0U);
    EXPECT_EQ(found->end, 10U);
    EXPECT_EQ(found->used, 10U);
  }
}

// A guest on a TIS device can send six bytes whose size field says three.
TEST(CommandFrameTest, TakesACommandThatIsShorterThanAHeader) {
  const auto found = frame("800100000003");

  ASSERT_TRUE(found);
  EXPECT_EQ(found->end, 6U);
}

TEST(CommandFrameTest, TakesAllThereIsWhereThePrefixHasABadSize) {
  const auto found = frame("000000080100001001" + kCommand);

  ASSERT_TRUE(found);
  EXPECT_EQ(found->begin, 9U);
  EXPECT_EQ(found->used, 21U);
  EXPECT_EQ(found->locality, 1);
}

TEST(CommandFrameTest, GivesNoMoreThanTheLargestCommand) {
  base::Bytes bytes(5000);
  bytes[2] = std::byte{0xff};

  const auto found = frame_command(bytes);

  ASSERT_TRUE(found);
  EXPECT_EQ(found->end, kMaxCommandBytes);
  EXPECT_EQ(found->used, 5000U) << "the rest is no command";
}

TEST(CommandFrameTest, TakesTheLargestCommandWhole) {
  base::Bytes bytes(kMaxCommandBytes);
  bytes[4] = std::byte{0x10};

  const auto found = frame_command(bytes);

  ASSERT_TRUE(found);
  EXPECT_EQ(found->end, kMaxCommandBytes);
}

TEST(CommandFrameTest, TakesWhatIsThereWhenTheRestDoesNotCome) {
  EXPECT_EQ(frame_rest(*base::from_hex("80010000")).end, 4U);
  const auto prefixed = frame_rest(*base::from_hex("00000008010000000c8001"));
  EXPECT_EQ(prefixed.begin, 9U);
  EXPECT_EQ(prefixed.end, 11U);
  EXPECT_EQ(prefixed.locality, 1);
  const auto part_of_a_prefix = frame_rest(*base::from_hex("0000000801"));
  EXPECT_EQ(part_of_a_prefix.begin, 0U);
  EXPECT_EQ(part_of_a_prefix.end, 5U);
}

}  // namespace
}  // namespace transport::tpm_socket
