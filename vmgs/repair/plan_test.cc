// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/plan.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "vmgs/format/vhd_footer.h"
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
constexpr auto kOneBlock = static_cast<FileId>(20);

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

std::vector<std::string> codes(const std::vector<volume::Finding>& findings,
                               volume::Severity at_least = volume::Severity::kNote) {
  std::vector<std::string> result;
  for (const auto& finding : findings) {
    if (finding.severity >= at_least) {
      result.push_back(finding.code);
    }
  }
  return result;
}

std::vector<std::string> codes(const std::vector<Step>& steps) {
  std::vector<std::string> result;
  for (const auto& step : steps) {
    result.push_back(step.code);
  }
  return result;
}

Plan plan_of(const SickStore& store, base::Bytes whole, const Wishes& wishes,
             bool with_key = true) {
  MemoryDevice device(std::move(whole));
  const auto key = with_key ? store.own_key() : std::nullopt;
  auto plan = plan_repair(device, store.patient(), key ? &*key : nullptr, wishes);
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? *std::move(plan) : Plan{};
}

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
    const auto done = storage::apply_undo(device, *undo, undo_file);
    EXPECT_TRUE(done) << done.error().message;
  }
  return device.contents();
}

struct Damage {
  std::string name;
  std::function<void(SickStore&)> inflict;
  std::vector<std::string> steps;  // codes, in order
  Wishes wishes = {};
  // What reads afterwards, if it is not what was healthy.
  std::function<void(const SickStore&, Contents&)> then = {};
  std::function<bool(const StoreKind&)> concerns = {};
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

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
  EXPECT_THAT(codes(plan.after, volume::Severity::kError), IsEmpty());

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
    writes += static_cast<int>(
        std::count_if(step.operations.begin(), step.operations.end(),
                      [](const Operation& one) { return one.kind != Operation::Kind::kFlush; }));
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

bool is_encrypted(const StoreKind& kind) { return kind.encrypted; }

bool is_plaintext(const StoreKind& kind) { return !kind.encrypted; }

bool is_vhd(const StoreKind& kind) { return kind.is_vhd; }

void overlap_with(SickStore& store, FileId mover, FileId other) {
  auto entry = store.entry(mover);
  entry.first_block = store.entry(other).first_block.value();
  store.put_entry(mover, entry);
}

std::vector<Damage> damages() {
  std::vector<Damage> all;
  all.push_back({.name = "OlderHeaderTorn",
                 .inflict = [](SickStore& s) { s.flip(s.header_at(1 - s.newest_slot()) + 12); },
                 .steps = {"bad-header"}});
  all.push_back(
      {.name = "OlderHeaderLost",
       .inflict =
           [](SickStore& s) { s.fill(s.header_at(1 - s.newest_slot()), 168, std::byte{0xEE}); },
       .steps = {"bad-header"}});
  all.push_back({.name = "NewestHeaderChecksum",
                 .inflict = [](SickStore& s) { s.flip(s.header_at(s.newest_slot()) + 12); },
                 .steps = {"bad-header"},
                 .concerns = is_encrypted});
  all.push_back({.name = "NewestHeaderChecksumTaken",
                 .inflict = [](SickStore& s) { s.flip(s.header_at(s.newest_slot()) + 12); },
                 .steps = {"newer-header"},
                 .wishes = {.accepted = {"newer-header"}},
                 .concerns = is_plaintext});
  all.push_back({.name = "NewestHeaderChecksumLeft",
                 .inflict = [](SickStore& s) { s.flip(s.header_at(s.newest_slot()) + 12); },
                 .steps = {"bad-header"},
                 .wishes = {.accepted = {"bad-header"}},
                 .then = [](const SickStore& s, Contents& c) { c = s.before(); },
                 .concerns = is_plaintext});
  all.push_back(
      {.name = "NewestHeaderLost",
       .inflict = [](SickStore& s) { s.fill(s.header_at(s.newest_slot()), 168, std::byte{0}); },
       .steps = {"bad-header"},
       .then = [](const SickStore& s, Contents& c) { c = s.before(); }});
  all.push_back({.name = "BothChecksums",
                 .inflict =
                     [](SickStore& s) {
                       s.flip(s.header_at(0) + 12);
                       s.flip(s.header_at(1) + 12);
                     },
                 .steps = {"no-valid-header"}});
  all.push_back({.name = "BothSignatures",
                 .inflict =
                     [](SickStore& s) {
                       s.flip(s.header_at(0));
                       s.flip(s.header_at(1) + 3);
                     },
                 .steps = {"no-valid-header"}});
  all.push_back({.name = "OnlyKeySlotsLeft",
                 .inflict =
                     [](SickStore& s) {
                       s.fill(s.header_at(0), 36, std::byte{0xEE});
                       s.fill(s.header_at(1), 36, std::byte{0xEE});
                     },
                 .steps = {"no-valid-header"},
                 .concerns = is_encrypted});
  all.push_back({.name = "SequenceGap",
                 .inflict =
                     [](SickStore& s) {
                       const auto slot = s.newest_slot();
                       auto header = s.header(slot);
                       header.sequence += 5;
                       s.put_header(slot, header);
                     },
                 .steps = {"sequence-gap"},
                 .concerns = is_encrypted});
  all.push_back({.name = "SequenceGapChosen",
                 .inflict =
                     [](SickStore& s) {
                       auto header = s.header(0);
                       header.sequence += 5;
                       s.put_header(0, header);
                     },
                 .steps = {"sequence-gap"},
                 .wishes = {.accepted = {"slot-1"}},
                 .then =
                     [](const SickStore& s, Contents& c) {
                       // Four commits: the newest lies in slot 1.
                       c = s.healthy();
                     }});
  all.push_back({.name = "SelfEntry",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(FileId::kFileTable);
                       entry.first_block = entry.first_block.value() + 1;
                       s.put_entry(FileId::kFileTable, entry);
                     },
                 .steps = {"bad-self-entry"}});
  all.push_back({.name = "RangeWraps",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(kOneBlock);
                       entry.first_block = 0xFFFFFFFF;
                       entry.allocated_blocks = 3;
                       s.put_entry(kOneBlock, entry);
                     },
                 .steps = {"bad-entry"},
                 .concerns = is_encrypted});
  all.push_back({.name = "RangeWrapsOfTheNewestFile",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(kLarge);
                       entry.first_block = 0xFFFFFFFF;
                       s.put_entry(kLarge, entry);
                     },
                 .steps = {"bad-entry"},
                 .concerns = is_encrypted});
  all.push_back({.name = "RangeWrapsDropped",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(kLarge);
                       entry.first_block = 0xFFFFFFFF;
                       s.put_entry(kLarge, entry);
                     },
                 .steps = {"bad-entry"},
                 .wishes = {.dropped = {kLarge}},
                 .then = [](const SickStore&, Contents& c) { c.erase(kLarge); },
                 .concerns = is_plaintext});
  all.push_back({.name = "ExtendedTableMisplaced",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(FileId::kExtendedFileTable);
                       entry.first_block = 1'000'000;
                       s.put_entry(FileId::kExtendedFileTable, entry);
                     },
                 .steps = {"bad-extended-entry"},
                 .concerns = is_encrypted});
  all.push_back({.name = "ExtendedEntryMissing",
                 .inflict = [](SickStore& s) { s.put_entry(FileId::kExtendedFileTable, {}); },
                 .steps = {"bad-extended-entry"},
                 .concerns = is_plaintext});
  all.push_back({.name = "TableLost",
                 .inflict =
                     [](SickStore& s) {
                       s.fill(s.table_at(s.newest_slot()), format::kBlockBytes, std::byte{0x77});
                     },
                 .steps = {"older-generation"},
                 .wishes = {.accepted = {"older-generation"}},
                 .then = [](const SickStore& s, Contents& c) { c = s.before(); },
                 .concerns = is_plaintext});
  all.push_back({.name = "TablePastTheEnd",
                 .inflict =
                     [](SickStore& s) {
                       const auto slot = s.newest_slot();
                       auto header = s.header(slot);
                       header.file_table_block = 5000;
                       s.put_header(slot, header);
                     },
                 .steps = {"older-generation"},
                 .wishes = {.accepted = {"older-generation"}},
                 .then = [](const SickStore& s, Contents& c) { c = s.before(); },
                 .concerns = is_plaintext});
  all.push_back({.name = "OverlapThatReads",
                 .inflict = [](SickStore& s) { overlap_with(s, kOneBlock, kLarge); },
                 .steps = {"overlap"},
                 .then =
                     [](const SickStore& s, Contents& c) {
                       const auto& large = s.healthy().at(kLarge);
                       c[kOneBlock] = base::Bytes(large.begin(), large.begin() + 4096);
                     },
                 .concerns = is_plaintext});
  all.push_back({.name = "OverlapByExtraBlocks",
                 .inflict =
                     [](SickStore& s) {
                       // As many blocks as it takes to reach into the next thing.
                       auto entry = s.entry(FileId::kVmUniqueId);
                       entry.allocated_blocks = 4;
                       s.put_entry(FileId::kVmUniqueId, entry);
                     },
                 .steps = {"overlap"},
                 .concerns = is_plaintext});
  all.push_back({.name = "Downgrade",
                 .inflict =
                     [](SickStore& s) {
                       auto header = s.header(s.newest_slot());
                       header.encrypted = false;
                       s.put_header(s.newest_slot(), header);
                     },
                 .steps = {"downgrade"},
                 .concerns = is_encrypted});
  all.push_back({.name = "PlaintextFileChangedWithoutTheKey",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(FileId::kVmUniqueId);
                       entry.valid_bytes = 19;
                       s.put_entry(FileId::kVmUniqueId, entry);
                     },
                 .steps = {"edited-without-key"},
                 .then = [](const SickStore&, Contents& c) { c[FileId::kVmUniqueId].pop_back(); },
                 .concerns = is_encrypted});
  all.push_back({.name = "FileTakenOutWithoutTheKey",
                 .inflict = [](SickStore& s) { s.put_entry(kLarge, {}); },
                 .steps = {"edited-without-key"},
                 .then = [](const SickStore&, Contents& c) { c.erase(kLarge); },
                 .concerns = is_encrypted});
  all.push_back({.name = "AttributesCleared",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(kLarge);
                       entry.attributes = 0;
                       s.put_entry(kLarge, entry);
                     },
                 .steps = {"edited-without-key"},
                 .concerns = is_encrypted});
  all.push_back(
      {.name = "CiphertextDamaged",
       .inflict =
           [](SickStore& s) {
             s.flip(std::size_t{s.entry(kLarge).first_block.value()} * format::kBlockBytes + 100);
           },
       .steps = {"dropped"},
       .wishes = {.dropped = {kLarge}},
       .then = [](const SickStore&, Contents& c) { c.erase(kLarge); },
       .concerns = is_encrypted});
  all.push_back({.name = "FooterChecksum",
                 .inflict = [](SickStore& s) { s.flip(s.bytes.size() - 512 + 64); },
                 .steps = {"bad-container"},
                 .concerns = is_vhd});
  all.push_back({.name = "FooterLost",
                 .inflict = [](SickStore& s) { s.fill(s.bytes.size() - 512, 512, std::byte{0}); },
                 .steps = {"bad-container"},
                 .concerns = is_vhd});
  all.push_back(
      {.name = "GrownByAnOddLength",
       .inflict = [](SickStore& s) { s.bytes.insert(s.bytes.end(), 1234, std::byte{0x11}); },
       .steps = {"bad-container"},
       .concerns = is_vhd});
  all.push_back(
      {.name = "GrownByWholeBlocks",
       .inflict = [](SickStore& s) { s.bytes.insert(s.bytes.end(), 8192, std::byte{0x11}); },
       .steps = {"bad-container"},
       .concerns = is_vhd});
  all.push_back({.name = "CutInFreeSpace",
                 .inflict = [](SickStore& s) { s.bytes.resize(s.bytes.size() - 4096 - 700); },
                 .steps = {"bad-container"},
                 .concerns = is_vhd});
  all.push_back({.name = "HeadersOfA4KnDiskInAVhd",
                 .inflict =
                     [](SickStore& s) {
                       // The newest header lies in slot 1; a VHD has it 512 bytes from the first.
                       const auto second = s.header(1);
                       s.fill(512, 168, std::byte{0});
                       base::store(format::encode_header(second),
                                   std::span(s.bytes).subspan<4096, 168>());
                     },
                 .steps = {"wrong-spacing"},
                 .concerns = is_vhd});
  return all;
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

TEST(PlanTest, DoesNotTakeANoteForDamage) {
  // A grown raw file is a larger store and no fault.
  SickStore store({.encrypted = false});
  store.bytes.resize(store.bytes.size() + 4096);

  EXPECT_THAT(codes(plan_of(store, store.bytes, {}).steps), IsEmpty());
}

}  // namespace
}  // namespace vmgs::repair
