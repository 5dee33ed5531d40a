// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/attestation_record.h"

#include <gtest/gtest.h>

#include <memory>

#include "keybroker/protocol/readiness.h"

namespace tools::vtpm_instance {
namespace {

using base::ErrorCode;
using keybroker::protocol::Readiness;
using vtpm::provision::PublicKey;

PublicKey key(unsigned char number) {
  return {.area = base::Bytes(3, std::byte{number}), .name = base::Bytes(2, std::byte{number})};
}

base::SecretBytes password() {
  base::SecretBytes bytes(32);
  bytes.fill()[0] = std::byte{9};
  return bytes;
}

AttestationUpkeep::Begun attesting() {
  AttestationUpkeep::Begun begun;
  begun.readiness = {Readiness::kAkCertMissing, "the authority is away"};
  begun.keys = vtpm::provision::ClaimedKeys{
      .rsa_ak = key(1), .rsa_ek = key(2), .ecc_ak = key(3), .ecc_ek = key(4)};
  begun.renew_at = std::chrono::sys_seconds(std::chrono::seconds(1'000));
  begun.ends_at = std::chrono::sys_seconds(std::chrono::seconds(2'000));
  begun.uncertified = base::Error{ErrorCode::kDenied, "no"};
  begun.is_proven = true;
  begun.aks_may_be_gone = true;
  return begun;
}

TEST(AttestationRecordTest, ComesOutAsItWentIn) {
  const auto begun = begun_of(record_of(attesting()), password());

  EXPECT_EQ(begun.readiness.readiness, Readiness::kAkCertMissing);
  EXPECT_EQ(begun.readiness.reason, "the authority is away");
  ASSERT_TRUE(begun.keys);
  EXPECT_EQ(begun.keys->rsa_ak, key(1));
  EXPECT_EQ(begun.keys->rsa_ek, key(2));
  EXPECT_EQ(begun.keys->ecc_ak, key(3));
  EXPECT_EQ(begun.keys->ecc_ek, key(4));
  ASSERT_NE(begun.password, nullptr);
  EXPECT_EQ(begun.password->bytes.expose()[0], std::byte{9});
  EXPECT_EQ(begun.renew_at, attesting().renew_at);
  EXPECT_EQ(begun.ends_at, attesting().ends_at);
  ASSERT_TRUE(begun.uncertified);
  EXPECT_EQ(begun.uncertified->code, ErrorCode::kDenied);
  EXPECT_EQ(begun.uncertified->message, "no");
  EXPECT_TRUE(begun.is_proven);
  EXPECT_TRUE(begun.aks_may_be_gone);
}

TEST(AttestationRecordTest, GivesReportsTheirKeysAndPassword) {
  const auto provisioned = provisioned_of(record_of(attesting()), password());

  ASSERT_TRUE(provisioned);
  EXPECT_EQ(provisioned->rsa_ak, key(1));
  EXPECT_EQ(provisioned->ecc_ek, key(4));
  EXPECT_NE(provisioned->index_password, nullptr);
  EXPECT_FALSE(provisioned->twin);
}

TEST(AttestationRecordTest, GivesNoReportsWhereTheKeysAreNotTheTpmsOwn) {
  auto unproven = attesting();
  unproven.is_proven = false;
  auto without_keys = attesting();
  without_keys.keys.reset();

  EXPECT_FALSE(provisioned_of(record_of(unproven), password()));
  EXPECT_FALSE(provisioned_of(record_of(without_keys), password()));
  EXPECT_FALSE(provisioned_of(record_of(attesting()), {}));
}

TEST(AttestationRecordTest, DoesNotAttestByARecordThatSaysNothing) {
  EXPECT_EQ(begun_of({}, {}).readiness.readiness, Readiness::kReportMissing);
  EXPECT_FALSE(begun_of({}, {}).keys);
}

}  // namespace
}  // namespace tools::vtpm_instance
