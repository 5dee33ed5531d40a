// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/software_keys.h"

#include <gtest/gtest.h>

#include "keybroker/hsm/software_record.h"
#include "keybroker/hsm/wrapped_key.h"
#include "keybroker/protocol/uuid.h"
#include "tests/support/error_code.h"
#include "vmgs/crypto/random.h"

namespace keybroker::hsm {
namespace {

using base::ErrorCode;
using tests::support::error_code;

const auto kTenant = *protocol::parse_uuid("00112233-4455-6677-8899-aabbccddeeff");
const auto kOtherTenant = *protocol::parse_uuid("00112233-4455-6677-8899-aabbccddeefe");

// 16 bytes of a VM id and a key version, as the broker binds them.
const auto kContext = *base::from_hex("6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b00000001");
const auto kOtherContext = *base::from_hex("6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b00000002");

base::Secret<32> counting_from(std::uint8_t first) {
  auto secret = base::Secret<32>::zero();
  for (auto& byte : secret.fill()) {
    byte = std::byte{first++};
  }
  return secret;
}

MasterKey master(std::uint8_t version, std::uint8_t first = 0) {
  return {version, counting_from(first)};
}

SoftwareKeys keys_under(MasterKey key) {
  std::vector<MasterKey> keys;
  keys.push_back(std::move(key));
  return *SoftwareKeys::create(std::move(keys));
}

class SoftwareKeysTest : public ::testing::Test {
 protected:
  SoftwareKeys keys_ = keys_under(master(7));
  KekRecord record_ = *keys_.make(kTenant, "state");
  base::Secret<32> secret_ = *vmgs::crypto::random_secret<32>();
  base::Bytes wrapped_ = *keys_.wrap(record_, kContext, secret_);
};

TEST_F(SoftwareKeysTest, UnwrapsWhatItWrapped) {
  const auto secret = keys_.unwrap(record_, kContext, wrapped_);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_TRUE(secret->equals_in_constant_time(secret_));
}

// Made by Python's cryptography from the tables of software_record.h and wrapped_key.h.
TEST_F(SoftwareKeysTest, OpensTheKnownAnswer) {
  const KekRecord record{
      kTenant, Provider::kSoftware, kSoftwareRecordVersion,
      *base::from_hex("07000102030405060708090a0bc78354984160449c05c81d003d64f6e21347"
                      "15a764eec9eba0fe7f1e81f49e2dae9a301747886ad7cc6c2ef42b7b3f32")};
  const auto wrapped = *base::from_hex(
      "01101112131415161718191a1b1b94f7d546d2aebdea4c8269910b64fd26da"
      "c2b7a60b6b9a05cda17a7384f8a1f7e9439eb8601a31473944fdd15aa5cd");

  const auto secret = keys_.unwrap(record, kContext, wrapped);

  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_EQ(base::to_hex(secret->expose()),
            std::string("abababababababababababababababab") + "abababababababababababababababab");
}

TEST_F(SoftwareKeysTest, KeepsNothingInTheClear) {
  // The key under a known master key is found by opening the record as its header says.
  const auto sealed = *decode_software_record(record_.content);
  base::Bytes key(32);
  ASSERT_TRUE(vmgs::crypto::open(counting_from(0), sealed.nonce,
                                 software_record_context(7, kTenant), sealed.tag, sealed.ciphertext,
                                 key));

  EXPECT_NE(base::to_hex(record_.content).find(base::to_hex(sealed.ciphertext)), std::string::npos);
  EXPECT_EQ(base::to_hex(record_.content).find(base::to_hex(key)), std::string::npos);
  EXPECT_EQ(base::to_hex(wrapped_).find(base::to_hex(secret_.expose())), std::string::npos);
}

TEST_F(SoftwareKeysTest, EveryKeyAndEveryWrappingIsNew) {
  EXPECT_NE(*keys_.make(kTenant, "state"), record_);
  EXPECT_NE(*keys_.wrap(record_, kContext, secret_), wrapped_);
}

TEST_F(SoftwareKeysTest, RefusesAnotherContext) {
  EXPECT_EQ(error_code(keys_.unwrap(record_, kOtherContext, wrapped_)), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(keys_.unwrap(record_, {}, wrapped_)), ErrorCode::kAuthentication);
}

TEST_F(SoftwareKeysTest, RefusesAnotherKeyOfTheSameTenant) {
  const auto other = *keys_.make(kTenant, "state");
  EXPECT_EQ(error_code(keys_.unwrap(other, kContext, wrapped_)), ErrorCode::kAuthentication);
}

TEST_F(SoftwareKeysTest, RefusesARecordInTheRowOfAnotherTenant) {
  auto moved = record_;
  moved.tenant = kOtherTenant;
  EXPECT_EQ(error_code(keys_.unwrap(moved, kContext, wrapped_)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(keys_.wrap(moved, kContext, secret_)), ErrorCode::kDenied);
  EXPECT_EQ(keys_.status(moved).state, KekState::kKeyAbsent);
}

TEST_F(SoftwareKeysTest, RefusesEveryAlteredByteOfTheWrappedKey) {
  for (std::size_t i = 0; i < wrapped_.size(); ++i) {
    auto altered = wrapped_;
    altered[i] ^= std::byte{0x01};
    EXPECT_EQ(error_code(keys_.unwrap(record_, kContext, altered)),
              i == 0 ? ErrorCode::kCorrupt : ErrorCode::kAuthentication)
        << i;
  }
}

TEST_F(SoftwareKeysTest, RefusesEveryAlteredByteOfTheRecord) {
  for (std::size_t i = 0; i < record_.content.size(); ++i) {
    auto altered = record_;
    altered.content[i] ^= std::byte{0x01};
    EXPECT_EQ(error_code(keys_.unwrap(altered, kContext, wrapped_)),
              i == 0 ? ErrorCode::kNotFound : ErrorCode::kDenied)
        << i;
  }
}

TEST_F(SoftwareKeysTest, RefusesTheVersionOfTheMasterKeyRelabelled) {
  // The same key bytes under two numbers: only the additional data tells them apart.
  std::vector<MasterKey> both;
  both.push_back(master(7));
  both.push_back(master(8));
  auto keys = *SoftwareKeys::create(std::move(both));
  auto relabelled = record_;
  relabelled.content.front() = std::byte{8};
  EXPECT_EQ(error_code(keys.unwrap(relabelled, kContext, wrapped_)), ErrorCode::kDenied);
}

TEST_F(SoftwareKeysTest, RefusesOtherSizes) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{60}, std::size_t{62}}) {
    EXPECT_EQ(error_code(keys_.unwrap(record_, kContext, base::Bytes(size, std::byte{1}))),
              ErrorCode::kCorrupt);
    auto record = record_;
    record.content.resize(size);
    EXPECT_EQ(error_code(keys_.unwrap(record, kContext, wrapped_)), ErrorCode::kCorrupt);
  }
}

TEST_F(SoftwareKeysTest, RefusesRecordsThatAreNotItsOwn) {
  auto token = record_;
  token.provider = Provider::kToken;
  EXPECT_EQ(error_code(keys_.unwrap(token, kContext, wrapped_)), ErrorCode::kInvalidArgument);
  auto newer = record_;
  newer.version = 2;
  EXPECT_EQ(error_code(keys_.unwrap(newer, kContext, wrapped_)), ErrorCode::kInvalidArgument);
}

TEST_F(SoftwareKeysTest, SaysWhichMasterKeyIsMissing) {
  auto keys = keys_under(master(6, 1));

  const auto status = keys.status(record_);

  EXPECT_EQ(status.state, KekState::kKeyAbsent);
  EXPECT_NE(status.finding.find("master key 7"), std::string::npos) << status.finding;
  EXPECT_FALSE(status.remedy.empty());
  EXPECT_EQ(keys_.status(record_).state, KekState::kReady);
}

TEST_F(SoftwareKeysTest, RenewsARecordUnderTheNewestMasterKey) {
  std::vector<MasterKey> both;
  both.push_back(master(7));
  both.push_back(master(9, 0x40));
  auto keys = *SoftwareKeys::create(std::move(both));

  const auto renewed = *keys.renewed(record_);

  EXPECT_EQ(renewed.content.front(), std::byte{9});
  EXPECT_EQ(*keys.renewed(renewed), renewed);
  // The older master key can go, and what was wrapped before still opens.
  auto newest = keys_under(master(9, 0x40));
  const auto secret = newest.unwrap(renewed, kContext, wrapped_);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_TRUE(secret->equals_in_constant_time(secret_));
  EXPECT_EQ(error_code(newest.unwrap(record_, kContext, wrapped_)), ErrorCode::kNotFound);
}

TEST(SoftwareKeysCreateTest, RefusesMasterKeysThatCannotBeRight) {
  const auto create = [](std::vector<std::pair<std::uint8_t, bool>> given) {
    std::vector<MasterKey> keys;
    for (const auto& [version, zero] : given) {
      keys.push_back(zero ? MasterKey{version, base::Secret<32>::zero()} : master(version));
    }
    return error_code(SoftwareKeys::create(std::move(keys)));
  };
  EXPECT_EQ(create({}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(create({{0, false}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(create({{1, true}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(create({{1, false}, {1, false}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(create({{255, false}, {1, false}}), std::nullopt);
}

TEST(KekLabelTest, IsShortPrintableText) {
  auto keys = keys_under(master(1));
  EXPECT_TRUE(keys.make(kTenant, std::string(64, 'x')));
  for (const auto& bad : {std::string(), std::string(65, 'x'), std::string("a\nb"),
                          std::string("a\0b", 3), std::string("\xC3\xA4")}) {
    EXPECT_EQ(error_code(keys.make(kTenant, bad)), ErrorCode::kInvalidArgument);
  }
}

TEST(KekStateTest, HasAWordForEach) {
  EXPECT_EQ(name(KekState::kReady), "ready");
  EXPECT_EQ(name(KekState::kTokenAbsent), "token-absent");
  EXPECT_EQ(name(KekState::kTokenLoginFailed), "token-login-failed");
  EXPECT_EQ(name(KekState::kKeyAbsent), "key-absent");
  EXPECT_EQ(name(KekState::kBusy), "busy");
}

}  // namespace
}  // namespace keybroker::hsm
