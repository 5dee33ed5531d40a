// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/ak_restoration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/tpm_commands.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/provision/esys.h"
#include "vtpm/provision/templates.h"

namespace vtpm::provision {
namespace {

namespace tpm = tests::support;

// A guest that does things to the attestation keys of its TPM while it runs.
class AkRestorationTest : public testing::Test {
 protected:
  AkRestorationTest() {
    {
      engine::MemoryNvStore memory;
      auto engine = *engine::Engine::create(memory);
      EXPECT_TRUE(engine->start(engine::Origin::kManufacture));
      const auto state = *engine->state_blob(engine::BlobKind::kPermanent);
      engine.reset();
      provisioned_ = provision(state.expose(), Past::kNew);
    }
    EXPECT_TRUE(
        memory_.store(engine::BlobKind::kPermanent, provisioned_->permanent_state.expose()));
    engine_ = *engine::Engine::create(memory_);
    EXPECT_TRUE(engine_->start(engine::Origin::kExisting));
  }

  void power_on() { EXPECT_EQ(run(tpm::startup_clear()), tpm::kSuccess); }

  std::uint32_t run(base::Bytes command) {
    return tpm::response_code(*engine_->process(protocol::Locality(), command));
  }

  std::optional<AkPresence> restore() {
    return restore_aks(*engine_, provisioned_->rsa_ak, provisioned_->ecc_ak);
  }

  std::optional<PublicKey> at(TPM2_HANDLE handle) {
    Esys esys(*engine_);
    EXPECT_TRUE(esys.open());
    return *key_at(esys.context(), handle);
  }

  void expect_whole() {
    EXPECT_EQ(restore(), AkPresence{});
    EXPECT_EQ(at(kRsaAkHandle), provisioned_->rsa_ak);
    EXPECT_EQ(at(kEccAkHandle), provisioned_->ecc_ak);
  }

  engine::MemoryNvStore memory_;
  base::Result<Provisioned> provisioned_ = base::fail(base::ErrorCode::kNotFound, "not made");
  std::unique_ptr<engine::Engine> engine_;
};

TEST_F(AkRestorationTest, SaysNothingBeforeTheStartup) {
  EXPECT_FALSE(restore());
  power_on();
  expect_whole();
}

TEST_F(AkRestorationTest, PutsBackWhatTheGuestEvictedOrCleared) {
  power_on();
  ASSERT_EQ(run(tpm::evict(kRsaAkHandle)), tpm::kSuccess);
  ASSERT_FALSE(at(kRsaAkHandle));
  expect_whole();
  ASSERT_EQ(run(tpm::clear()), tpm::kSuccess);
  ASSERT_FALSE(at(kEccAkHandle));
  expect_whole();
}

TEST_F(AkRestorationTest, LeavesNothingLoaded) {
  power_on();
  ASSERT_EQ(run(tpm::evict(kRsaAkHandle)), tpm::kSuccess);
  expect_whole();
  EXPECT_NE(run(tpm::flush_context(0x80000000)), tpm::kSuccess) << "there is no such object";
}

TEST_F(AkRestorationTest, SaysWhatIsInItsWayAndTriesNoOtherAuthorization) {
  for (const auto hierarchy : {tpm::kOwner, tpm::kEndorsement}) {
    power_on();
    ASSERT_EQ(run(tpm::evict(kEccAkHandle)), tpm::kSuccess);
    ASSERT_EQ(run(tpm::set_auth(hierarchy, base::bytes_of("secret"))), tpm::kSuccess);
    const auto missing = restore();
    ASSERT_TRUE(missing);
    EXPECT_EQ(missing->obstacle, Obstacle::kAkMissing);
    EXPECT_THAT(missing->reason, testing::HasSubstr("ECC AK"));
    EXPECT_FALSE(at(kEccAkHandle));
    ASSERT_EQ(run(tpm::clear()), tpm::kSuccess) << "which empties them";
    expect_whole();
    engine_->terminate();
    ASSERT_TRUE(engine_->start(engine::Origin::kExisting));
  }
}

// The AK of another seed is another TPM's, as far as its certificate says.
TEST_F(AkRestorationTest, NeverPutsAnotherKeyInTheirPlace) {
  power_on();
  ASSERT_EQ(run(tpm::change_eps()), tpm::kSuccess);
  const auto missing = restore();
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->obstacle, Obstacle::kAkMissing);
  EXPECT_FALSE(at(kRsaAkHandle));
}

TEST_F(AkRestorationTest, SeesASquatter) {
  power_on();
  ASSERT_EQ(run(tpm::evict(kRsaAkHandle)), tpm::kSuccess);
  {
    Esys esys(*engine_);
    ASSERT_TRUE(esys.open());
    auto place = storage_places()[0];
    place.handle = kRsaAkHandle;
    ASSERT_TRUE(put_key(esys.context(), place));
  }
  const auto squatted = restore();
  ASSERT_TRUE(squatted);
  EXPECT_EQ(squatted->obstacle, Obstacle::kAkSquatted);
}

TEST(AkCommandsTest, AreThoseThatMoveKeys) {
  for (const auto& command : {tpm::evict(kRsaAkHandle), tpm::clear(), tpm::change_eps()}) {
    EXPECT_TRUE(may_remove_aks(command));
    EXPECT_TRUE(may_make_room(command));
  }
  for (const auto& command : {tpm::set_auth(tpm::kOwner, {}), tpm::flush_context(0x80000000)}) {
    EXPECT_FALSE(may_remove_aks(command));
    EXPECT_TRUE(may_make_room(command));
  }
  EXPECT_FALSE(may_make_room(tpm::startup_clear()));
  EXPECT_FALSE(may_remove_aks(base::Bytes(3)));
}

}  // namespace
}  // namespace vtpm::provision
