// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/ownership.h"

#include <gmock/gmock.h>

namespace vmgs::inspect {
namespace {

using format::FileId;
using ::testing::ElementsAre;

constexpr std::uint64_t kCapacity = 32;

// A side whose table lies in block `table`, with no other file.
Side side_at(std::uint32_t table) {
  Side side;
  format::Header header;
  header.file_table_block = table;
  side.generation.emplace(0, header, format::FileTable{}, std::nullopt);
  return side;
}

void put(Side& side, FileId id, std::uint32_t first, std::uint32_t blocks, std::uint64_t bytes) {
  side.entries.at(format::index(id)) =
      format::FileEntry{.first_block = first, .allocated_blocks = blocks, .valid_bytes = bytes};
}

Extent extent(std::uint64_t first, std::uint64_t blocks, BlockUse use,
              std::optional<FileId> owner = std::nullopt,
              std::optional<FileId> previously = std::nullopt) {
  return {.first_block = first,
          .blocks = blocks,
          .use = use,
          .owner = owner,
          .also = std::nullopt,
          .previously = previously};
}

TEST(OwnershipTest, CoversEveryBlockInOrder) {
  auto side = side_at(2);
  put(side, FileId::kExtendedFileTable, 3, 1, 4096);
  put(side, FileId::kTpmNvram, 10, 8, 8 * 4096);

  const auto ownership = own(kCapacity, side, nullptr);

  EXPECT_THAT(
      ownership.extents,
      ElementsAre(extent(0, 2, BlockUse::kHeaders),
                  extent(2, 1, BlockUse::kFileTable, FileId::kFileTable),
                  extent(3, 1, BlockUse::kSealedTable, FileId::kExtendedFileTable),
                  extent(4, 6, BlockUse::kFree), extent(10, 8, BlockUse::kFile, FileId::kTpmNvram),
                  extent(18, 14, BlockUse::kFree)));
  EXPECT_EQ(ownership.blocks(BlockUse::kFree), 20U);
  EXPECT_EQ(ownership.largest_hole(), 14U);
}

TEST(OwnershipTest, TellsWhatAFileNeverUses) {
  auto side = side_at(2);
  put(side, FileId::kAttest, 4, 3, 4097);
  put(side, FileId::kTpmPpi, 8, 2, 0);  // an empty file has one block

  const auto ownership = own(kCapacity, side, nullptr);

  EXPECT_EQ(ownership.blocks(BlockUse::kFile), 3U);
  EXPECT_EQ(ownership.blocks(BlockUse::kSpare), 2U);
}

TEST(OwnershipTest, CallsReclaimableWhatOnlyTheGenerationBeforeHolds) {
  auto state = side_at(2);
  put(state, FileId::kTpmNvram, 4, 2, 8192);
  auto previous = side_at(3);
  put(previous, FileId::kTpmNvram, 5, 3, 3 * 4096);

  const auto ownership = own(kCapacity, state, &previous);

  EXPECT_THAT(ownership.extents,
              ElementsAre(extent(0, 2, BlockUse::kHeaders),
                          extent(2, 1, BlockUse::kFileTable, FileId::kFileTable),
                          extent(3, 1, BlockUse::kReclaimable, std::nullopt, FileId::kFileTable),
                          extent(4, 1, BlockUse::kFile, FileId::kTpmNvram),
                          extent(5, 1, BlockUse::kFile, FileId::kTpmNvram, FileId::kTpmNvram),
                          extent(6, 2, BlockUse::kReclaimable, std::nullopt, FileId::kTpmNvram),
                          extent(8, 24, BlockUse::kFree)));
  // Both kinds of free blocks make one hole.
  EXPECT_EQ(ownership.largest_hole(), 26U);
}

TEST(OwnershipTest, NamesBothWhoClaimABlock) {
  auto side = side_at(2);
  put(side, FileId::kTpmNvram, 4, 4, 4 * 4096);
  put(side, FileId::kGuestFirmware, 6, 4, 4 * 4096);

  const auto ownership = own(kCapacity, side, nullptr);

  EXPECT_EQ(ownership.blocks(BlockUse::kOverlap), 2U);
  const auto& overlap = ownership.extents.at(4);
  EXPECT_EQ(overlap.first_block, 6U);
  EXPECT_EQ(overlap.owner, FileId::kTpmNvram);
  EXPECT_EQ(overlap.also, FileId::kGuestFirmware);
}

TEST(OwnershipTest, SeesAFileOverItsOwnTable) {
  auto side = side_at(5);
  put(side, FileId::kTpmNvram, 4, 4, 4 * 4096);

  EXPECT_EQ(own(kCapacity, side, nullptr).blocks(BlockUse::kOverlap), 1U);
}

TEST(OwnershipTest, LetsNothingReachPastTheEnd) {
  auto side = side_at(40);
  put(side, FileId::kTpmNvram, 30, 8, 8 * 4096);

  const auto ownership = own(kCapacity, side, nullptr);

  EXPECT_EQ(ownership.blocks(BlockUse::kFileTable), 0U);
  EXPECT_EQ(ownership.blocks(BlockUse::kFile), 2U);
  EXPECT_EQ(ownership.extents.back().first_block + ownership.extents.back().blocks, kCapacity);
}

// A store of 16 TiB has four milliards of blocks; what describes it stays as small as its tables.
TEST(OwnershipTest, TakesNoMoreForALargeStore) {
  auto side = side_at(2);
  put(side, FileId::kTpmNvram, 10, 0xFFFFFFF0, 4096);

  const auto ownership = own(std::uint64_t{1} << 32, side, nullptr);

  EXPECT_LE(ownership.extents.size(), 6U);
  EXPECT_EQ(ownership.blocks(BlockUse::kSpare), 0xFFFFFFEFU);
}

}  // namespace
}  // namespace vmgs::inspect
