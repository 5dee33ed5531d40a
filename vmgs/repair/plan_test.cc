// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/plan.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "vmgs/format/vhd_footer.h"
#include "vmgs/repair/damages.h"
#include "vmgs/repair/examine.h"
#include "vmgs/repair/planned.h"
#include "vmgs/repair/sick_store.h"
#include "vmgs/storage/memory.h"
#include "vmgs/storage/undo.h"
#include "vmgs/storage/undo_recorder.h"

// The damage matrix: each kind of damage is done to each kind of store, repaired, and undone.
namespace vmgs::repair {
namespace {

using format::FileId;
using storage::MemoryDevice;
using ::testing::Contains;
using ::testing::IsEmpty;

constexpr auto kLarge = static_cast<FileId>(45);

// Stands for a device that a test keeps; dies before its n-th write if asked to.
class Shared final : public storage::ResizableDevice {
 public:
  explicit Shared(MemoryDevice& device, int writes = -1) : device_(&device), left_(writes) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return device_->size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return device_->read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    TRY(live());
    return device_->write(offset, bytes);
  }

  base::Result<void> flush() override { return {}; }

  base::Result<void> resize(std::uint64_t size_bytes) override {
    TRY(live());
    return device_->resize(size_bytes);
  }

 private:
  base::Result<void> live() {
    if (left_ == 0) {
      return base::fail(base::ErrorCode::kIo, "cut off");
    }
    left_ -= left_ > 0 ? 1 : 0;
    return {};
  }

  MemoryDevice* device_;
  int left_;
};

struct Applied {
  base::Bytes result;
  base::Bytes undo;
};

// Applies all steps; with `writes` >= 0 the device dies before that write.
Applied applied(const base::Bytes& whole, const Plan& plan, int writes = -1) {
  MemoryDevice device(whole);
  MemoryDevice undo{base::Bytes{}};
  storage::UndoRecorder recorder(std::make_unique<Shared>(device, writes), [&undo] {
    return base::Result<storage::UndoTarget>(
        storage::UndoTarget{std::make_unique<Shared>(undo), "undo"});
  });
  for (const auto& step : plan.steps) {
    const auto done = apply(recorder, step);
    EXPECT_TRUE(done || writes >= 0) << done.error().message;
    if (!done) {
      return {device.contents(), undo.contents()};
    }
  }
  EXPECT_TRUE(recorder.finish());
  return {device.contents(), undo.contents()};
}

base::Bytes undone(const Applied& change) {
  MemoryDevice device(change.result);
  MemoryDevice undo_file(change.undo);
  if (change.undo.empty()) {
    return change.result;
  }
  const auto undo = storage::read_undo_file(undo_file);
  EXPECT_TRUE(undo) << undo.error().message;
  if (undo) {
    const auto done = storage::apply_undo(device, *undo, undo_file, storage::Unfinished::kUndo);
    EXPECT_TRUE(done) << done.error().message;
  }
  return device.contents();
}

class DamageTest : public ::testing::TestWithParam<std::tuple<Damage, StoreKind>> {};

TEST_P(DamageTest, IsRepairedAndCanBeUndone) {
  const auto& [damage, kind] = GetParam();
  if (damage.concerns && !damage.concerns(kind)) {
    return;  // no such damage on such a store
  }
  SickStore store(kind);
  damage.inflict(store);
  auto expected = store.healthy();
  if (damage.then) {
    damage.then(store, expected);
  }

  const auto plan = plan_of(store, store.bytes, damage.wishes);
  EXPECT_THAT(codes(plan.steps), ::testing::ElementsAreArray(damage.steps));
  EXPECT_THAT(codes(plan.open), IsEmpty());
  EXPECT_TRUE(Examination{plan.after}.clean());

  const auto change = applied(store.bytes, plan);
  EXPECT_EQ(store.contents_of(change.result), expected);
  EXPECT_THAT(codes(plan_of(store, change.result, damage.wishes).steps), IsEmpty());
  EXPECT_EQ(undone(change), store.bytes);
}

TEST_P(DamageTest, IsRepairedAfterARepairThatWasCutOff) {
  const auto& [damage, kind] = GetParam();
  if (damage.concerns && !damage.concerns(kind)) {
    return;
  }
  SickStore store(kind);
  damage.inflict(store);
  auto expected = store.healthy();
  if (damage.then) {
    damage.then(store, expected);
  }
  const auto plan = plan_of(store, store.bytes, damage.wishes);
  int writes = 0;
  for (const auto& step : plan.steps) {
    writes += static_cast<int>(std::count_if(step.operations.begin(), step.operations.end(),
                                             [](const storage::Operation& one) {
                                               return one.kind != storage::Operation::Kind::kFlush;
                                             }));
  }
  ASSERT_GT(writes, 0);

  for (int cut = 0; cut < writes; ++cut) {
    const auto change = applied(store.bytes, plan, cut);

    EXPECT_EQ(undone(change), store.bytes) << "cut before write " << cut;
    const auto again = plan_of(store, change.result, damage.wishes);
    EXPECT_EQ(store.contents_of(applied(change.result, again).result), expected)
        << "cut before write " << cut;
  }
}

std::vector<StoreKind> kinds() {
  return {{.encrypted = false},
          {.encrypted = true},
          {.encrypted = false, .spacing = format::HeaderSpacing::k4096},
          {.encrypted = true, .spacing = format::HeaderSpacing::k4096},
          {.encrypted = false, .is_vhd = true},
          {.encrypted = true, .is_vhd = true}};
}

INSTANTIATE_TEST_SUITE_P(Matrix, DamageTest,
                         ::testing::Combine(::testing::ValuesIn(damages()),
                                            ::testing::ValuesIn(kinds())),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "On" +
                                  std::get<1>(test.param).name();
                         });

class HealthyTest : public ::testing::TestWithParam<StoreKind> {};

TEST_P(HealthyTest, NeedsNoRepair) {
  const SickStore store(GetParam());
  EXPECT_EQ(store.contents_of(store.bytes), store.healthy());
  for (const bool with_key : {true, false}) {
    const auto plan = plan_of(store, store.bytes, {}, with_key);
    EXPECT_THAT(codes(plan.steps), IsEmpty());
    EXPECT_THAT(codes(plan.open), IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, HealthyTest, ::testing::ValuesIn(kinds()),
                         [](const auto& test) { return test.param.name(); });

// Without the word nothing is done, and the word is asked for.
TEST(PlanTest, AsksBeforeItGoesBackAGeneration) {
  SickStore store({.encrypted = false});
  store.fill(store.table_at(store.newest_slot()), format::kBlockBytes, std::byte{0x77});

  const auto plan = plan_of(store, store.bytes, {});

  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), Contains("older-generation"));
}

TEST(PlanTest, AsksWhichOfTwoPlaintextStatesIsTheNewer) {
  SickStore store({.encrypted = false});
  auto header = store.header(0);
  header.sequence += 5;
  store.put_header(0, header);

  EXPECT_THAT(codes(plan_of(store, store.bytes, {}).open), Contains("sequence-gap"));

  store = SickStore({.encrypted = false});
  store.flip(store.header_at(store.newest_slot()) + 12);
  const auto plan = plan_of(store, store.bytes, {});
  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), Contains("newer-header"));
}

TEST(PlanTest, TouchesNoTableOfAnEncryptedStoreWithoutItsKey) {
  SickStore store({.encrypted = true});
  auto entry = store.entry(FileId::kFileTable);
  entry.first_block = entry.first_block.value() + 1;
  store.put_entry(FileId::kFileTable, entry);

  const auto plan = plan_of(store, store.bytes, {}, /*with_key=*/false);

  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), Contains("bad-self-entry"));
}

TEST(PlanTest, AsksForTheKeyWhenTheDamagedHeaderMayBeTheNewest) {
  SickStore store({.encrypted = true});
  store.flip(store.header_at(store.newest_slot()) + 12);

  const auto plan = plan_of(store, store.bytes, {}, /*with_key=*/false);

  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), Contains("bad-header"));
}

// A header under another key than the one at hand, as a rekey leaves it.
void rekey(SickStore& store, std::size_t slot, std::uint32_t sequence) {
  auto header = store.header(slot);
  for (auto& key_slot : header.key_slots) {
    if (key_slot) {
      key_slot->wrapped_key[0] ^= std::byte{1};
    }
  }
  header.sequence = sequence;
  store.put_header(slot, header);
}

TEST(PlanTest, TakesNoHeaderBecauseItsKeyHappensToBeAtHand) {
  SickStore store({.encrypted = true});
  const auto slot = store.newest_slot();
  rekey(store, slot, store.header(slot).sequence + 5);

  const auto plan = plan_of(store, store.bytes, {});
  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), Contains("sequence-gap"));

  const auto other = "slot-" + std::to_string(1 - slot);
  const auto chosen = plan_of(store, store.bytes, {.accepted = {other}});
  EXPECT_EQ(store.contents_of(applied(store.bytes, chosen).result), store.before());
}

TEST(PlanTest, WritesOverNoHeaderThatTheKeyDoesNotOpen) {
  SickStore store({.encrypted = true});
  const auto slot = store.newest_slot();
  rekey(store, slot, store.header(slot).sequence);
  store.flip(store.header_at(slot) + 12);

  for (const bool with_key : {true, false}) {
    const auto plan = plan_of(store, store.bytes, {}, with_key);
    EXPECT_THAT(codes(plan.steps), IsEmpty());
    EXPECT_THAT(codes(plan.open), Contains("bad-header"));
  }
  const auto plan = plan_of(store, store.bytes, {.accepted = {"bad-header"}});
  EXPECT_EQ(store.contents_of(applied(store.bytes, plan).result), store.before());

  // The same where the other one is gone as well.
  store.flip(store.header_at(1 - slot) + 12);
  const auto both = plan_of(store, store.bytes, {});
  EXPECT_THAT(codes(both.steps), IsEmpty());
  EXPECT_THAT(codes(both.open), Contains("no-valid-header"));
}

TEST(PlanTest, WritesOverNoKeySlotsWithoutTheKey) {
  for (const bool newest : {true, false}) {
    SickStore store({.encrypted = true});
    const auto slot = newest ? store.newest_slot() : 1 - store.newest_slot();
    store.fill(store.header_at(slot), 36, std::byte{0xEE});

    const auto plan = plan_of(store, store.bytes, {}, /*with_key=*/false);

    EXPECT_THAT(codes(plan.steps), IsEmpty());
    EXPECT_THAT(codes(plan.open), Contains("bad-header"));
  }
}

TEST(PlanTest, TakesNoHeaderOfAnEarlierLifeFromTheOtherSpacing) {
  for (const bool slot_is_blank : {true, false}) {
    SickStore store({.encrypted = false, .is_vhd = true});
    auto stale = store.header(1);
    stale.sequence += 100;
    base::store(format::encode_header(stale), std::span(store.bytes).subspan<4096, 168>());
    if (slot_is_blank) {
      store.fill(store.header_at(1), 168, std::byte{0});
    } else {
      store.flip(store.header_at(1) + 12);
    }
    const auto before = store.contents_of(store.bytes);
    ASSERT_FALSE(before.empty());

    const auto plan = plan_of(store, store.bytes, {.accepted = {"wrong-spacing"}});

    EXPECT_THAT(codes(plan.steps), ::testing::Not(Contains("wrong-spacing")));
    EXPECT_EQ(store.contents_of(applied(store.bytes, plan).result), before);
  }
}

TEST(PlanTest, AsksBeforeANewerHeaderComesFromTheOtherSpacing) {
  SickStore store({.encrypted = false, .is_vhd = true});
  const auto second = store.header(1);
  store.fill(512, 168, std::byte{0});
  base::store(format::encode_header(second), std::span(store.bytes).subspan<4096, 168>());

  const auto plan = plan_of(store, store.bytes, {});

  EXPECT_THAT(codes(plan.steps), ::testing::Not(Contains("wrong-spacing")));
}

// Gives the newest state one more file, in the last block, and says what it holds.
base::Bytes with_file_in_the_last_block(SickStore& store, FileId id) {
  const auto at = store.bytes.size() - format::kBlockBytes;
  auto entry = store.entry(static_cast<FileId>(20));
  entry.first_block = static_cast<std::uint32_t>(at / format::kBlockBytes);
  store.put_entry(id, entry);
  return base::copy_of(std::span(store.bytes).subspan(at));
}

TEST(PlanTest, WritesNoFooterIntoAFile) {
  SickStore store({.encrypted = false});
  constexpr std::string_view kCookie = "conectix";
  std::ranges::copy(base::bytes_of(kCookie),
                    std::span(store.bytes).subspan(store.bytes.size() - 512).begin());
  const auto content = with_file_in_the_last_block(store, static_cast<FileId>(50));

  const auto plan = plan_of(store, store.bytes, {});

  EXPECT_THAT(codes(plan.steps), Contains("bad-container"));
  EXPECT_EQ(store.contents_of(applied(store.bytes, plan).result)[static_cast<FileId>(50)], content);
}

TEST(PlanTest, CutsNothingThatAHeaderOfA4KnDiskLeadsTo) {
  SickStore store({.encrypted = false, .spacing = format::HeaderSpacing::k4096});
  ASSERT_EQ(store.newest_slot(), 1U);
  (void)with_file_in_the_last_block(store, static_cast<FileId>(50));
  const auto at = store.bytes.size() - 2 * format::kBlockBytes;
  const auto footer = format::make_vhd_footer(at, {});
  std::ranges::copy(base::view(footer->raw), std::span(store.bytes).subspan(at).begin());

  EXPECT_THAT(codes(plan_of(store, store.bytes, {}).steps), IsEmpty());
}

TEST(PlanTest, AsksBeforeItCutsAFileWithoutATable) {
  SickStore store({.encrypted = false, .is_vhd = true});
  store.fill(0, 8192, std::byte{0});
  store.bytes.insert(store.bytes.end(), 8192, std::byte{0x11});

  const auto plan = plan_of(store, store.bytes, {});

  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), Contains("bad-container"));
  EXPECT_THAT(codes(plan_of(store, store.bytes, {.accepted = {"bad-container"}}).steps),
              Contains("bad-container"));
}

// One entry at the far end of what a store can be once had 4 GiB of zeros filled in.
TEST(PlanTest, FillsWhatACutTookAndNotWhatADamagedEntrySpeaksOf) {
  SickStore store({.encrypted = false});
  const auto size = store.bytes.size();
  auto entry = store.entry(kLarge);
  entry.first_block = static_cast<std::uint32_t>(size / format::kBlockBytes) + 100;
  store.put_entry(kLarge, entry);
  const auto cut = plan_of(store, store.bytes, {});
  EXPECT_THAT(codes(cut.open), Contains("truncated"));
  const auto filled = plan_of(store, store.bytes, {.accepted = {"truncated"}});
  EXPECT_EQ(applied(store.bytes, filled).result.size(),
            size + (100 + entry.allocated_blocks.value()) * format::kBlockBytes + 512);

  entry.first_block = 1'000'000;
  store.put_entry(kLarge, entry);
  const auto damaged = plan_of(store, store.bytes, {.accepted = {"truncated"}});

  EXPECT_THAT(codes(damaged.open), Contains("bad-entry"));
  EXPECT_EQ(applied(store.bytes, damaged).result.size(), size);
}

TEST(PlanTest, DropsNoFileThatReads) {
  const SickStore store({.encrypted = true});

  EXPECT_THAT(codes(plan_of(store, store.bytes, {.dropped = {kLarge}}).steps), IsEmpty());
}

TEST(PlanTest, MakesHeadersThatWereWipedForTheTableThatIsNamed) {
  SickStore store({.encrypted = false});
  const auto table = store.header(store.newest_slot()).file_table_block;
  store.fill(0, 2048, std::byte{0});

  const auto asking = plan_of(store, store.bytes, {});
  EXPECT_THAT(codes(asking.open), Contains("no-valid-header"));
  const auto plan = plan_of(store, store.bytes, {.accepted = {"blank"}, .file_table = table});

  EXPECT_THAT(codes(plan.steps), ::testing::ElementsAre("blank"));
  EXPECT_EQ(store.contents_of(applied(store.bytes, plan).result), store.healthy());
}

TEST(PlanTest, DoesNotCutAFileAtAFooterThatLiesInItsContent) {
  SickStore store({.encrypted = false});
  const auto at = std::size_t{format::kFirstUsableBlock + 3} * format::kBlockBytes;
  const auto footer = format::make_vhd_footer(at, {});
  std::ranges::copy(base::view(footer->raw), std::span(store.bytes).subspan(at).begin());

  const auto plan = plan_of(store, store.bytes, {});

  EXPECT_THAT(codes(plan.steps), IsEmpty());
  EXPECT_THAT(codes(plan.open), IsEmpty());
}

TEST(PlanTest, WarnsOfAStoreThatTakesNoOtherCommit) {
  SickStore store({.encrypted = true});
  // Cut to the blocks in use and no more: every hole is taken by one more file.
  std::vector<bool> used(store.bytes.size() / format::kBlockBytes);
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto entry = store.entry(static_cast<FileId>(i));
    for (std::uint32_t block = 0; block < entry.allocated_blocks.value(); ++block) {
      used[entry.first_block.value() + block] = true;
    }
  }
  auto id = 21U;
  for (std::size_t first = 2; first < used.size(); ++first) {
    if (used[first]) {
      continue;
    }
    format::FileEntryLayout entry{};
    entry.first_block = static_cast<std::uint32_t>(first);
    while (first < used.size() && !used[first]) {
      ++first;
    }
    entry.allocated_blocks = static_cast<std::uint32_t>(first) - entry.first_block.value();
    entry.valid_bytes = std::uint64_t{entry.allocated_blocks.value()} * format::kBlockBytes;
    store.put_entry(static_cast<FileId>(id++), entry);
  }

  MemoryDevice device(store.bytes);
  const auto key = SickStore::key();
  const auto findings = examine_whole(device, store.patient(), &key);

  ASSERT_TRUE(findings);
  EXPECT_THAT(codes(*findings), Contains("full"));
}

TEST(PlanTest, DoesNotTakeANoteForDamage) {
  // A grown raw file is a larger store and no fault.
  SickStore store({.encrypted = false});
  store.bytes.resize(store.bytes.size() + 4096);

  EXPECT_THAT(codes(plan_of(store, store.bytes, {}).steps), IsEmpty());
}

}  // namespace
}  // namespace vmgs::repair
