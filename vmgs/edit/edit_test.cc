// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/edit/capacity.h"
#include "vmgs/edit/conversion.h"
#include "vmgs/edit/difference.h"
#include "vmgs/edit/scrub.h"
#include "vmgs/format/vhd_footer.h"
#include "vmgs/storage/container.h"
#include "vmgs/storage/memory.h"
#include "vmgs/storage/overlay.h"
#include "vmgs/volume/headers.h"
#include "vmgs/volume/state_digest.h"
#include "vmgs/volume/volume.h"

namespace vmgs::edit {
namespace {

using base::ErrorCode;
using format::FileId;
using format::HeaderSpacing;
using testing::ElementsAre;
using testing::IsEmpty;
using tests::support::error_code;
using volume::DatastoreKey;
using volume::Transaction;
using volume::Volume;

constexpr auto k512 = HeaderSpacing::k512;
constexpr std::uint64_t kStoreBytes = 64 * 4096;

DatastoreKey key_of(std::uint8_t value) {
  DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), std::byte{value});
  return key;
}

base::Bytes text(std::string_view what, std::size_t size) {
  base::Bytes bytes;
  while (bytes.size() < size) {
    const auto more = base::bytes_of(what);
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  bytes.resize(size);
  return bytes;
}

bool contains(const base::Bytes& device, std::string_view what) {
  const auto wanted = base::bytes_of(what);
  return std::search(device.begin(), device.end(), wanted.begin(), wanted.end()) != device.end();
}

void put(Volume& volume, FileId id, const base::Bytes& content,
         volume::Protection protection = volume::Protection::kAsStore) {
  Transaction transaction;
  transaction.put(id, content, protection);
  ASSERT_TRUE(volume.commit(transaction));
}

std::string read(const Volume& volume, FileId id) {
  const auto content = volume.read(id);
  return content ? base::to_hex(content->expose()) : content.error().message;
}

Volume opened(storage::BlockDevice& device, const DatastoreKey* key, HeaderSpacing spacing = k512) {
  auto volume = Volume::open(device, spacing);
  EXPECT_TRUE(volume);
  if (key != nullptr) {
    EXPECT_TRUE(volume->unlock(volume::fixed_key(key->clone())));
  }
  return *std::move(volume);
}

// Both generations lie within the first blocks.
void expect_within(storage::BlockDevice& device, std::uint64_t store_bytes) {
  const auto slots = *volume::read_header_slots(device, k512);
  for (const std::size_t slot : {0U, 1U}) {
    ASSERT_TRUE(slots[slot].header);
    const auto generation = *volume::Generation::read(device, slot, *slots[slot].header);
    for (const auto& entry : generation.table()->entries) {
      EXPECT_TRUE(!entry || entry->end_block() <= store_bytes / format::kBlockBytes);
    }
  }
}

TEST(EncryptTest, SealsEveryFileButThoseThatArePlaintextByRole) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, k512, std::nullopt);
  put(volume, FileId::kTpmNvram, text("topsecret", 9000));
  put(volume, FileId::kVmUniqueId, text("whoever", 20));
  const auto key = key_of(1);

  ASSERT_TRUE(volume.encrypt(key.clone()));
  const auto scrubbed = scrub(device, k512);

  ASSERT_TRUE(scrubbed);
  EXPECT_FALSE(contains(device.contents(), "topsecret"));
  EXPECT_TRUE(contains(device.contents(), "whoever"));
  const auto again = opened(device, &key);
  EXPECT_EQ(read(again, FileId::kTpmNvram), base::to_hex(text("topsecret", 9000)));
  EXPECT_EQ(read(again, FileId::kVmUniqueId), base::to_hex(text("whoever", 20)));
  EXPECT_TRUE(again.current().is_encrypted(FileId::kTpmNvram));
  EXPECT_FALSE(again.current().is_encrypted(FileId::kVmUniqueId));
  EXPECT_TRUE(again.edited());
  EXPECT_THAT(again.findings(), IsEmpty());
}

TEST(EncryptTest, LeavesNoHeaderThatLeadsToThePlaintext) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, k512, std::nullopt);
  put(volume, FileId::kTpmNvram, text("topsecret", 9000));

  ASSERT_TRUE(volume.encrypt(key_of(1)));

  const auto slots = *volume::read_header_slots(device, k512);
  for (const auto& slot : slots) {
    ASSERT_TRUE(slot.header);
    EXPECT_TRUE(slot.header->encrypted);
  }
}

TEST(EncryptTest, RefusesAStoreThatIsEncryptedAndAZeroKey) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, k512, key_of(1));
  EXPECT_EQ(error_code(volume.encrypt(key_of(2))), ErrorCode::kDenied);

  storage::MemoryDevice plain(kStoreBytes);
  auto other = *Volume::format(plain, k512, std::nullopt);
  EXPECT_EQ(error_code(other.encrypt(key_of(0))), ErrorCode::kInvalidArgument);
}

TEST(EncryptTest, ChangesNothingWithoutRoom) {
  storage::MemoryDevice device(format::kSmallestStoreBytes);
  auto volume = *Volume::format(device, k512, std::nullopt);
  put(volume, FileId::kTpmNvram, text("x", 3 * 4096));
  const auto before = device.contents();

  EXPECT_EQ(error_code(volume.encrypt(key_of(1))), ErrorCode::kDenied);
  EXPECT_EQ(device.contents(), before);
}

TEST(DecryptTest, GivesAPlaintextStoreWithTheSameFiles) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, k512, key_of(1));
  put(volume, FileId::kTpmNvram, text("topsecret", 9000));
  put(volume, FileId::kVmUniqueId, text("whoever", 20), volume::Protection::kPlaintext);

  ASSERT_TRUE(volume.decrypt());

  auto again = opened(device, nullptr);
  EXPECT_FALSE(again.encrypted());
  EXPECT_EQ(read(again, FileId::kTpmNvram), base::to_hex(text("topsecret", 9000)));
  EXPECT_EQ(read(again, FileId::kVmUniqueId), base::to_hex(text("whoever", 20)));
  const auto slots = *volume::read_header_slots(device, k512);
  for (const auto& slot : slots) {
    EXPECT_FALSE(slot.header->encrypted);
    EXPECT_FALSE(slot.header->key_slots[0] || slot.header->key_slots[1]);
  }
  put(again, FileId::kRtcSkew, text("t", 8));
}

TEST(DecryptTest, RefusesALockedAndAPlaintextStore) {
  storage::MemoryDevice device(kStoreBytes);
  ASSERT_TRUE(Volume::format(device, k512, key_of(1)));
  auto locked = opened(device, nullptr);
  EXPECT_EQ(error_code(locked.decrypt()), ErrorCode::kDenied);

  storage::MemoryDevice plain(kStoreBytes);
  auto other = *Volume::format(plain, k512, std::nullopt);
  EXPECT_EQ(error_code(other.decrypt()), ErrorCode::kInvalidArgument);
}

TEST(DecryptTest, TakesFilesOutInTheSameCommit) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, k512, key_of(1));
  put(volume, FileId::kTpmNvram, text("topsecret", 9000));
  put(volume, FileId::kSealedKeys, text("protector", 100), volume::Protection::kPlaintext);
  put(volume, FileId::kRtcSkew, text("t", 8));
  const auto sequence = volume.current().header().sequence;
  Transaction removals(volume::Sequence::kEdit);
  removals.remove(FileId::kSealedKeys);
  removals.remove(FileId::kRtcSkew);  // is encrypted

  ASSERT_TRUE(volume.decrypt(removals));

  const auto again = opened(device, nullptr);
  EXPECT_FALSE(again.encrypted());
  EXPECT_FALSE(again.contains(FileId::kSealedKeys));
  EXPECT_FALSE(again.contains(FileId::kRtcSkew));
  EXPECT_EQ(read(again, FileId::kTpmNvram), base::to_hex(text("topsecret", 9000)));
  EXPECT_EQ(again.current().header().sequence, sequence + 2) << "the change, and the other header";
}

TEST(DecryptTest, ChangesNothingWithoutRoom) {
  storage::MemoryDevice device(12 * 4096);
  auto volume = *Volume::format(device, k512, key_of(1));
  put(volume, FileId::kSealedKeys, text("protector", 100), volume::Protection::kPlaintext);
  put(volume, FileId::kTpmNvram, text("x", 4 * 4096));
  const auto before = device.contents();
  Transaction removals(volume::Sequence::kEdit);
  removals.remove(FileId::kSealedKeys);

  EXPECT_EQ(error_code(volume.decrypt(removals)), ErrorCode::kDenied);
  EXPECT_EQ(device.contents(), before);
}

TEST(ScrubTest, LeavesBothGenerationsReadable) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, k512, std::nullopt);
  put(volume, FileId::kTpmNvram, text("older", 5000));
  put(volume, FileId::kTpmNvram, text("first", 5000));
  put(volume, FileId::kTpmNvram, text("newer", 5000));

  ASSERT_TRUE(scrub(device, k512));

  EXPECT_TRUE(contains(device.contents(), "newer"));
  EXPECT_TRUE(contains(device.contents(), "first"));
  EXPECT_FALSE(contains(device.contents(), "older"));
  EXPECT_EQ(read(opened(device, nullptr), FileId::kTpmNvram), base::to_hex(text("newer", 5000)));
}

TEST(ScrubTest, WritesNothingWhereNobodyKnowsWhatIsFree) {
  storage::MemoryDevice device(kStoreBytes);
  ASSERT_TRUE(Volume::format(device, k512, std::nullopt));
  ASSERT_TRUE(device.write(2 * 4096, base::Bytes(4096, std::byte{0x77})));
  const auto before = device.contents();

  EXPECT_EQ(error_code(scrub(device, k512)), ErrorCode::kCorrupt);
  EXPECT_EQ(device.contents(), before);
}

// Files that lie far back: others in front of them were there first.
Volume scattered(storage::MemoryDevice& device, std::optional<DatastoreKey> key) {
  auto volume = *Volume::format(device, k512, std::move(key));
  put(volume, FileId::kGuestFirmware, text("big", 40 * 4096), volume::Protection::kPlaintext);
  put(volume, FileId::kTpmNvram, text("state", 9000));
  put(volume, FileId::kVmUniqueId, text("id", 20), volume::Protection::kPlaintext);
  Transaction removal;
  removal.remove(FileId::kGuestFirmware);
  EXPECT_TRUE(volume.commit(removal));
  return volume;
}

TEST(CapacityTest, MovesWhatLiesBeyondTheNewEndAndKeepsTheState) {
  constexpr std::uint64_t kSmaller = 16 * 4096;
  for (const bool encrypted : {false, true}) {
    storage::MemoryDevice device(kStoreBytes);
    const auto key = key_of(1);
    const auto before = scattered(device, encrypted ? std::optional(key.clone()) : std::nullopt);

    const auto moved = vacate(device, k512, encrypted ? &key : nullptr, kSmaller);

    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_THAT(*moved, testing::Contains(FileId::kTpmNvram));
    expect_within(device, kSmaller);
    auto bytes = device.contents();
    bytes.resize(kSmaller);
    storage::MemoryDevice cut(bytes);
    auto after = opened(cut, encrypted ? &key : nullptr);
    EXPECT_EQ(read(after, FileId::kTpmNvram), base::to_hex(text("state", 9000)));
    EXPECT_THAT(after.findings(), IsEmpty());
    if (encrypted) {
      EXPECT_EQ(after.commit_sequence(), before.commit_sequence());
      EXPECT_EQ(*volume::state_digest({}, after), *volume::state_digest({}, before));
    }
    put(after, FileId::kRtcSkew, text("t", 8));
  }
}

TEST(CapacityTest, WritesNothingWhereNothingHasToMove) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, k512, key_of(1));
  put(volume, FileId::kTpmNvram, text("state", 100));
  const auto before = device.contents();

  EXPECT_THAT(*vacate(device, k512, nullptr, kStoreBytes / 2), IsEmpty());
  EXPECT_EQ(device.contents(), before);
}

TEST(CapacityTest, RefusesWithoutTheKeyOrRoomOrForAWrongSize) {
  storage::MemoryDevice device(kStoreBytes);
  const auto key = key_of(1);
  scattered(device, key.clone());
  const auto before = device.contents();

  EXPECT_EQ(error_code(vacate(device, k512, nullptr, 16 * 4096)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(vacate(device, k512, &key, 16 * 4096 + 512)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(vacate(device, k512, &key, 4096)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(device.contents(), before);

  storage::MemoryDevice full(kStoreBytes);
  auto volume = *Volume::format(full, k512, std::nullopt);
  put(volume, FileId::kGuestFirmware, text("big", 40 * 4096));
  EXPECT_EQ(error_code(vacate(full, k512, nullptr, 16 * 4096)), ErrorCode::kDenied);
  EXPECT_EQ(read(opened(full, nullptr), FileId::kGuestFirmware),
            base::to_hex(text("big", 40 * 4096)));
}

TEST(CapacityTest, MovesTheEndSoThatTheStoreOpensWhereverThatIsCutOff) {
  const tests::support::TempFolder folder;
  const auto path = folder / "cut.vmgs";
  for (const bool is_vhd : {true, false}) {
    storage::MemoryDevice store(kStoreBytes);
    auto volume = *Volume::format(store, k512, std::nullopt);
    put(volume, FileId::kTpmNvram, text("state", 9000));
    auto before = store.contents();
    if (is_vhd) {
      const auto footer = *format::make_vhd_footer(before.size(), {});
      before.insert(before.end(), base::view(footer.raw).begin(), base::view(footer.raw).end());
    }
    for (const std::uint64_t store_bytes : {kStoreBytes / 2, kStoreBytes * 2}) {
      storage::MemoryDevice whole(before);
      storage::Overlay overlay(whole);
      ASSERT_TRUE(move_end(overlay, is_vhd, store_bytes));
      const auto operations = overlay.take_operations();
      for (std::size_t done = 0; done <= operations.size(); ++done) {
        if (done > 0) {
          ASSERT_TRUE(storage::apply(whole, operations[done - 1]));
        }
        std::ofstream(path, std::ios::binary | std::ios::trunc)
            .write(reinterpret_cast<const char*>(whole.contents().data()),
                   static_cast<std::streamsize>(whole.contents().size()));
        const auto container = storage::open_container(path, {});
        ASSERT_TRUE(container) << container.error().message << " after " << done;
        EXPECT_EQ(read(opened(*container->device, nullptr), FileId::kTpmNvram),
                  base::to_hex(text("state", 9000)));
        if (is_vhd && store_bytes < kStoreBytes) {
          EXPECT_EQ(container->kind, storage::ContainerKind::kFixedVhd) << "after " << done;
        }
        if (done == operations.size()) {
          EXPECT_EQ(container->device->size_bytes(), store_bytes);
          EXPECT_EQ(container->kind,
                    is_vhd ? storage::ContainerKind::kFixedVhd : storage::ContainerKind::kRawFile);
        }
      }
    }
  }
}

TEST(ConversionTest, ChangesTheSpacingAndNothingElse) {
  storage::MemoryDevice from(kStoreBytes);
  const auto key = key_of(1);
  const auto before = scattered(from, key.clone());
  storage::MemoryDevice wide(kStoreBytes);
  storage::MemoryDevice back(kStoreBytes);

  ASSERT_TRUE(copy_store(from, k512, wide, HeaderSpacing::k4096));
  ASSERT_TRUE(copy_store(wide, HeaderSpacing::k4096, back, k512));

  EXPECT_EQ(back.contents(), from.contents());
  const auto after = opened(wide, &key, HeaderSpacing::k4096);
  EXPECT_EQ(after.commit_sequence(), before.commit_sequence());
  EXPECT_EQ(after.current().slot(), before.current().slot());
  EXPECT_THAT(after.findings(), IsEmpty());
  storage::MemoryDevice small(kStoreBytes - 4096);
  EXPECT_EQ(error_code(copy_store(from, k512, small, k512)), ErrorCode::kInvalidArgument);
}

TEST(DifferenceTest, NamesFilesThatDifferWhateverTheirKeysAre) {
  storage::MemoryDevice first(kStoreBytes);
  storage::MemoryDevice second(kStoreBytes);
  auto before = *Volume::format(first, k512, key_of(1));
  auto after = *Volume::format(second, k512, key_of(2));
  put(before, FileId::kTpmNvram, text("same", 100));
  put(after, FileId::kTpmNvram, text("same", 100));
  put(before, FileId::kRtcSkew, text("1", 8));
  put(after, FileId::kRtcSkew, text("2", 8));
  put(before, FileId::kAttest, text("gone", 4));
  put(after, FileId::kTpmPpi, text("new", 28));
  put(before, FileId::kVmUniqueId, text("id", 20), volume::Protection::kPlaintext);
  put(after, FileId::kVmUniqueId, text("id", 20));

  const auto found = *compare_files({first, before.current()}, {second, after.current()});

  std::vector<std::pair<FileId, Change>> told;
  for (const auto& each : found) {
    told.emplace_back(each.id, each.change);
  }
  EXPECT_THAT(told, ElementsAre(std::pair(FileId::kTpmPpi, Change::kAdded),
                                std::pair(FileId::kRtcSkew, Change::kChanged),
                                std::pair(FileId::kAttest, Change::kRemoved),
                                std::pair(FileId::kVmUniqueId, Change::kChanged)));
  EXPECT_TRUE(found.back().protection_differs);
}

TEST(DifferenceTest, DoesNotCallALockedFileEqual) {
  storage::MemoryDevice first(kStoreBytes);
  auto before = *Volume::format(first, k512, key_of(1));
  put(before, FileId::kTpmNvram, text("same", 100));
  const auto locked = opened(first, nullptr);
  storage::MemoryDevice copy(first.contents());
  const auto other = opened(copy, nullptr);

  const auto found = *compare_files({first, locked.current()}, {copy, other.current()});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].change, Change::kUnknown);
}

TEST(DifferenceTest, NamesVariables) {
  uefi::Variable one;
  one.name = u"One";
  one.data = base::Bytes(3);
  auto two = one;
  two.name = u"Two";
  auto changed = two;
  changed.attributes = 7;

  const auto found = compare_variables({one, two}, {changed});

  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].change, Change::kRemoved);
  EXPECT_EQ(found[1].change, Change::kChanged);
  EXPECT_THAT(compare_variables({one}, {one}), IsEmpty());
}

}  // namespace
}  // namespace vmgs::edit
