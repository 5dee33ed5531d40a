// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/release_claims.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "keybroker/protocol/broker.pb.h"

namespace keybroker::protocol {
namespace {

namespace pb = ::strongroom::broker::v1;

ReleaseClaims some_claims() {
  ReleaseClaims claims;
  claims.vm_id.fill(std::byte{0x11});
  claims.boot_id.fill(std::byte{0x22});
  claims.challenge = base::Bytes(90, std::byte{0x33});
  claims.transfer_key = base::Bytes(120, std::byte{0x44});
  claims.launch_digest = base::Bytes(32, std::byte{0x55});
  return claims;
}

base::Bytes encoded() { return encode(some_claims()).value(); }

base::Bytes altered(const std::function<void(pb::ReleaseClaims&)>& alter) {
  const auto bytes = encoded();
  pb::ReleaseClaims message;
  EXPECT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  alter(message);
  return base::copy_of(base::bytes_of(message.SerializeAsString()));
}

void expect_corrupt(const base::Bytes& bytes, const std::string& word) {
  const auto decoded = decode_release_claims(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, base::ErrorCode::kCorrupt);
  EXPECT_NE(decoded.error().message.find(word), std::string::npos) << decoded.error().message;
}

TEST(ReleaseClaimsTest, ComesBackAsItWas) {
  for (const std::size_t digest_bytes : {32U, 48U}) {
    auto claims = some_claims();
    claims.transfer_algorithm = TransferAlgorithm::kRsa3072OaepSha384;
    claims.launch_digest.resize(digest_bytes);
    const auto bytes = encode(claims);
    ASSERT_TRUE(bytes);
    const auto decoded = decode_release_claims(*bytes);
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_EQ(*decoded, claims);
  }
}

TEST(ReleaseClaimsTest, RefusesAnotherPurposeOrVersion) {
  expect_corrupt(altered([](auto& claims) { claims.set_purpose("strongroom.guest"); }), "purpose");
  expect_corrupt(altered([](auto& claims) { claims.set_purpose(""); }), "purpose");
  expect_corrupt(altered([](auto& claims) { claims.set_version(2); }), "version 2");
}

TEST(ReleaseClaimsTest, RefusesFieldsOfAnotherLength) {
  expect_corrupt(altered([](auto& claims) { claims.set_vm_id("short"); }), "vm_id");
  expect_corrupt(altered([](auto& claims) { claims.set_vm_id(std::string(16, '\0')); }), "vm_id");
  expect_corrupt(altered([](auto& claims) { claims.set_boot_id(""); }), "boot_id");
  expect_corrupt(altered([](auto& claims) { claims.set_challenge(""); }), "challenge");
  expect_corrupt(altered([](auto& claims) { claims.set_challenge(std::string(257, 'c')); }),
                 "challenge");
  expect_corrupt(altered([](auto& claims) { claims.set_transfer_key(""); }), "transfer_key");
  expect_corrupt(altered([](auto& claims) { claims.set_transfer_key(std::string(1025, 'k')); }),
                 "transfer_key");
  expect_corrupt(altered([](auto& claims) { claims.set_launch_digest(std::string(33, 'd')); }),
                 "launch_digest");
  expect_corrupt(base::Bytes(kMaxReleaseClaimsBytes + 1), "at most");
}

TEST(ReleaseClaimsTest, RefusesAnUnknownAlgorithm) {
  expect_corrupt(altered([](auto& claims) {
                   claims.set_transfer_algorithm(static_cast<pb::TransferAlgorithm>(3));
                 }),
                 "transfer_algorithm");
}

TEST(ReleaseClaimsTest, RefusesAnotherEncodingOfTheSameClaims) {
  auto with_unknown_field = encoded();
  for (const auto byte : {0x78, 0x01}) {  // field 15, varint 1
    with_unknown_field.push_back(static_cast<std::byte>(byte));
  }
  expect_corrupt(with_unknown_field, "canonical");
  const auto bytes = encoded();
  auto twice = bytes;
  twice.insert(twice.end(), bytes.begin(), bytes.end());
  expect_corrupt(twice, "canonical");
}

TEST(ReleaseClaimsTest, ReportDataIsNeverThatOfAGuest) {
  const auto data = release_report_data(encoded());
  EXPECT_FALSE(
      std::all_of(data.begin() + 32, data.end(), [](std::byte b) { return b == std::byte{}; }));
  auto other = some_claims();
  other.boot_id[0] = std::byte{};
  EXPECT_NE(release_report_data(encode(other).value()), data);
}

}  // namespace
}  // namespace keybroker::protocol
