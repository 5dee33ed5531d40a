// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/salvage.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/support/error_code.h"
#include "vmgs/repair/candidates.h"
#include "vmgs/repair/previous.h"
#include "vmgs/repair/sick_store.h"
#include "vmgs/storage/memory.h"

namespace vmgs::repair {
namespace {

using format::FileId;
using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;
using tests::support::error_code;

constexpr auto kLarge = static_cast<FileId>(45);

struct Found {
  std::multimap<FileId, base::Bytes> authentic;
  std::multimap<FileId, base::Bytes> unproven;
};

Found found_in(const SickStore& store, bool with_key = true) {
  storage::MemoryDevice device(store.bytes);
  const auto key = with_key ? store.own_key() : std::nullopt;
  Found found;
  EXPECT_TRUE(salvage(device, key ? &*key : nullptr, [&](const Salvaged& one) {
    (one.authentic ? found.authentic : found.unproven)
        .emplace(one.id, base::copy_of(one.content.expose()));
    return base::Result<void>();
  }));
  EXPECT_EQ(device.contents(), store.bytes);
  return found;
}

void expect_all(const std::multimap<FileId, base::Bytes>& found, const Contents& contents) {
  for (const auto& content : contents) {
    EXPECT_THAT(found, Contains(std::pair<const FileId, base::Bytes>(content)))
        << format::describe(content.first);
  }
}

TEST(SalvageTest, GetsBothGenerationsOutOfAWholeStore) {
  for (const bool encrypted : {true, false}) {
    const SickStore store({.encrypted = encrypted});
    const auto found = found_in(store);
    expect_all(encrypted ? found.authentic : found.unproven, store.healthy());
    expect_all(encrypted ? found.authentic : found.unproven, store.before());
  }
}

TEST(SalvageTest, NeedsNoValidHeader) {
  for (const auto spacing : {format::HeaderSpacing::k512, format::HeaderSpacing::k4096}) {
    SickStore store({.encrypted = true, .spacing = spacing});
    store.flip(store.header_at(0) + 12);
    store.flip(store.header_at(1) + 12);

    expect_all(found_in(store).authentic, store.healthy());
  }
}

TEST(SalvageTest, GetsPlaintextFilesOfAStoreWhoseHeadersAreGone) {
  SickStore store({.encrypted = false});
  store.fill(0, 8192, std::byte{0});

  expect_all(found_in(store).unproven, store.healthy());
}

TEST(SalvageTest, GetsTheOtherFilesOfATableWithABadEntry) {
  SickStore store({.encrypted = true});
  auto entry = store.entry(kLarge);
  entry.first_block = 0xFFFFFFFF;
  store.put_entry(kLarge, entry);

  const auto found = found_in(store);

  auto expected = store.healthy();
  expected.erase(kLarge);
  expect_all(found.authentic, expected);
  expect_all(found.authentic, {{kLarge, store.before().at(kLarge)}});
}

TEST(SalvageTest, GivesNothingForAuthenticThatIsNot) {
  SickStore store({.encrypted = true});
  const auto at = std::size_t{store.entry(kLarge).first_block.value()} * format::kBlockBytes;
  store.flip(at);

  const auto found = found_in(store);

  EXPECT_THAT(
      found.authentic,
      Not(Contains(std::pair<const FileId, base::Bytes>(kLarge, store.healthy().at(kLarge)))));
  EXPECT_THAT(found.unproven, Not(Contains(Key(kLarge))));
}

TEST(SalvageTest, GetsOnlyPlaintextWithoutTheKey) {
  const SickStore store({.encrypted = true});

  const auto found = found_in(store, /*with_key=*/false);

  EXPECT_TRUE(found.authentic.empty());
  EXPECT_EQ(found.unproven.size(), 1U);
  EXPECT_THAT(found.unproven, Contains(Key(FileId::kVmUniqueId)));
}

TEST(SalvageTest, TellsWhetherAKeyFitsWhatIsLeftOfTheHeaders) {
  SickStore store({.encrypted = true});
  const auto fits = [&store](const volume::DatastoreKey& key) {
    storage::MemoryDevice device(store.bytes);
    return key_fits(device, key);
  };
  const volume::DatastoreKey other{base::Secret<32>::zero()};
  EXPECT_EQ(fits(SickStore::key()), KeyFits::kYes);
  EXPECT_EQ(fits(other), KeyFits::kNo);

  store.fill(store.header_at(0), 36, std::byte{0xEE});
  store.fill(store.header_at(1), 168, std::byte{0});
  EXPECT_EQ(fits(SickStore::key()), KeyFits::kYes);

  store.fill(0, 8192, std::byte{0});
  EXPECT_EQ(fits(SickStore::key()), KeyFits::kNoSlotIsLeft);
  storage::MemoryDevice stub(base::Bytes(100));
  EXPECT_EQ(error_code(key_fits(stub, other)), base::ErrorCode::kCorrupt);
}

TEST(SalvageTest, SaysWhichHeaderLedToIt) {
  // Headers at all three places, each of another table; what was sealed under an older one is lost.
  SickStore store({.encrypted = false, .is_vhd = true});
  storage::MemoryDevice scanned(store.bytes);
  const auto tables = tables_found(scanned);
  ASSERT_TRUE(tables);
  auto stale = store.header(0);
  for (const auto block : *tables) {
    if (block != store.header(0).file_table_block && block != store.header(1).file_table_block) {
      stale.file_table_block = block;
    }
  }
  ASSERT_NE(stale.file_table_block, store.header(0).file_table_block);
  base::store(format::encode_header(stale), std::span(store.bytes).subspan<4096, 168>());
  storage::MemoryDevice device(store.bytes);
  std::set<std::pair<std::string, FileId>> found;
  std::set<std::string> origins;

  const auto searched = salvage(device, nullptr, [&](const Salvaged& one) {
    EXPECT_TRUE(found.insert({one.origin, one.id}).second) << one.origin;
    origins.insert(one.origin);
    return base::Result<void>();
  });

  EXPECT_EQ(searched, Searched::kAll);
  EXPECT_THAT(origins, ::testing::IsSupersetOf({"header-0", "header-512", "header-4096"}));
}

TEST(SalvageTest, EndsWhereTablesWerePlanted) {
  constexpr std::uint32_t kBlocks = 400;
  constexpr std::uint32_t kTables = 200;  // and as many blocks that all of them lead to
  base::Bytes bytes(kBlocks * format::kBlockBytes);
  for (std::uint32_t block = format::kFirstUsableBlock; block < kTables; ++block) {
    format::FileEntryLayout self{};
    self.first_block = block;
    self.allocated_blocks = 1;
    self.valid_bytes = format::kBlockBytes;
    format::FileEntryLayout large{};
    large.first_block = kTables;
    large.allocated_blocks = kBlocks - kTables;
    large.valid_bytes = std::uint64_t{kBlocks - kTables} * format::kBlockBytes - block;
    const auto table = std::span(bytes).subspan(block * format::kBlockBytes);
    std::ranges::copy(base::view(self), table.begin());
    std::ranges::copy(base::view(large),
                      table.subspan(format::index(kLarge) * sizeof(large)).begin());
  }
  storage::MemoryDevice device(bytes);
  std::uint64_t given = 0;

  const auto searched = salvage(device, nullptr, [&given](const Salvaged& one) {
    given += one.content.size();
    return base::Result<void>();
  });

  EXPECT_EQ(searched, Searched::kUpToLimit);
  EXPECT_GT(given, 0U);
  EXPECT_LT(given, 65 * bytes.size());
}

class PreviousTest : public ::testing::TestWithParam<bool> {};

TEST_P(PreviousTest, ReadsAndRestoresTheStateBeforeTheNewest) {
  SickStore store({.encrypted = GetParam()});
  storage::MemoryDevice device(store.bytes);
  const auto key = store.own_key();
  const auto* const with = key ? &*key : nullptr;

  const auto older = previous_generation(device, store.patient(), with);
  ASSERT_TRUE(older) << older.error().message;
  const auto content = older->read_file(device, kLarge);
  ASSERT_TRUE(content);
  EXPECT_EQ(base::copy_of(content->expose()), store.before().at(kLarge));

  const auto step = restore_previous(device, store.patient(), with);
  ASSERT_TRUE(step) << step.error().message;
  EXPECT_EQ(device.contents(), store.bytes);
  ASSERT_TRUE(apply(device, *step));
  EXPECT_EQ(store.contents_of(device.contents()), store.before());

  // And back.
  const auto again = restore_previous(device, store.patient(), with);
  ASSERT_TRUE(again);
  ASSERT_TRUE(apply(device, *again));
  EXPECT_EQ(store.contents_of(device.contents()), store.healthy());
}

INSTANTIATE_TEST_SUITE_P(Kinds, PreviousTest, ::testing::Bool());

TEST(PreviousStateTest, IsNotRestoredWithoutTheKeyOrWhenAFileOfItIsDamaged) {
  SickStore store({.encrypted = true});
  storage::MemoryDevice device(store.bytes);
  EXPECT_EQ(error_code(restore_previous(device, store.patient(), nullptr)),
            base::ErrorCode::kDenied);

  // Both generations share file 20.
  const auto at =
      std::size_t{store.entry(static_cast<FileId>(20)).first_block.value()} * format::kBlockBytes;
  store.flip(at);
  storage::MemoryDevice damaged(store.bytes);
  const auto key = SickStore::key();
  EXPECT_EQ(error_code(restore_previous(damaged, store.patient(), &key)), base::ErrorCode::kDenied);
}

TEST(PreviousStateTest, IsNotFoundBesideALoneHeader) {
  SickStore store({.encrypted = false});
  store.flip(store.header_at(1 - store.newest_slot()) + 12);
  storage::MemoryDevice device(store.bytes);

  EXPECT_EQ(error_code(previous_generation(device, store.patient(), nullptr)),
            base::ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vmgs::repair
