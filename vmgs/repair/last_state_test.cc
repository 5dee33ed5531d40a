// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>

#include "vmgs/format/vhd_footer.h"
#include "vmgs/repair/planned.h"
#include "vmgs/repair/previous.h"
#include "vmgs/repair/sick_store.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// Stores in which what is damaged may be the newest state: nothing of it is given up unasked.
namespace vmgs::repair {
namespace {

using format::FileId;
using storage::MemoryDevice;
using ::testing::Contains;
using ::testing::IsEmpty;

constexpr auto kLarge = static_cast<FileId>(45);

Contents repaired(const SickStore& store, const Wishes& wishes) {
  MemoryDevice device(store.bytes);
  for (const auto& step : plan_of(store, store.bytes, wishes).steps) {
    EXPECT_TRUE(apply(device, step));
  }
  return store.contents_of(device.contents());
}

void expect_asks(const SickStore& store, const std::string& code, bool with_key = true) {
  const auto plan = plan_of(store, store.bytes, {}, with_key);
  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), Contains(code));
}

void damage_entry(SickStore& store) {
  format::FileEntryLayout entry{};
  entry.first_block = 3;
  entry.allocated_blocks = 1;
  entry.valid_bytes = 50000;
  store.put_entry(FileId::kKeyProtector, entry);
}

void damage_extended_table(SickStore& store) {
  const auto block = store.entry(FileId::kExtendedFileTable).first_block.value();
  store.flip(std::size_t{block} * format::kBlockBytes + 100);
}

struct NewestDamage {
  std::string name;
  StoreKind kind;
  void (*inflict)(SickStore&);
};

class NewestTablesTest : public ::testing::TestWithParam<NewestDamage> {};

TEST_P(NewestTablesTest, AreNotGivenUpForASequenceGap) {
  SickStore store(GetParam().kind);
  const auto slot = store.newest_slot();
  GetParam().inflict(store);
  auto header = store.header(slot);
  header.sequence += 5;
  store.put_header(slot, header);

  expect_asks(store, "sequence-gap");
  EXPECT_EQ(repaired(store, {.accepted = {"slot-" + std::to_string(1 - slot)}}), store.before());
}

TEST_P(NewestTablesTest, AreNotGivenUpForLostHeaders) {
  SickStore store(GetParam().kind);
  GetParam().inflict(store);
  for (const auto slot : {0U, 1U}) {
    store.flip(store.header_at(slot) + 12);
  }

  expect_asks(store, "older-generation");
  EXPECT_EQ(repaired(store, {.accepted = {"older-generation"}}), store.before());
}

TEST_P(NewestTablesTest, AreNotGivenUpForADamagedHeader) {
  SickStore store(GetParam().kind);
  GetParam().inflict(store);
  store.flip(store.header_at(store.newest_slot()) + 12);

  expect_asks(store, "bad-header");
  EXPECT_EQ(repaired(store, {.accepted = {"bad-header"}}), store.before());
}

TEST_P(NewestTablesTest, AreNotGivenUpWhereOnlyKeySlotsAreLeft) {
  SickStore store(GetParam().kind);
  if (GetParam().inflict != damage_extended_table) {
    return;  // the key still opens it, and tells that it is the newest
  }
  GetParam().inflict(store);
  store.fill(store.header_at(store.newest_slot()), 36, std::byte{0xEE});

  expect_asks(store, "bad-header");
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, NewestTablesTest,
    ::testing::Values(NewestDamage{"PlaintextEntry", {.encrypted = false}, damage_entry},
                      NewestDamage{"EncryptedEntry", {.encrypted = true}, damage_entry},
                      NewestDamage{"ExtendedTable", {.encrypted = true}, damage_extended_table}),
    [](const auto& test) { return test.param.name; });

// The newest state is one that a tool made: its sealed sequence is 0.
void edit(SickStore& store) {
  MemoryDevice device(store.bytes);
  auto opened = volume::Volume::open(device, store.kind().spacing);
  ASSERT_TRUE(opened);
  ASSERT_TRUE(opened->unlock(volume::fixed_key(SickStore::key())));
  const base::Bytes content(100, std::byte{0x42});
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  transaction.put(kLarge, content, volume::Protection::kAsStore);
  ASSERT_TRUE(opened->commit(transaction));
  store.bytes = device.contents();
}

TEST(NewestEditTest, IsNotGivenUpForItsDamagedHeader) {
  SickStore store({.encrypted = true});
  edit(store);
  store.fill(store.header_at(store.newest_slot()), 12, std::byte{0});

  expect_asks(store, "newer-header");
  EXPECT_EQ(repaired(store, {.accepted = {"bad-header"}}), store.healthy());
  EXPECT_NE(repaired(store, {.accepted = {"newer-header"}}), store.healthy());
}

// Somebody made the state before the newest the newest again.
void restore(SickStore& store) {
  MemoryDevice device(store.bytes);
  const auto key = SickStore::key();
  const auto step = restore_previous(device, store.patient(), &key);
  ASSERT_TRUE(step) << step.error().message;
  ASSERT_TRUE(apply(device, *step));
  store.bytes = device.contents();
  ASSERT_EQ(store.contents_of(store.bytes), store.before());
}

TEST(RestoredStateTest, StaysWhenTheHeaderOfTheOneThatWasLeftIsDamaged) {
  SickStore store({.encrypted = true});
  restore(store);
  store.flip(store.header_at(1 - store.newest_slot()) + 12);

  expect_asks(store, "newer-header");
  EXPECT_EQ(repaired(store, {.accepted = {"bad-header"}}), store.before());
  EXPECT_EQ(repaired(store, {.accepted = {"newer-header"}}), store.healthy());
}

TEST(RestoredStateTest, IsNotGivenUpForItsDamagedHeader) {
  SickStore store({.encrypted = true});
  restore(store);
  store.flip(store.header_at(store.newest_slot()) + 12);

  expect_asks(store, "newer-header");
  EXPECT_EQ(repaired(store, {.accepted = {"newer-header"}}), store.before());
}

TEST(RestoredStateTest, IsNotGivenUpWhereBothHeadersAreDamaged) {
  SickStore store({.encrypted = true});
  restore(store);
  store.flip(store.header_at(0) + 12);
  store.flip(store.header_at(1) + 12);

  expect_asks(store, "no-valid-header");
}

void leave_only_key_slots(SickStore& store, std::size_t slot) {
  store.fill(store.header_at(slot), 36, std::byte{0xEE});
}

// The commit counter of the state that was left is the higher one.
TEST(RestoredStateTest, IsNotGivenUpWhereOnlyKeySlotsOfAHeaderAreLeft) {
  for (const bool of_restored : {true, false}) {
    SickStore store({.encrypted = true});
    restore(store);
    const auto slot = of_restored ? store.newest_slot() : 1 - store.newest_slot();
    leave_only_key_slots(store, slot);

    expect_asks(store, "newer-header");
    EXPECT_EQ(repaired(store, {.accepted = {"bad-header"}}),
              of_restored ? store.healthy() : store.before());
    EXPECT_EQ(repaired(store, {.accepted = {"newer-header"}}),
              of_restored ? store.before() : store.healthy());
  }
}

TEST(RestoredStateTest, IsNotGivenUpWhereOnlyKeySlotsOfBothAreLeft) {
  SickStore store({.encrypted = true});
  restore(store);
  const auto table = store.header(store.newest_slot()).file_table_block;
  leave_only_key_slots(store, 0);
  leave_only_key_slots(store, 1);

  expect_asks(store, "no-valid-header");
  EXPECT_EQ(repaired(store, {.file_table = table}), store.before());
}

TEST(NewestTableTest, IsNotGivenUpWhereOnlyKeySlotsOfBothAreLeft) {
  SickStore store({.encrypted = true});
  store.fill(store.table_at(store.newest_slot()), format::kBlockBytes, std::byte{0x77});
  leave_only_key_slots(store, 0);
  leave_only_key_slots(store, 1);

  expect_asks(store, "older-generation");
  EXPECT_EQ(repaired(store, {.accepted = {"older-generation"}}), store.before());
}

TEST(BothSequencesTest, OfPlaintextAreNotBelievedWithoutTheirChecksums) {
  SickStore store({.encrypted = false});
  const auto newest = store.header(store.newest_slot()).file_table_block;
  const auto older = store.header(1 - store.newest_slot()).file_table_block;
  store.flip(store.header_at(0) + 12);
  store.flip(store.header_at(1) + 12);

  expect_asks(store, "no-valid-header");
  EXPECT_EQ(repaired(store, {.file_table = newest}), store.healthy());
  EXPECT_EQ(repaired(store, {.file_table = older}), store.before());
}

// The newest header reads like the one before the older; nothing else of it is damaged.
void damage_newest_sequence(SickStore& store) {
  const auto at = store.header_at(store.newest_slot()) + 16;
  store.bytes[at] = static_cast<std::byte>(std::to_integer<int>(store.bytes[at]) - 2);
}

TEST(NewestSequenceTest, IsNotBelievedWithoutItsChecksum) {
  for (const bool encrypted : {false, true}) {
    SickStore store({.encrypted = encrypted});
    damage_newest_sequence(store);
    expect_asks(store, encrypted ? "bad-header" : "newer-header", /*with_key=*/false);
  }
  SickStore store({.encrypted = true});
  edit(store);
  edit(store);
  damage_newest_sequence(store);
  expect_asks(store, "newer-header");
}

TEST(OlderSequenceTest, IsNotBelievedWhereTheChecksumFitsNeitherAge) {
  SickStore store({.encrypted = false});
  store.flip(store.header_at(1 - store.newest_slot()) + 12);

  expect_asks(store, "newer-header");
}

// A raw store whose newest file lies behind what looks like a VHD footer.
SickStore with_footer_in_front_of_the_newest_file() {
  SickStore store({.encrypted = false});
  const auto last = store.bytes.size() - format::kBlockBytes;
  auto entry = store.entry(static_cast<FileId>(20));
  entry.first_block = static_cast<std::uint32_t>(last / format::kBlockBytes);
  store.put_entry(static_cast<FileId>(50), entry);
  const auto at = last - format::kBlockBytes;
  const auto footer = format::make_vhd_footer(at, {});
  std::ranges::copy(base::view(footer->raw), std::span(store.bytes).subspan(at).begin());
  return store;
}

TEST(NewestFilesTest, AreNotCutOffWhereAnEntryIsDamaged) {
  auto store = with_footer_in_front_of_the_newest_file();
  damage_entry(store);

  for (const auto& wishes : {Wishes{}, Wishes{.accepted = {"bad-container"}}}) {
    EXPECT_THAT(codes(plan_of(store, store.bytes, wishes).steps), IsEmpty());
  }
}

TEST(NewestFilesTest, AreNotCutOffWhereTheTableIsLost) {
  auto store = with_footer_in_front_of_the_newest_file();
  const auto header = store.header(store.newest_slot());
  store.fill(store.table_at(store.newest_slot()), format::kBlockBytes, std::byte{0x77});
  expect_asks(store, "bad-container");

  store = with_footer_in_front_of_the_newest_file();
  auto astray = header;
  astray.file_table_block = 5000;
  store.put_header(store.newest_slot(), astray);
  expect_asks(store, "bad-container");
}

}  // namespace
}  // namespace vmgs::repair
