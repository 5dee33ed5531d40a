// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/authority/authority.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/store/certificate_database.h"
#include "tests/integration/swtpm.h"
#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

// Class `host`, with another maker's TPM and tools on the other side: what we wrap, tpm2-tools
// unwrap.
namespace tests::integration {
namespace {

using namespace keybroker::authority;
namespace protocol = keybroker::protocol;
using support::error_code;
using ::testing::HasSubstr;

const auto kNow = *keybroker::crypto::parse_time("2026-01-01T12:00:00Z");

class HostClassTest : public ::testing::Test {
 protected:
  HostClassTest()
      : records_(*keybroker::store::CertificateDatabase::open(folder_ / "ca.sqlite")),
        ca_(*make_issuing_ca(AkClass::kHost, kNow)),
        authority_({{AkClass::kHost, ca_}}, records_) {
    said_.vm_id.fill(std::byte{0x6B});
    tpm_.make_ak();
    Swtpm::run({"createek", "-Q", "-c", "0x81010001", "-G", "rsa"});
    Swtpm::run({"flushcontext", "-Q", "-t"});
    ak_ = tpm_.public_area("0x81000003");
    ek_ = tpm_.public_area("0x81010001");
  }

  base::SecretBytes activate(const keybroker::crypto::Credential& credential) const {
    return base::SecretBytes::taking(
        tpm_.activate(credential.id_object, credential.encrypted_secret));
  }

  base::Result<Certified> certify() {
    auto challenge = authority_.begin_host(said_, ak_, kNow);
    if (!challenge) {
      return base::fail(challenge.error());
    }
    return authority_.finish_host(said_.vm_id, challenge->id, activate(challenge->credential),
                                  kNow);
  }

  support::TempFolder folder_;
  Swtpm tpm_{folder_.path()};
  keybroker::store::CertificateDatabase records_;
  IssuingCa ca_;
  Authority authority_;
  HostStatement said_;
  base::Bytes ak_;
  base::Bytes ek_;
};

TEST_F(HostClassTest, CertifiesAnAkThatItsTpmProves) {
  ASSERT_TRUE(records_.register_ek(said_.vm_id, ek_));
  const auto certified = certify();
  ASSERT_TRUE(certified) << certified.error().message;
  EXPECT_EQ(*certified->certificate.public_key(), keybroker::evidence::decode_tpm_public(ak_)->key);
  const auto statement = *keybroker::evidence::ak_statement_of(certified->certificate);
  EXPECT_EQ(statement.ak_class, AkClass::kHost);
  EXPECT_EQ(statement.tee, protocol::TeeFamily::kNone);
  EXPECT_EQ(statement.ek_name, keybroker::evidence::decode_tpm_public(ek_)->name);
  EXPECT_TRUE(statement.measurement.empty());
}

TEST_F(HostClassTest, AChallengeCountsOnceAndNotForLong) {
  ASSERT_TRUE(records_.register_ek(said_.vm_id, ek_));
  const auto challenge = *authority_.begin_host(said_, ak_, kNow);
  const auto secret = activate(challenge.credential);
  EXPECT_EQ(
      error_code(authority_.finish_host(said_.vm_id, challenge.id, base::SecretBytes(32), kNow)),
      base::ErrorCode::kDenied);
  // The right secret comes too late for a challenge that was answered.
  EXPECT_EQ(error_code(authority_.finish_host(said_.vm_id, challenge.id, secret, kNow)),
            base::ErrorCode::kDenied);
  const auto late = *authority_.begin_host(said_, ak_, kNow);
  const auto right = activate(late.credential);
  EXPECT_EQ(error_code(authority_.finish_host(said_.vm_id, late.id, right,
                                              kNow + std::chrono::minutes(6))),
            base::ErrorCode::kDenied);
  EXPECT_TRUE(records_.of_vm(said_.vm_id)->empty());
}

TEST_F(HostClassTest, OnlyARegisteredTpmAndARealAkAreAsked) {
  EXPECT_EQ(error_code(authority_.begin_host(said_, ak_, kNow)), base::ErrorCode::kNotFound);
  ASSERT_TRUE(records_.register_ek(said_.vm_id, ek_));
  // The EK itself decrypts, and signs nothing.
  EXPECT_EQ(error_code(authority_.begin_host(said_, ek_, kNow)), base::ErrorCode::kDenied);
  ASSERT_TRUE(records_.forget_ek(said_.vm_id));
  ASSERT_TRUE(records_.register_ek(said_.vm_id, ak_));
  EXPECT_EQ(error_code(authority_.begin_host(said_, ak_, kNow)), base::ErrorCode::kDenied);
}

TEST_F(HostClassTest, AHostsWordDoesNotReplaceEvidence) {
  ASSERT_TRUE(records_.register_ek(said_.vm_id, ek_));
  said_.protection = protocol::Protection::kHardware;
  EXPECT_EQ(error_code(authority_.begin_host(said_, ak_, kNow)), base::ErrorCode::kDenied);
  said_.protection = protocol::Protection::kHost;
  CertificateRecord by_evidence;
  by_evidence.serial = {std::byte{1}};
  by_evidence.statement.ak_class = AkClass::kCvm;
  by_evidence.statement.vm_id = said_.vm_id;
  ASSERT_TRUE(records_.add(by_evidence));
  const auto refused = authority_.begin_host(said_, ak_, kNow);
  ASSERT_EQ(error_code(refused), base::ErrorCode::kDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("certified by evidence"));
}

TEST_F(HostClassTest, AWeakerProtectionNeedsAnotherKeyHereToo) {
  ASSERT_TRUE(records_.register_ek(said_.vm_id, ek_));
  ASSERT_TRUE(certify());
  said_.protection = protocol::Protection::kNone;
  EXPECT_EQ(error_code(certify()), base::ErrorCode::kDenied);
  EXPECT_EQ(authority_.crl(AkClass::kHost, kNow)->entries().size(), 1U);
}

}  // namespace
}  // namespace tests::integration
