// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/volume.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "vmgs/format/header.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/headers.h"
#include "vmgs/volume/volume_case.h"

namespace vmgs::volume {
namespace {

using base::ErrorCode;
using format::FileId;
using format::HeaderSpacing;

// A memory device that counts what a durable medium would be asked for.
class CountingDevice final : public storage::BlockDevice {
 public:
  explicit CountingDevice(std::uint64_t size_bytes) : memory_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return memory_.size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return memory_.read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    written_bytes += bytes.size();
    ++writes;
    return memory_.write(offset, bytes);
  }

  base::Result<void> flush() override {
    ++flushes;
    return memory_.flush();
  }

  void forget() { writes = flushes = written_bytes = 0; }

  std::size_t writes = 0;
  std::size_t flushes = 0;
  std::size_t written_bytes = 0;

 private:
  storage::MemoryDevice memory_;
};

TEST(VolumeTest, FreshPlaintextStoreIsTheKnownOne) {
  storage::MemoryDevice device(kStoreBytes);

  ASSERT_TRUE(Volume::format(device, HeaderSpacing::k512, std::nullopt));

  const auto raw = std::span(device.contents()).first<format::kHeaderBytes>();
  EXPECT_EQ(format::header_checksum(raw), 0x6D2EED28U);
  const auto volume = Volume::open(device, HeaderSpacing::k512);
  ASSERT_TRUE(volume);
  EXPECT_FALSE(volume->encrypted());
  EXPECT_TRUE(volume->files().empty());
  EXPECT_TRUE(volume->findings().empty());
}

TEST(VolumeTest, KeepsFilesOverReopening) {
  for (const bool encrypted : {false, true}) {
    for (const auto spacing : {HeaderSpacing::k512, HeaderSpacing::k4096}) {
      storage::MemoryDevice device(kStoreBytes);
      {
        auto volume =
            *Volume::format(device, spacing, encrypted ? std::optional(key_of(1)) : std::nullopt);
        ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(9000, 1)));
        ASSERT_TRUE(put(volume, FileId::kBiosNvram, content_of(0, 2)));
        ASSERT_TRUE(put(volume, FileId::kSealedKeys, content_of(224, 3), Protection::kPlaintext));
        ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(5000, 4)));
      }

      auto volume = *Volume::open(device, spacing);
      if (encrypted) {
        ASSERT_TRUE(volume.unlock(fixed_key(key_of(1))));
      }

      EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(5000, 4)));
      EXPECT_EQ(read_hex(volume, FileId::kBiosNvram), "");
      EXPECT_EQ(read_hex(volume, FileId::kSealedKeys), base::to_hex(content_of(224, 3)));
      EXPECT_EQ(volume.files().size(), 3U);
      EXPECT_EQ(volume.commit_sequence(), encrypted ? 4U : 0U);
      EXPECT_TRUE(volume.findings().empty());
    }
  }
}

TEST(VolumeTest, AStoreCanBeMadeWithItsFirstFilesInIt) {
  for (const bool encrypted : {false, true}) {
    CountingDevice device(kStoreBytes);
    const auto nvram = content_of(1300, 1);
    Transaction first;
    first.put(FileId::kTpmNvram, nvram);
    ASSERT_TRUE(Volume::format(device, HeaderSpacing::k512,
                               encrypted ? std::optional(key_of(1)) : std::nullopt, first));
    EXPECT_EQ(device.flushes, 3U);

    auto volume = *Volume::open(device, HeaderSpacing::k512);
    if (encrypted) {
      ASSERT_TRUE(volume.unlock(fixed_key(key_of(1))));
    }
    EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(nvram));
    EXPECT_EQ(volume.commit_sequence(), encrypted ? 1U : 0U);
    EXPECT_TRUE(volume.findings().empty());
    EXPECT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 2)));
  }
}

TEST(VolumeTest, AFormatThatCannotBeDoneLeavesTheDeviceAlone) {
  CountingDevice device(format::kSmallestStoreBytes);
  const auto too_much = content_of(8 * 4096, 1);
  Transaction first;
  first.put(FileId::kTpmNvram, too_much);
  EXPECT_EQ(Volume::format(device, HeaderSpacing::k512, key_of(1), first).error().code,
            ErrorCode::kDenied);
  Transaction table;
  table.put(static_cast<FileId>(64), too_much);
  EXPECT_EQ(Volume::format(device, HeaderSpacing::k512, key_of(1), table).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(device.writes, 0U);
}

TEST(VolumeTest, TransactionChangesSeveralFilesAtOnce) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  ASSERT_TRUE(put(volume, FileId::kTpmPpi, content_of(28, 1)));
  const auto sequence = volume.commit_sequence();

  const auto nvram = content_of(100, 2);
  const auto record = content_of(50, 3);
  Transaction transaction;
  transaction.put(FileId::kRecord, record);
  transaction.put(FileId::kTpmNvram, nvram);
  transaction.remove(FileId::kTpmPpi);
  ASSERT_TRUE(volume.commit(transaction));

  EXPECT_EQ(volume.commit_sequence(), sequence + 1);
  EXPECT_FALSE(volume.contains(FileId::kTpmPpi));
  EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(nvram));
  EXPECT_EQ(read_hex(volume, FileId::kRecord), base::to_hex(record));
}

TEST(VolumeTest, AnEncryptedCommitCostsOneBarrierAndFewBytes) {
  CountingDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(6000, 1)));

  device.forget();
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(6000, 2)));
  EXPECT_EQ(device.flushes, 1U);
  EXPECT_EQ(device.written_bytes, 2 * 4096U + 2 * 4096U + 512U);

  device.forget();
  ASSERT_TRUE(volume.read(FileId::kTpmNvram));
  EXPECT_EQ(device.writes + device.flushes, 0U);
}

TEST(VolumeTest, APlaintextCommitCostsTwoBarriers) {
  CountingDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, std::nullopt);

  device.forget();
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(6000, 1)));

  EXPECT_EQ(device.flushes, 2U);
}

TEST(VolumeTest, CloseLeavesATwoBarrierGenerationAndKeepsTheSequence) {
  CountingDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
  ASSERT_TRUE(volume.current().commit_info()->one_barrier);

  device.forget();
  ASSERT_TRUE(volume.close());
  EXPECT_EQ(device.flushes, 2U);
  EXPECT_FALSE(volume.current().commit_info()->one_barrier);
  EXPECT_EQ(volume.commit_sequence(), 1U);

  device.forget();
  ASSERT_TRUE(volume.close());
  EXPECT_EQ(device.writes, 0U);
}

TEST(VolumeTest, OpeningAndReadingNeverWrite) {
  CountingDevice device(kStoreBytes);
  {
    auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
  }
  device.forget();

  const auto volume = opened(device, 1);
  ASSERT_TRUE(volume.read(FileId::kTpmNvram));

  EXPECT_EQ(device.writes + device.flushes, 0U);
}

TEST(VolumeTest, WrongKeyIsRefusedAndLeavesTheVolumeLocked) {
  storage::MemoryDevice device(kStoreBytes);
  {
    auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
    ASSERT_TRUE(put(volume, FileId::kVmUniqueId, content_of(20, 2), Protection::kPlaintext));
  }
  auto volume = *Volume::open(device, HeaderSpacing::k512);

  const auto unlocked = volume.unlock(fixed_key(key_of(2)));

  ASSERT_FALSE(unlocked);
  EXPECT_EQ(unlocked.error().code, ErrorCode::kAuthentication);
  EXPECT_TRUE(volume.locked());
  EXPECT_EQ(volume.read(FileId::kTpmNvram).error().code, ErrorCode::kDenied);
  EXPECT_EQ(read_hex(volume, FileId::kVmUniqueId), base::to_hex(content_of(20, 2)));
  ASSERT_TRUE(volume.unlock(fixed_key(key_of(1))));
  EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(10, 1)));
}

TEST(VolumeTest, ALockedStoreGivesNoCiphertextForContentWhateverItsTableSays) {
  storage::MemoryDevice device(kStoreBytes);
  {
    auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(100, 1)));
    auto table = *volume.current().table();
    table[FileId::kTpmNvram]->attributes = 0;
    ASSERT_TRUE(device.write(
        std::uint64_t{volume.current().header().file_table_block} * format::kBlockBytes,
        format::encode_file_table(table)));
  }
  auto volume = *Volume::open(device, HeaderSpacing::k512);

  EXPECT_EQ(volume.read(FileId::kTpmNvram).error().code, ErrorCode::kDenied);
  Transaction over_it(Sequence::kEdit);
  over_it.on_locked_store();
  over_it.put(FileId::kTpmNvram, content_of(10, 2), Protection::kPlaintext);
  EXPECT_EQ(volume.commit(over_it).error().code, ErrorCode::kDenied);
}

TEST(VolumeTest, KeySourceSeesTheProtectorOfTheGeneration) {
  storage::MemoryDevice device(kStoreBytes);
  {
    auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(7));
    ASSERT_TRUE(put(volume, FileId::kSealedKeys, content_of(1, 7), Protection::kPlaintext));
  }
  auto volume = *Volume::open(device, HeaderSpacing::k512);

  // A protector that says in its one byte which key it is.
  const auto unlocked =
      volume.unlock([](const ProtectorReader& read) -> base::Result<DatastoreKey> {
        TRY_ASSIGN(protector, read(FileId::kSealedKeys));
        return key_of(std::to_integer<unsigned char>(protector.at(0)));
      });

  EXPECT_TRUE(unlocked);
}

TEST(VolumeTest, RekeyLeavesNoHeaderThatTheOldKeyOpens) {
  storage::MemoryDevice device(kStoreBytes);
  {
    auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
    ASSERT_TRUE(volume.rekey(key_of(2), Transaction(Sequence::kKeep)));
    EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(10, 1)));
    EXPECT_EQ(volume.commit_sequence(), 1U);
  }
  EXPECT_EQ(read_hex(opened(device, 2), FileId::kTpmNvram), base::to_hex(content_of(10, 1)));

  // With either header gone the old key must still open nothing.
  for (std::size_t slot = 0; slot < 2; ++slot) {
    storage::MemoryDevice damaged(device.contents());
    ASSERT_TRUE(clear_header(damaged, HeaderSpacing::k512, slot));
    auto volume = *Volume::open(damaged, HeaderSpacing::k512);
    EXPECT_FALSE(volume.unlock(fixed_key(key_of(1))));
    EXPECT_TRUE(volume.unlock(fixed_key(key_of(2))));
  }
}

TEST(VolumeTest, RefusesAnAllZeroKey) {
  storage::MemoryDevice device(kStoreBytes);
  EXPECT_EQ(Volume::format(device, HeaderSpacing::k512, key_of(0)).error().code,
            ErrorCode::kInvalidArgument);

  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  EXPECT_EQ(volume.rekey(key_of(0), Transaction()).error().code, ErrorCode::kInvalidArgument);
}

TEST(VolumeTest, EveryCommitHasFreshKeysAndNonces) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  std::map<std::string, int> seen;
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
    const auto& generation = volume.current();
    ++seen[base::to_hex(generation.extended().key(FileId::kTpmNvram).expose())];
    ++seen[base::to_hex(generation.extended().key(FileId::kExtendedFileTable).expose())];
    ++seen[base::to_hex(generation.header().key_slots[0]->nonce)];
  }
  EXPECT_EQ(seen.size(), 48U);
  EXPECT_FALSE(volume.current().extended().key(FileId::kExtendedFileTable).is_all_zero());
}

TEST(VolumeTest, BlocksOfTheCommittedGenerationAreNeverOverwritten) {
  // A store that is nearly full, so that placement has to reuse what it can.
  storage::MemoryDevice device(10 * 4096);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  for (unsigned char i = 0; i < 32; ++i) {
    const auto before = device.contents();
    const auto table = *volume.current().table();

    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(4096, i)));

    for (const auto& entry : table.entries) {
      if (entry) {
        const auto first = before.begin() + std::ptrdiff_t{entry->first_block} * 4096;
        const auto size = std::ptrdiff_t{entry->allocated_blocks} * 4096;
        const auto now = device.contents().begin() + std::ptrdiff_t{entry->first_block} * 4096;
        EXPECT_TRUE(std::equal(first, first + size, now));
      }
    }
  }
}

TEST(VolumeTest, AFullStoreRefusesAWriteButNotADelete) {
  storage::MemoryDevice device(16 * 4096);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(8 * 4096, 1)));

  const auto refused = put(volume, FileId::kTpmNvram, content_of(8 * 4096, 2));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDenied);
  EXPECT_NE(refused.error().message.find("no room"), std::string::npos);
  EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(8 * 4096, 1)));
  ASSERT_TRUE(put(volume, FileId::kTpmPpi, content_of(1, 1)));
  Transaction transaction;
  transaction.remove(FileId::kTpmNvram);
  EXPECT_TRUE(volume.commit(transaction));
}

TEST(VolumeTest, TheLastBlockOfAFileIsZeroPadded) {
  storage::MemoryDevice device(base::Bytes(kStoreBytes, std::byte{0xEE}));
  auto volume = *Volume::format(device, HeaderSpacing::k512, std::nullopt);

  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));

  const auto block = volume.files().at(0).first_block;
  EXPECT_TRUE(base::is_all_zero(
      std::span(device.contents()).subspan(std::size_t{block} * 4096 + 10, 4086)));
}

TEST(VolumeTest, RefusesTheTablesAsFiles) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, std::nullopt);

  for (const auto id : {FileId::kFileTable, FileId::kExtendedFileTable, static_cast<FileId>(64)}) {
    EXPECT_EQ(put(volume, id, content_of(1, 1)).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(volume.read(id).error().code, ErrorCode::kNotFound);
  }
}

TEST(VolumeTest, BlankAndForeignStoresAreToldApart) {
  storage::MemoryDevice blank(kStoreBytes);
  EXPECT_EQ(Volume::open(blank, HeaderSpacing::k512).error().code, ErrorCode::kNotFound);

  storage::MemoryDevice gpt(kStoreBytes);
  ASSERT_TRUE(gpt.write(512, base::bytes_of("EFI PART")));
  EXPECT_EQ(Volume::open(gpt, HeaderSpacing::k512).error().code, ErrorCode::kDenied);

  storage::MemoryDevice noise(content_of(kStoreBytes, 3));
  EXPECT_EQ(Volume::open(noise, HeaderSpacing::k512).error().code, ErrorCode::kCorrupt);

  storage::MemoryDevice tiny(4096);
  EXPECT_EQ(Volume::open(tiny, HeaderSpacing::k512).error().code, ErrorCode::kCorrupt);
}

TEST(VolumeTest, RefusesToFormatWhatCouldNeverBeRewritten) {
  storage::MemoryDevice device(format::kSmallestStoreBytes - 4096);
  EXPECT_EQ(Volume::format(device, HeaderSpacing::k512, key_of(1)).error().code,
            ErrorCode::kInvalidArgument);

  storage::MemoryDevice smallest(format::kSmallestStoreBytes);
  auto volume = *Volume::format(smallest, HeaderSpacing::k512, key_of(1));
  for (unsigned char i = 0; i < 8; ++i) {
    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(4096, i)));
  }
}

TEST(VolumeTest, ALockedStoreTakesPlaintextFilesOnRequestOnlyAndIsEditedThen) {
  storage::MemoryDevice device(kStoreBytes);
  {
    auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
    ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
  }
  auto volume = *Volume::open(device, HeaderSpacing::k512);
  const auto id_file = content_of(20, 2);
  EXPECT_EQ(put(volume, FileId::kVmUniqueId, id_file, Protection::kPlaintext).error().code,
            ErrorCode::kDenied);
  Transaction over_encrypted(Sequence::kEdit);
  over_encrypted.on_locked_store();
  over_encrypted.put(FileId::kTpmNvram, id_file, Protection::kPlaintext);
  EXPECT_EQ(volume.commit(over_encrypted).error().code, ErrorCode::kDenied);

  Transaction transaction(Sequence::kEdit);
  transaction.on_locked_store();
  transaction.put(FileId::kVmUniqueId, id_file, Protection::kPlaintext);
  ASSERT_TRUE(volume.commit(transaction));

  auto again = opened(device, 1);
  ASSERT_EQ(again.findings().size(), 2U);
  EXPECT_EQ(again.findings()[0].code, "edited-without-key");
  EXPECT_EQ(again.findings()[1].code, "auth-failure");  // the new file has no digest
  EXPECT_EQ(again.findings()[1].where, "VM_UNIQUE_ID (7)");
  EXPECT_EQ(read_hex(again, FileId::kTpmNvram), base::to_hex(content_of(10, 1)));
  EXPECT_EQ(again.recover().error().code, ErrorCode::kDenied);
  EXPECT_EQ(put(again, FileId::kTpmNvram, id_file).error().code, ErrorCode::kDenied);
}

TEST(VolumeTest, AToolsEditEndsTheCommitSequence) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  EXPECT_TRUE(volume.edited());
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
  EXPECT_FALSE(volume.edited());

  const auto content = content_of(10, 2);
  Transaction edit(Sequence::kEdit, Barriers::kTwo);
  edit.put(FileId::kTpmNvram, content);
  ASSERT_TRUE(volume.commit(edit));

  EXPECT_TRUE(opened(device, 1).edited());
}

}  // namespace
}  // namespace vmgs::volume
