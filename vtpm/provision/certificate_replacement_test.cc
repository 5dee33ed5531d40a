// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/certificate_replacement.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_certifier.h"
#include "tests/support/fake_nv_store.h"
#include "tests/support/tpm_commands.h"
#include "vtpm/provision/certificates.h"
#include "vtpm/provision/provision.h"

namespace vtpm::provision {
namespace {

namespace tpm = tests::support;
using engine::BlobKind;
using tests::support::FakeCertifier;

// A guest with its TPM, certified once.
class CertificateReplacementTest : public testing::Test {
 protected:
  CertificateReplacementTest() {
    statement_.launch = base::Bytes(32);
    engine::MemoryNvStore memory;
    {
      auto engine = *engine::Engine::create(memory);
      EXPECT_TRUE(engine->start(engine::Origin::kManufacture));
      const auto state = *engine->state_blob(BlobKind::kPermanent);
      engine.reset();
      const ProvisionWishes wishes{
          .vouching = Vouching{.certifier = authority_, .statement = statement_, .tee = nullptr},
          .now = authority_.now};
      provisioned_ = provision(state.expose(), Past::kNew, wishes);
    }
    EXPECT_TRUE(below_.store(BlobKind::kPermanent, provisioned_->permanent_state.expose()));
    engine_ = *engine::Engine::create(store_);
    EXPECT_TRUE(engine_->start(engine::Origin::kExisting));
    next_.ak = authority_.issue(provisioned_->rsa_ak->area).der();
    next_.ak_chain = authority_.issue(provisioned_->ecc_ak->area).der();
  }

  std::uint32_t run(base::Bytes command) {
    return tpm::response_code(*engine_->process(protocol::Locality(), command));
  }

  base::Result<void> replace() {
    return replace_certificates(*engine_, store_, *provisioned_->index_password, next_);
  }

  // What the next start finds after a power cut.
  StoredCertificates durable() {
    return StoredCertificates::in(below_.stored(BlobKind::kPermanent));
  }

  FakeCertifier authority_;
  Statement statement_;
  base::Result<Provisioned> provisioned_ = base::fail(base::ErrorCode::kNotFound, "not made");
  tests::support::FakeNvStore below_;
  DeferringStore store_{below_};
  std::unique_ptr<engine::Engine> engine_;
  Certificates next_;
};

TEST_F(CertificateReplacementTest, ReplacesBothInOneStepThatIsDurable) {
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  const auto before = durable();
  ASSERT_FALSE(before.ak.empty());
  const int stores = below_.stores;

  ASSERT_TRUE(replace());

  EXPECT_EQ(below_.stores, stores + 1) << "a power cut has nowhere to fall in between";
  EXPECT_EQ(durable().ak, next_.ak);
  EXPECT_EQ(durable().ak_chain, next_.ak_chain);
  EXPECT_EQ(run(tpm::nv_define(0x01400002, 64)), tpm::kSuccess) << "the guest goes on";
  EXPECT_EQ(below_.stores, stores + 2) << "and what it does is stored";
}

TEST_F(CertificateReplacementTest, KeepsTheOldOnesUntilTheNewAreStored) {
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  const auto before = durable();
  below_.store_error = base::Error{base::ErrorCode::kIo, "the disk is full"};
  EXPECT_EQ(tests::support::error_code(replace()), base::ErrorCode::kIo);
  EXPECT_EQ(durable().ak, before.ak);
  EXPECT_EQ(durable().ak_chain, before.ak_chain);

  below_.store_error.reset();
  ASSERT_TRUE(replace());
  EXPECT_EQ(durable().ak, next_.ak);
}

TEST_F(CertificateReplacementTest, NeedsNoAuthorizationOfTheGuests) {
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  for (const auto hierarchy : {tpm::kOwner, tpm::kEndorsement, tpm::kLockoutHierarchy}) {
    ASSERT_EQ(run(tpm::set_auth(hierarchy, base::bytes_of("secret"))), tpm::kSuccess);
  }
  ASSERT_TRUE(replace());
  EXPECT_EQ(durable().ak, next_.ak);
}

TEST_F(CertificateReplacementTest, WaitsForTheStartup) {
  const auto before = durable();
  EXPECT_EQ(tests::support::error_code(replace()), base::ErrorCode::kUnavailable);
  EXPECT_EQ(durable().ak, before.ak);
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_TRUE(replace());
}

TEST(CertificateReadersTest, AReaderInPiecesIsGivenItsTime) {
  using namespace std::chrono_literals;
  const CertificateReaders::Time now{1000h};
  CertificateReaders readers;
  EXPECT_FALSE(readers.are_reading(now));
  readers.saw(tpm::nv_read_by_owner(0x01400001, 1024, 0), now);
  EXPECT_FALSE(readers.are_reading(now)) << "that is the report";
  for (const auto index : {0x01C101D0U, 0x01C101D1U}) {
    CertificateReaders one;
    one.saw(tpm::nv_read_by_owner(index, 1024, 0), now);
    EXPECT_TRUE(one.are_reading(now));
    EXPECT_TRUE(one.are_reading(now + 1999ms));
    EXPECT_FALSE(one.are_reading(now + 2s));
  }
  // One that never stops does not keep the certificate from being renewed.
  auto then = now;
  for (int i = 0; i < 100; ++i, then += 1s) {
    readers.saw(tpm::nv_read_by_owner(0x01C101D0, 1024, 0), then);
    EXPECT_EQ(readers.are_reading(then), then - now < 30s) << i;
  }
}

}  // namespace
}  // namespace vtpm::provision
