// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_answer.h"

#include <gtest/gtest.h>

#include <string>

namespace transport::tpm_socket {
namespace {

base::Result<bool> failed(base::ErrorCode code) { return base::fail(code, "told to fail"); }

OutgoingStateBlob blob_of(const char* hex, bool under_file_key = false) {
  return {base::SecretBytes::taking(*base::from_hex(hex)), under_file_key};
}

TEST(ControlAnswerTest, HasTheBytesThatClientsRead) {
  EXPECT_EQ(base::to_hex(plain_answer(ControlResult::kSuccess)), "00000000");
  EXPECT_EQ(base::to_hex(plain_answer(ControlResult::kBadOrdinal)), "0000000a");
  EXPECT_EQ(base::to_hex(capability_answer(kAllCapabilities)), "000000000001ffff");
  EXPECT_EQ(base::to_hex(config_answer({})), "0000000000000000");
  EXPECT_EQ(base::to_hex(config_answer({.file = true})), "0000000000000001");
  EXPECT_EQ(base::to_hex(config_answer({.file = true, .migration = true})), "0000000000000003");
  EXPECT_EQ(base::to_hex(buffer_size_answer({0xf80, 0xaf8, 0x1000})),
            "0000000000000f8000000af800001000");
}

TEST(ControlAnswerTest, GivesTheEstablishedBitInEightBytesAlways) {
  EXPECT_EQ(base::to_hex(established_answer(true)), "0000000001000000");
  EXPECT_EQ(base::to_hex(established_answer(false)), "0000000000000000");
  EXPECT_EQ(base::to_hex(established_answer(failed(base::ErrorCode::kDenied))), "0000000a00000000");
}

TEST(ControlAnswerTest, GivesAStateBlobWithTwoEqualLengths) {
  EXPECT_EQ(base::to_hex(state_blob_answer(blob_of("cafebabe"), 0).expose()),
            "00000000000000000000000400000004cafebabe");
  EXPECT_EQ(base::to_hex(state_blob_answer(blob_of("cafebabe"), 3).expose()),
            "00000000000000000000000100000001be");
  EXPECT_EQ(base::to_hex(state_blob_answer(blob_of("cafebabe"), 4).expose()),
            "00000000000000000000000000000000");
  EXPECT_EQ(base::to_hex(state_blob_answer(blob_of("cafebabe"), 0xffffffff).expose()),
            "00000000000000000000000000000000");
}

TEST(ControlAnswerTest, SaysThatAStateBlobIsUnderTheFileKey) {
  EXPECT_EQ(base::to_hex(state_blob_answer(blob_of("cafebabe", true), 0).expose()),
            "00000000000000020000000400000004cafebabe");
}

TEST(ControlAnswerTest, GivesTheWholeHeaderWhereThereIsNoStateBlob) {
  EXPECT_EQ(base::to_hex(no_state_blob_answer(ControlResult::kRetry)),
            "00000800000000000000000000000000");
}

TEST(ControlAnswerTest, GivesInformationInPiecesWithItsTerminator) {
  EXPECT_EQ(base::to_hex(info_answer("{}", 0)), "0000000000000003000000037b7d00");
  EXPECT_EQ(base::to_hex(info_answer("{}", 1)), "0000000000000003000000027d00");
  EXPECT_EQ(base::to_hex(info_answer("{}", 2)), "00000003");
  const std::string text(5000, 'x');
  EXPECT_EQ(info_answer(text, 0).size(), 12U + 3072U);
  EXPECT_EQ(info_answer(text, 3072).size(), 12U + 5001U - 3072U);
}

TEST(ControlAnswerTest, TellsFailuresApart) {
  const auto result = [](base::ErrorCode code) {
    return static_cast<unsigned>(result_of(base::Error{code, ""}));
  };

  EXPECT_EQ(result(base::ErrorCode::kInvalidArgument), 3U);
  EXPECT_EQ(result(base::ErrorCode::kCorrupt), 9U);
  EXPECT_EQ(result(base::ErrorCode::kUnavailable), 9U);
  EXPECT_EQ(result(base::ErrorCode::kDenied), 10U);
  EXPECT_EQ(result(base::ErrorCode::kIo), 31U);
  EXPECT_EQ(result(base::ErrorCode::kAuthentication), 33U);
  EXPECT_EQ(result(base::ErrorCode::kNotFound), 0x800U);
}

}  // namespace
}  // namespace transport::tpm_socket
