// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/state_store.h"

// A store that another process goes on with. Here that is another object, with descriptors of its
// own.
namespace vtpm::boot {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;

class StateStoreSuccessionTest : public testing::Test {
 protected:
  // A VM's store and what keeps its key.
  struct Kept {
    StoreSettings settings;
    std::shared_ptr<Protector> protector;
  };

  StateStoreSuccessionTest() : permanent_(*manufacture()) {}

  [[nodiscard]] StoreSettings at(const std::string& name) const {
    StoreSettings settings;
    settings.path = folder_ / name;
    return settings;
  }

  [[nodiscard]] Kept host() const {
    return {at("vm.vmgs"), host_key_protector(folder_ / "vm.key", sealing::KeyFileKind::kFile)};
  }

  base::Result<std::unique_ptr<StateStore>> create(const Kept& kept) const {
    return StateStore::create(kept.settings, *kept.protector, permanent_.expose());
  }

  static base::Result<std::unique_ptr<StateStore>> open(const Kept& kept) {
    return StateStore::open(kept.settings, *kept.protector);
  }

  static base::Result<std::unique_ptr<StateStore>> take_over(const Kept& kept,
                                                             StateStore::HandedOver handed) {
    return StateStore::take_over(kept.settings, *kept.protector, std::move(handed));
  }

  tests::support::TempFolder folder_;
  base::SecretBytes permanent_;
};

TEST_F(StateStoreSuccessionTest, GoesOnWithTheLockAndTheSameStart) {
  const auto kept = host();
  auto before = *create(kept);
  ASSERT_TRUE(before->store(BlobKind::kVolatile, base::Bytes(10, std::byte{1})));

  auto store = take_over(kept, *before->hand_over());

  ASSERT_TRUE(store) << store.error().message;
  before->abandon();
  EXPECT_EQ(error_code(before->store(BlobKind::kVolatile, base::Bytes(1))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(open(kept)), ErrorCode::kUnavailable) << "the lock is gone";
  EXPECT_EQ((*store)->boot_id(), before->boot_id());
  EXPECT_EQ((*store)->vm_id(), before->vm_id());
  ASSERT_TRUE((*store)->store(BlobKind::kPermanent, permanent_.expose()));
  ASSERT_TRUE((*store)->close());
  EXPECT_TRUE(open(kept));
}

TEST_F(StateStoreSuccessionTest, WritesNothingBeforeItIsAsked) {
  for (const auto& kept : {host(), Kept{at("plain.vmgs"), no_protector()}}) {
    auto before = *create(kept);
    const auto sequence = before->hand_over()->header_sequence;

    auto store = take_over(kept, *before->hand_over());

    ASSERT_TRUE(store);
    EXPECT_EQ((*store)->hand_over()->header_sequence, sequence);
    // Nobody took it over: the one before goes on.
    store->reset();
    ASSERT_TRUE(before->store(BlobKind::kVolatile, base::Bytes(10)));
    EXPECT_GT(before->hand_over()->header_sequence, sequence);
    ASSERT_TRUE(before->close());
  }
}

TEST_F(StateStoreSuccessionTest, RefusesAStoreThatDoesNotHoldWhatWasCommittedLast) {
  const auto kept = host();
  auto before = *create(kept);
  auto handed = *before->hand_over();
  handed.header_sequence += 1;

  EXPECT_EQ(error_code(take_over(kept, std::move(handed))), ErrorCode::kCorrupt);
  EXPECT_TRUE(before->store(BlobKind::kVolatile, base::Bytes(10)));
}

TEST_F(StateStoreSuccessionTest, RefusesAFileThatHasLostItsName) {
  const auto kept = host();
  auto before = *create(kept);
  auto handed = *before->hand_over();
  std::filesystem::rename(kept.settings.path, folder_ / "elsewhere");

  EXPECT_EQ(error_code(take_over(kept, std::move(handed))), ErrorCode::kDenied);
}

TEST_F(StateStoreSuccessionTest, IsNotHandedOverOnceItIsClosed) {
  auto store = *create(host());
  ASSERT_TRUE(store->close());

  EXPECT_EQ(error_code(store->hand_over()), ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::boot
