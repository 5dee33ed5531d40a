// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/header.h"

#include <gtest/gtest.h>

#include "vmgs/base/bytes.h"

namespace vtpm::protocol {
namespace {

// GetRandom for 16 bytes, a command that the decoder accepts. Each test spoils one thing about it.
base::Bytes valid_command() { return *base::from_hex("80010000000c0000017b0010"); }

void expect_corrupt(const base::Bytes& command) {
  const auto header = decode_command_header(command);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, base::ErrorCode::kCorrupt);
}

TEST(CommandHeaderTest, ReadsTagAndCode) {
  const auto header = decode_command_header(valid_command());

  ASSERT_TRUE(header);
  EXPECT_EQ(header->tag, Tag::kNoSessions);
  EXPECT_EQ(header->code, static_cast<CommandCode>(0x17B));
}

TEST(CommandHeaderTest, AcceptsACommandWithSessions) {
  auto command = valid_command();
  command[1] = std::byte{0x02};

  EXPECT_TRUE(decode_command_header(command));
}

TEST(CommandHeaderTest, RejectsFewerThanTenBytes) {
  auto command = valid_command();
  command.resize(9);
  command[5] = std::byte{9};

  expect_corrupt(command);
}

TEST(CommandHeaderTest, RejectsASizeFieldThatIsNotTheSize) {
  auto command = valid_command();
  command[5] = std::byte{0x0d};

  expect_corrupt(command);
}

TEST(CommandHeaderTest, RejectsTheTagOfATpm12Command) {
  auto command = valid_command();
  command[0] = std::byte{0x00};
  command[1] = std::byte{0xc1};

  expect_corrupt(command);
}

TEST(ResponseHeaderTest, BareResponseDecodesToItsCode) {
  const auto response = bare_response(ResponseCode::kFailure);

  EXPECT_EQ(base::to_hex(response), "80010000000a00000101");
  const auto header = decode_response_header(response);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->code, ResponseCode::kFailure);
}

TEST(ResponseCodeTest, NamesKnownCodesAndNumbersOthers) {
  EXPECT_EQ(describe(ResponseCode::kFailure), "TPM_RC_FAILURE (0x101)");
  EXPECT_EQ(describe(static_cast<ResponseCode>(0x184)), "TPM_RC 0x184");
}

}  // namespace
}  // namespace vtpm::protocol
