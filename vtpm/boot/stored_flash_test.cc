// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/format/file_id.h"
#include "vmgs/format/tpm_state.h"
#include "vtpm/boot/incoming_store.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/state_store.h"

namespace vtpm::boot {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
using vmgs::format::FileId;

constexpr std::size_t kFlashBytes = 528 * 1024;
constexpr std::size_t kTooManyBytes = std::size_t{8} << 20;

// The variable flash that lies beside a TPM in its store.
class StoredFlashTest : public testing::Test {
 protected:
  StoredFlashTest() : protector_(host_key_protector(folder_ / "key", sealing::KeyFileKind::kFile)) {
    settings_.path = folder_ / "vm.vmgs";
  }

  std::unique_ptr<StateStore> create() {
    return *StateStore::create(settings_, *protector_, permanent_.expose());
  }

  std::unique_ptr<StateStore> open() { return *StateStore::open(settings_, *protector_); }

  static base::Bytes image(unsigned char value) { return {kFlashBytes, std::byte{value}}; }

  // The value of every byte of the image, -1 without one, -2 if they differ or cannot be had.
  static int loaded(state::FlashStore& store) {
    const auto flash = store.load_flash();
    if (!flash) {
      return -2;
    }
    if (!*flash) {
      return -1;
    }
    const auto bytes = (*flash)->expose();
    const auto value = std::to_integer<unsigned char>(bytes[0]);
    return std::ranges::equal(bytes, image(value)) ? value : -2;
  }

  tests::support::TempFolder folder_;
  std::unique_ptr<Protector> protector_;
  StoreSettings settings_;
  base::SecretBytes permanent_ = *manufacture();
};

TEST_F(StoredFlashTest, IsKeptOverRestartsAndEncrypted) {
  {
    const auto store = create();
    EXPECT_EQ(loaded(*store), -1);
    ASSERT_TRUE(store->store_flash(image(1)));
    ASSERT_TRUE(store->store_flash(image(2)));
    EXPECT_EQ(loaded(*store), 2);
  }
  const auto store = open();

  EXPECT_EQ(loaded(*store), 2);
  for (const auto& file : store->volume().files()) {
    EXPECT_TRUE(file.encrypted || file.id != FileId::kUefiFlash);
  }
}

TEST_F(StoredFlashTest, LeavesTheTpmAsItIs) {
  const auto store = create();
  ASSERT_TRUE(store->store(BlobKind::kPermanent, base::bytes_of("a TPM")));
  ASSERT_TRUE(store->store(BlobKind::kVolatile, base::bytes_of("that runs")));

  ASSERT_TRUE(store->store_flash(image(1)));

  EXPECT_TRUE(
      std::ranges::equal((*store->load(BlobKind::kPermanent))->expose(), base::bytes_of("a TPM")));
  EXPECT_TRUE(std::ranges::equal((*store->load(BlobKind::kVolatile))->expose(),
                                 base::bytes_of("that runs")));
}

TEST_F(StoredFlashTest, AFailedCommitLeavesTheOldOneAndTheNextOpensTheStoreAnew) {
  const auto store = create();
  ASSERT_TRUE(store->store_flash(image(1)));
  ASSERT_FALSE(store->store_flash(base::Bytes(kTooManyBytes)));

  EXPECT_EQ(loaded(*store), 1);
  EXPECT_TRUE(store->store_flash(image(2)));
  EXPECT_EQ(loaded(*store), 2);
  EXPECT_TRUE(store->store(BlobKind::kPermanent, base::bytes_of("later")));
}

TEST_F(StoredFlashTest, WorksAgainAfterTheTpmsCommitFailed) {
  const auto store = create();
  ASSERT_FALSE(store->store(BlobKind::kPermanent, base::Bytes(kTooManyBytes)));

  EXPECT_TRUE(store->store_flash(image(1)));
  EXPECT_EQ(loaded(*store), 1);
}

// The store that is opened anew has to know again what is noted of the TPM's seeds, or the next
// thing that is stored would say that they have always been this weakly protected.
TEST_F(StoredFlashTest, OpeningAnewForgetsNothingOfTheSeeds) {
  const auto noted = [&] {
    const auto store = open();
    const auto content = store->volume().read(FileId::kTpmNvram);
    return vmgs::format::decode_tpm_state(content->expose())->seed_protection;
  };
  {
    const auto store = create();
    const auto strong = state::encode_first_state(
        store->vm_id(), vmgs::format::SeedProtection::kTee, permanent_.expose());
    vmgs::volume::Transaction moved_here;
    moved_here.put(FileId::kTpmNvram, strong.expose());
    ASSERT_TRUE(const_cast<vmgs::volume::Volume&>(store->volume()).commit(moved_here));
  }
  ASSERT_EQ(noted(), vmgs::format::SeedProtection::kTee);
  {
    const auto store = open();
    ASSERT_TRUE(store->load(BlobKind::kPermanent));
    ASSERT_FALSE(store->store_flash(base::Bytes(kTooManyBytes)));
    ASSERT_TRUE(store->store_flash(image(1)));
    ASSERT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose()));
  }
  EXPECT_EQ(noted(), vmgs::format::SeedProtection::kTee);
}

TEST_F(StoredFlashTest, NothingIsStoredInAClosedStore) {
  const auto store = create();
  ASSERT_TRUE(store->close());

  EXPECT_EQ(error_code(store->store_flash(image(1))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->load_flash()), ErrorCode::kDenied);
}

TEST_F(StoredFlashTest, NothingCountsAsStoredInAFileThatLostItsName) {
  const auto store = create();
  std::filesystem::rename(settings_.path, folder_ / "elsewhere");

  EXPECT_FALSE(store->store_flash(image(1)));

  std::filesystem::rename(folder_ / "elsewhere", settings_.path);
  EXPECT_TRUE(store->store_flash(image(2)));
  EXPECT_EQ(loaded(*store), 2);
}

TEST_F(StoredFlashTest, IsAwaitedWithAnIncomingState) {
  IncomingStore incoming(settings_, *protector_, true);
  EXPECT_TRUE(incoming.is_awaited());
  EXPECT_EQ(loaded(incoming), -1);
  EXPECT_EQ(error_code(incoming.store_flash(image(1))), ErrorCode::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(settings_.path));

  ASSERT_TRUE(incoming.store(BlobKind::kPermanent, permanent_.expose()));

  EXPECT_FALSE(incoming.is_awaited());
  ASSERT_TRUE(incoming.store_flash(image(1)));
  EXPECT_EQ(loaded(incoming), 1);
  ASSERT_TRUE(incoming.close());
  EXPECT_EQ(error_code(incoming.store_flash(image(2))), ErrorCode::kDenied);
  EXPECT_EQ(loaded(*open()), 1);
}

}  // namespace
}  // namespace vtpm::boot
