// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "vmgs/repair/planned.h"
#include "vmgs/repair/sick_store.h"
#include "vmgs/storage/memory.h"
#include "vmgs/uefi/flash.h"
#include "vmgs/uefi/flash_edit.h"
#include "vmgs/uefi/flash_image_writer.h"
#include "vmgs/volume/volume.h"

namespace vmgs::repair {
namespace {

using format::FileId;
using storage::MemoryDevice;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A flash with less room than an update wants; of its two variables the larger may be deleted.
base::Bytes full_flash(bool one_is_deleted) {
  uefi::ImageWriter writer;
  const auto empty = *uefi::decode_flash(writer.image());
  const auto room = empty.store_bytes - empty.used_bytes;
  writer.add("Gone", base::Bytes(room - 1200)).add("Kept", base::Bytes(800, std::byte{1}));
  return one_is_deleted ? *uefi::without_variable(writer.image(), uefi::kGlobalVariable, u"Gone")
                        : writer.image();
}

base::Bytes with_flash(const SickStore& store, const base::Bytes& image) {
  auto bytes = store.bytes;
  bytes.resize(std::size_t{128} * format::kBlockBytes);  // a raw file that has grown
  MemoryDevice device(bytes);
  auto volume = *volume::Volume::open(device, store.kind().spacing);
  EXPECT_TRUE(volume.unlock(volume::fixed_key(SickStore::key())));
  volume::Transaction transaction;
  transaction.put(FileId::kUefiFlash, image);
  EXPECT_TRUE(volume.commit(transaction));
  return device.contents();
}

TEST(MendVariablesTest, TakesBackTheRoomOfDeletedVariablesWhenToldTo) {
  const SickStore store({.encrypted = true});
  const auto full = with_flash(store, full_flash(/*one_is_deleted=*/true));
  MemoryDevice device(full);

  const auto asked = plan_of(store, device.contents(), {});
  EXPECT_THAT(asked.steps, IsEmpty());
  EXPECT_THAT(codes(asked.open), Contains("variables-full"));
  EXPECT_THAT(asked.before,
              Contains(Field(&volume::Finding::message, HasSubstr("--accept variables-full"))));

  const auto plan = plan_of(store, device.contents(), {.accepted = {"variables-full"}});
  EXPECT_THAT(codes(plan.steps), ElementsAre("variables-full"));
  EXPECT_THAT(codes(plan.after), Not(Contains("variables-full")));
  ASSERT_TRUE(apply(device, plan.steps[0]));
  auto before = store.contents_of(full);
  auto after = store.contents_of(device.contents());
  const auto flash = uefi::decode_flash(after[FileId::kUefiFlash]);
  ASSERT_TRUE(flash);
  ASSERT_EQ(flash->variables.size(), 1U);
  EXPECT_EQ(flash->variables[0].data, base::Bytes(800, std::byte{1}));
  before.erase(FileId::kUefiFlash);
  after.erase(FileId::kUefiFlash);
  EXPECT_EQ(after, before);
}

TEST(MendVariablesTest, OnlyWarnsWhereNothingIsDeleted) {
  const SickStore store({.encrypted = true});
  MemoryDevice device(with_flash(store, full_flash(/*one_is_deleted=*/false)));

  const auto plan = plan_of(store, device.contents(), {.accepted = {"variables-full"}});

  EXPECT_THAT(plan.steps, IsEmpty());
  EXPECT_THAT(codes(plan.after), Contains("variables-full"));
}

}  // namespace
}  // namespace vmgs::repair
