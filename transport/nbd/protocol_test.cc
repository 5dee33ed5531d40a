// SPDX-License-Identifier: Apache-2.0
#include "transport/nbd/protocol.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace transport::nbd {
namespace {

using base::ErrorCode;
using tests::support::error_code;

template <std::size_t N>
std::array<std::byte, N> bytes_of_hex(const std::string& hex) {
  const auto bytes = *base::from_hex(hex);
  std::array<std::byte, N> fixed{};
  EXPECT_EQ(bytes.size(), N);
  std::copy_n(bytes.begin(), std::min(bytes.size(), N), fixed.begin());
  return fixed;
}

// The bytes of these are written out by hand from the specification.
TEST(NbdProtocolTest, GreetsAsTheFixedNewstyleServerThatNeedsNoZeroes) {
  EXPECT_EQ(base::to_hex(greeting()),
            "4e42444d41474943"
            "49484156454f5054"
            "0003");
}

TEST(NbdProtocolTest, TakesTheFlagsOfAClientThatNeedsZeroesAndOfOneThatDoesNot) {
  EXPECT_FALSE(decode_client_flags(bytes_of_hex<4>("00000001"))->no_zeroes);
  EXPECT_TRUE(decode_client_flags(bytes_of_hex<4>("00000003"))->no_zeroes);
}

TEST(NbdProtocolTest, RefusesFlagsNobodyKnowsAndTheHandshakeOfOld) {
  EXPECT_EQ(error_code(decode_client_flags(bytes_of_hex<4>("00000005"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_client_flags(bytes_of_hex<4>("80000001"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_client_flags(bytes_of_hex<4>("00000002"))), ErrorCode::kCorrupt);
}

TEST(NbdProtocolTest, ReadsAnOptionHeaderWithTheLongestLength) {
  const auto header =
      decode_option_header(bytes_of_hex<16>("49484156454f5054"
                                            "00000007"
                                            "ffffffff"));

  ASSERT_TRUE(header);
  EXPECT_EQ(header->option, Option::kGo);
  EXPECT_EQ(header->length, 0xffffffff);
}

TEST(NbdProtocolTest, RefusesAnOptionWithoutItsMagicNumber) {
  EXPECT_EQ(error_code(decode_option_header(bytes_of_hex<16>("49484156454f5055"
                                                             "00000007"
                                                             "00000000"))),
            ErrorCode::kCorrupt);
}

TEST(NbdProtocolTest, ReadsWhichExportAClientChoosesAndWhetherItAsksForBlockSizes) {
  EXPECT_EQ(decode_export_choice(*base::from_hex("00000002"
                                                 "6162"
                                                 "0002"
                                                 "0001"
                                                 "0003")),
            (ExportChoice{"ab", true}));
  EXPECT_EQ(decode_export_choice(*base::from_hex("00000000"
                                                 "0000")),
            (ExportChoice{"", false}));
  EXPECT_EQ(decode_export_choice(*base::from_hex("00000000"
                                                 "0001"
                                                 "0002")),
            (ExportChoice{"", false}));
}

TEST(NbdProtocolTest, RefusesAChoiceWhoseLengthsDoNotFit) {
  for (const auto* hex : {"", "000000", "00000001",
                          "ffffffff"
                          "61",
                          "00000001"
                          "61",
                          "00000000"
                          "0001",
                          "00000000"
                          "0000"
                          "00"}) {
    EXPECT_EQ(error_code(decode_export_choice(*base::from_hex(hex))), ErrorCode::kCorrupt) << hex;
  }
}

TEST(NbdProtocolTest, AnswersOptionsInTheirForm) {
  base::Bytes out;
  put_option_reply(out, Option::kAbort, OptionReply::kAck);
  EXPECT_EQ(base::to_hex(out),
            "0003e889045565a9"
            "00000002"
            "00000001"
            "00000000");

  out.clear();
  put_export_info(out, Option::kGo, 0x84000);
  EXPECT_EQ(base::to_hex(out),
            "0003e889045565a9"
            "00000007"
            "00000003"
            "0000000c"
            "0000"
            "0000000000084000"
            "000d");

  out.clear();
  put_block_size_info(out, Option::kInfo);
  EXPECT_EQ(base::to_hex(out),
            "0003e889045565a9"
            "00000006"
            "00000003"
            "0000000e"
            "0003"
            "00000001"
            "00001000"
            "00100000");

  out.clear();
  put_listed_export(out, "ab");
  EXPECT_EQ(base::to_hex(out),
            "0003e889045565a9"
            "00000003"
            "00000002"
            "00000006"
            "00000002"
            "6162");
}

TEST(NbdProtocolTest, AddsZeroesToTheOldestAnswerUnlessTheClientNeedsNone) {
  EXPECT_EQ(export_name_answer(0x20000, {.no_zeroes = false}).size(), 10u + 124);
  EXPECT_EQ(base::to_hex(export_name_answer(0x20000, {.no_zeroes = true})),
            "0000000000020000"
            "000d");
}

TEST(NbdProtocolTest, ReadsARequest) {
  const auto request =
      decode_request(bytes_of_hex<28>("25609513"
                                      "0001"
                                      "0001"
                                      "1122334455667788"
                                      "0000000000000200"
                                      "00000400"));

  ASSERT_TRUE(request);
  EXPECT_EQ(request->command, Command::kWrite);
  EXPECT_TRUE(request->write_through);
  EXPECT_FALSE(request->has_other_flags);
  EXPECT_EQ(request->cookie, 0x1122334455667788);
  EXPECT_EQ(request->offset, 0x200u);
  EXPECT_EQ(request->length, 0x400u);
}

TEST(NbdProtocolTest, SeesFlagsOfARequestThatNobodyOffered) {
  const auto request =
      decode_request(bytes_of_hex<28>("25609513"
                                      "0003"
                                      "0000"
                                      "0000000000000000"
                                      "0000000000000000"
                                      "00000000"));

  ASSERT_TRUE(request);
  EXPECT_TRUE(request->has_other_flags);
}

TEST(NbdProtocolTest, RefusesARequestWithoutItsMagicNumber) {
  EXPECT_EQ(error_code(decode_request(bytes_of_hex<28>("25609514"
                                                       "0000"
                                                       "0000"
                                                       "0000000000000000"
                                                       "0000000000000000"
                                                       "00000000"))),
            ErrorCode::kCorrupt);
}

TEST(NbdProtocolTest, FindsARangeOutsideHoweverItsSumWouldOverflow) {
  const auto at = [](std::uint64_t offset, std::uint32_t length) {
    return Request{.command = Command::kRead, .offset = offset, .length = length};
  };

  EXPECT_TRUE(at(0, 4096).lies_within(4096));
  EXPECT_TRUE(at(4096, 0).lies_within(4096));
  EXPECT_FALSE(at(1, 4096).lies_within(4096));
  EXPECT_FALSE(at(4097, 0).lies_within(4096));
  EXPECT_FALSE(at(0xffffffffffffffff, 2).lies_within(4096));
}

TEST(NbdProtocolTest, RepliesInTheSimpleForm) {
  std::array<std::byte, kSimpleReplyBytes> reply{};
  put_simple_reply(reply, 0x1122334455667788, Failure::kNoSpace);
  EXPECT_EQ(base::to_hex(reply),
            "67446698"
            "0000001c"
            "1122334455667788");
}

}  // namespace
}  // namespace transport::nbd
