// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_request.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace transport::tpm_socket {
namespace {

struct Case {
  ControlCode code;
  std::string body;  // hexadecimal, without data that follows
};

// Every request of the protocol as a client sends it.
const std::vector<Case> kCases = {
    {ControlCode::kGetCapability, ""},
    {ControlCode::kInit, "00000001"},
    {ControlCode::kShutdown, ""},
    {ControlCode::kGetTpmEstablished, ""},
    {ControlCode::kSetLocality, "03"},
    {ControlCode::kHashStart, ""},
    {ControlCode::kHashData, "00000010"},
    {ControlCode::kHashEnd, ""},
    {ControlCode::kCancelTpmCommand, ""},
    {ControlCode::kStoreVolatile, ""},
    {ControlCode::kResetTpmEstablished, "04"},
    {ControlCode::kGetStateBlob, "000000010000000200000003"},
    {ControlCode::kSetStateBlob, "000000000000000100000520"},
    {ControlCode::kStop, ""},
    {ControlCode::kGetConfig, ""},
    {ControlCode::kSetDataFd, ""},
    {ControlCode::kSetBufferSize, "00000f80"},
    {ControlCode::kGetInfo, "00000000000000070000000500000000"},
    {ControlCode::kLockStorage, "0000012c"},
};

base::Bytes bytes_of(const Case& request) {
  const std::array<std::byte, 4> code = {std::byte{0}, std::byte{0}, std::byte{0},
                                         static_cast<std::byte>(request.code)};
  return *base::from_hex(base::to_hex(code) + request.body);
}

template <typename T>
T decoded(const std::string& hex) {
  const auto request = decode_control_request(*base::from_hex(hex));
  EXPECT_TRUE(request);
  return std::get<T>(request->request);
}

TEST(ControlRequestTest, TakesEveryRequestWholeAndNothingLess) {
  for (const auto& request : kCases) {
    const auto bytes = bytes_of(request);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(decode_control_request(base::ByteView(bytes).first(size)))
          << name(request.code) << " with " << size << " bytes";
    }
    const auto whole = decode_control_request(bytes);
    ASSERT_TRUE(whole) << name(request.code);
    EXPECT_EQ(whole->used, bytes.size()) << name(request.code);
  }
}

TEST(ControlRequestTest, LeavesTheNextRequestAlone) {
  for (const auto& request : kCases) {
    auto bytes = bytes_of(request);
    const std::size_t size = bytes.size();
    const auto next = *base::from_hex("0000000e");
    bytes.insert(bytes.end(), next.begin(), next.end());

    EXPECT_EQ(decode_control_request(bytes)->used, size) << name(request.code);
  }
}

TEST(ControlRequestTest, ReadsEveryField) {
  EXPECT_EQ(decoded<PlainRequest>("0000000e").code, ControlCode::kStop);
  EXPECT_EQ(decoded<InitRequest>("0000000280000001").flags, 0x80000001U);
  EXPECT_EQ(decoded<LocalityRequest>("0000000503").code, ControlCode::kSetLocality);
  EXPECT_EQ(decoded<LocalityRequest>("0000000b04").code, ControlCode::kResetTpmEstablished);
  EXPECT_EQ(decoded<LocalityRequest>("0000000b04").locality, 4);
  EXPECT_EQ(decoded<HashDataRequest>("0000000700010203").length, 0x00010203U);
  const auto get = decoded<GetStateBlobRequest>("0000000c000000010000000200000003");
  EXPECT_EQ(get.flags, 1U);
  EXPECT_EQ(get.type, 2U);
  EXPECT_EQ(get.offset, 3U);
  const auto set = decoded<SetStateBlobRequest>("0000000d000000020000000100000520");
  EXPECT_EQ(set.flags, 2U);
  EXPECT_EQ(set.type, 1U);
  EXPECT_EQ(set.length, 0x520U);
  EXPECT_EQ(decoded<SetBufferSizeRequest>("0000001100000f80").size, 3968U);
  const auto info = decoded<GetInfoRequest>("0000001200000001000000070000000500000000");
  EXPECT_EQ(info.flags, 0x0000000100000007U);
  EXPECT_EQ(info.offset, 5U);
  EXPECT_EQ(decoded<LockStorageRequest>("000000130000012c").retries, 300U);
}

TEST(ControlRequestTest, TakesAllThereIsForAnUnknownRequest) {
  for (const char* hex : {"00000000", "000000140102", "ffffffff00"}) {
    const auto bytes = *base::from_hex(hex);
    const auto request = decode_control_request(bytes);
    ASSERT_TRUE(request) << hex;
    EXPECT_TRUE(std::holds_alternative<UnknownRequest>(request->request)) << hex;
    EXPECT_EQ(request->used, bytes.size()) << hex;
  }
}

// QEMU sends a C structure of four bytes for the locality. In RESET_TPMESTABLISHED its three bytes
// of padding are what was on QEMU's stack.
TEST(ControlRequestTest, TakesQemusPaddingWhateverItHolds) {
  for (const char* hex : {"0000000501000000", "0000000b04a7b8c9"}) {
    const auto request = decode_control_request(*base::from_hex(hex));
    ASSERT_TRUE(request) << hex;
    EXPECT_EQ(request->used, 8U) << hex;
    EXPECT_EQ(request->padding_owed, 0U) << hex;
  }
}

TEST(ControlRequestTest, TellsPaddingFromARequestThatFollows) {
  EXPECT_EQ(decode_control_request(*base::from_hex("00000005020000000e"))->used, 5U);
  EXPECT_EQ(decode_control_request(*base::from_hex("00000005020000000000000e"))->used, 8U);
}

TEST(ControlRequestTest, SaysHowMuchPaddingMayStillCome) {
  EXPECT_EQ(decode_control_request(*base::from_hex("0000000502"))->padding_owed, 3U);
  EXPECT_EQ(decode_control_request(*base::from_hex("00000005020000"))->padding_owed, 1U);
}

TEST(ControlRequestTest, SkipsPaddingThatComesLate) {
  const auto skipped = [](const char* hex, std::size_t owed) {
    return skip_late_padding(*base::from_hex(hex), owed);
  };

  EXPECT_EQ(skipped("0000000000000e", 3), 3U);
  EXPECT_EQ(skipped("000000000e", 3), 1U);
  EXPECT_EQ(skipped("0000000e", 3), 0U);
  EXPECT_EQ(skipped("000000ff", 3), 0U) << "an unknown request is one, too";
  EXPECT_EQ(skipped("0000000000000e", 0), 0U);
  EXPECT_EQ(skipped("000000", 3), std::nullopt) << "nobody can tell yet";
  EXPECT_EQ(skipped("", 3), std::nullopt);
}

}  // namespace
}  // namespace transport::tpm_socket
