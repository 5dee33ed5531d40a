// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/provisioning.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_nv_store.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/base/log.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"

namespace vtpm::boot {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
namespace tpm = tests::support;

class ProvisionStoredTest : public testing::Test {
 protected:
  ProvisionStoredTest() {
    EXPECT_TRUE(store_.store(BlobKind::kPermanent, manufacture()->expose()));
  }

  [[nodiscard]] std::string permanent_hex() {
    return base::to_hex((*store_.load(BlobKind::kPermanent))->expose());
  }

  // A guest's life, with these commands.
  void live(std::vector<base::Bytes> commands) {
    auto engine = *engine::Engine::create(store_);
    ASSERT_TRUE(engine->start(engine::Origin::kExisting));
    for (auto& command : commands) {
      EXPECT_EQ(tpm::response_code(*engine->process(protocol::Locality(), command)), tpm::kSuccess);
    }
  }

  engine::MemoryNvStore store_;
};

TEST_F(ProvisionStoredTest, StoresWhatTheGuestWillFind) {
  tests::support::FakeNvStore store;
  ASSERT_TRUE(store.store(BlobKind::kPermanent, (*store_.load(BlobKind::kPermanent))->expose()));
  ASSERT_TRUE(provision_stored(store));
  EXPECT_EQ(store.stores, 2) << "one to begin with, and one for all of it";

  const auto first = provision_stored(store_);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->rsa_ak);
  live({tpm::startup_clear()});

  const auto second = provision_stored(store_);

  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->rsa_ak, first->rsa_ak);
  auto engine = *engine::Engine::create(store_);
  ASSERT_TRUE(engine->start(engine::Origin::kExisting));
  auto startup = tpm::startup_clear();
  EXPECT_EQ(tpm::response_code(*engine->process(protocol::Locality(), startup)), tpm::kSuccess)
      << "the guest's firmware finds a TPM that waits for its Startup";
}

// A VM's first start said that its keys were made again, and waited for a twin of the new TPM.
TEST_F(ProvisionStoredTest, TheKeysOfATpmThatWasMadeJustNowAreMadeForTheFirstTime) {
  std::string said;
  base::set_log_sink([&](base::LogLevel, std::string_view line) { said += line; });

  const auto provisioned = provision_stored(store_, {}, provision::Past::kNew);

  base::set_log_sink({});
  ASSERT_TRUE(provisioned) << provisioned.error().message;
  EXPECT_TRUE(provisioned->rsa_ak);
  EXPECT_FALSE(provisioned->twin);
  EXPECT_EQ(said.find("again"), std::string::npos) << said;
}

TEST_F(ProvisionStoredTest, LeavesATpmAloneThatGoesOnOrWakesUp) {
  ASSERT_TRUE(provision_stored(store_));
  live({tpm::startup_clear(), tpm::shutdown_state()});
  const auto asleep = permanent_hex();

  EXPECT_EQ(error_code(provision_stored(store_)), ErrorCode::kDenied);
  EXPECT_EQ(permanent_hex(), asleep);
  live({tpm::startup_state()});

  {
    auto engine = *engine::Engine::create(store_);
    ASSERT_TRUE(engine->start(engine::Origin::kExisting));
    auto startup = tpm::startup_clear();
    ASSERT_TRUE(engine->process(protocol::Locality(), startup));
    ASSERT_TRUE(engine->store_volatile());
  }
  EXPECT_EQ(error_code(provision_stored(store_)), ErrorCode::kDenied);
  EXPECT_TRUE(*store_.load(BlobKind::kVolatile));
}

TEST_F(ProvisionStoredTest, SaysWhenThereIsNoTpm) {
  engine::MemoryNvStore empty;
  EXPECT_EQ(error_code(provision_stored(empty)), ErrorCode::kNotFound);
}

TEST_F(ProvisionStoredTest, IsNotDoneUntilItIsStored) {
  tests::support::FakeNvStore failing;
  ASSERT_TRUE(failing.store(BlobKind::kPermanent, (*store_.load(BlobKind::kPermanent))->expose()));
  failing.store_error = base::Error{ErrorCode::kIo, "the disk is full"};

  EXPECT_EQ(error_code(provision_stored(failing)), ErrorCode::kIo);
}

}  // namespace
}  // namespace vtpm::boot
