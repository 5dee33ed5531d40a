// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/examine.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <utility>

#include "tests/support/error_code.h"
#include "tests/support/lying_disk.h"
#include "vmgs/format/extended_table.h"
#include "vmgs/repair/examined_store.h"
#include "vmgs/storage/memory.h"

namespace vmgs::repair {
namespace {

using format::FileId;
using format::HeaderSpacing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using volume::Severity;

TEST(ExamineTest, FindsNothingInAWholePlaintextStore) {
  EXPECT_THAT(plaintext_store().examine().findings, IsEmpty());
}

TEST(ExamineTest, FindsOnlyNotesInAWholeEncryptedStore) {
  const auto key = key_of(1);

  const auto examination = encrypted_store().examine(&key);

  EXPECT_THAT(codes(examination), ElementsAre("one-barrier"));
  EXPECT_TRUE(examination.clean());
}

TEST(ExamineTest, CountsWhatItCannotSeeWithoutTheKey) {
  const auto examination = encrypted_store().examine();

  ASSERT_THAT(codes(examination), ElementsAre("locked"));
  EXPECT_THAT(examination.findings[0].message, HasSubstr("1 encrypted file"));
}

TEST(ExamineTest, NamesADeviceWithoutRoomForHeaders) {
  storage::MemoryDevice device(4096);

  const auto examination = examine(device, HeaderSpacing::k512, nullptr);

  ASSERT_TRUE(examination);
  EXPECT_THAT(codes(*examination), ElementsAre("too-short"));
  EXPECT_FALSE(examination->clean());
}

TEST(ExamineTest, PassesOnThatTheDeviceCannotBeRead) {
  tests::support::LyingDisk disk{
      tests::support::DiskImage(base::Bytes(plaintext_store().device().contents()))};
  for (std::uint64_t nth = 1; nth <= 3; ++nth) {  // headers, newest table, older table
    auto copy = disk;
    copy.fail_read(nth);

    EXPECT_EQ(tests::support::error_code(examine(copy, HeaderSpacing::k512, nullptr)),
              base::ErrorCode::kIo);
  }
}

TEST(ExamineTest, PassesOnThatTheSealedTableCannotBeRead) {
  tests::support::LyingDisk disk{
      tests::support::DiskImage(base::Bytes(encrypted_store().device().contents()))};
  disk.fail_read(4);
  const auto key = key_of(1);

  EXPECT_EQ(tests::support::error_code(examine(disk, HeaderSpacing::k512, &key)),
            base::ErrorCode::kIo);
}

TEST(ExamineTest, ReportsABlankSlotThatShouldNotBe) {
  auto store = plaintext_store();
  const auto lost = 1 - store.newest();
  store.write(lost * 512, base::Bytes(512));

  const auto examination = store.examine();

  EXPECT_THAT(examination.findings, ElementsAre(finding(Severity::kWarning, "bad-header",
                                                        "header slot " + std::to_string(lost))));
}

TEST(ExamineTest, ReportsAFileTablePastTheEnd) {
  auto store = plaintext_store();
  store.change_header(store.newest(), [](auto& raw) { raw.file_table_block = 64; });

  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kError, "bad-file-table", "FILE_TABLE (0)")));
}

TEST(ExamineTest, ReportsEveryBadEntryAndNotOnlyTheFirst) {
  auto store = plaintext_store();
  store.change_entry(FileId::kTpmPpi, [](auto& raw) {
    raw.first_block = 1;
    raw.allocated_blocks = 1;
  });
  store.change_entry(FileId::kTpmNvram, [](auto& raw) {
    raw.first_block = 10;
    raw.allocated_blocks = 0xFFFFFFF8;
  });
  store.change_entry(FileId::kAttest, [](auto& raw) {
    raw.first_block = 12;
    raw.allocated_blocks = 1;
    raw.valid_bytes = 4097;
  });

  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kError, "bad-entry", "TPM_PPI (2)"),
                          finding(Severity::kError, "bad-entry", "TPM_NVRAM (3)"),
                          finding(Severity::kError, "bad-entry", "ATTEST (5)")));
}

TEST(ExamineTest, ReportsEveryPairThatOverlaps) {
  auto store = plaintext_store();
  const auto block = store.entry(FileId::kBiosNvram).first_block.value();
  for (const auto id : {FileId::kAttest, FileId::kCustomUefi}) {
    store.change_entry(id, [block](auto& raw) {
      raw.first_block = block;
      raw.allocated_blocks = 1;
      raw.valid_bytes = 1;
    });
  }

  EXPECT_THAT(
      store.examine().findings,
      ElementsAre(finding(Severity::kError, "overlap", "BIOS_NVRAM (1) and ATTEST (5)"),
                  finding(Severity::kError, "overlap", "BIOS_NVRAM (1) and CUSTOM_UEFI (9)"),
                  finding(Severity::kError, "overlap", "ATTEST (5) and CUSTOM_UEFI (9)")));
}

TEST(ExamineTest, SeesAFileOverTheLiveTableEvenIfEntryZeroHidesIt) {
  auto store = plaintext_store();
  const auto table = store.entry(FileId::kFileTable).first_block.value();
  store.change_entry(FileId::kAttest, [table](auto& raw) {
    raw.first_block = table;
    raw.allocated_blocks = 1;
    raw.valid_bytes = 1;
  });
  store.change_entry(FileId::kFileTable, [](auto& raw) { raw.first_block = 50; });

  EXPECT_THAT(codes(store.examine()), ElementsAre("bad-self-entry", "overlap"));
}

TEST(ExamineTest, ReportsAMissingEntryZero) {
  auto store = plaintext_store();
  store.change_entry(FileId::kFileTable, [](auto& raw) { raw = {}; });

  EXPECT_THAT(codes(store.examine()), ElementsAre("bad-self-entry"));
}

TEST(ExamineTest, ReportsAnExtendedTableThatIsNotThereOrNotWhole) {
  auto encrypted = encrypted_store();
  encrypted.change_entry(FileId::kExtendedFileTable, [](auto& raw) { raw.valid_bytes = 4095; });
  EXPECT_THAT(encrypted.examine().findings, Contains(finding(Severity::kError, "bad-extended-entry",
                                                             "EXTENDED_FILE_TABLE (63)")));
  encrypted.change_entry(FileId::kExtendedFileTable, [](auto& raw) { raw = {}; });
  EXPECT_THAT(codes(encrypted.examine()), Contains("bad-extended-entry"));

  auto plaintext = plaintext_store();
  plaintext.change_entry(FileId::kExtendedFileTable, [](auto& raw) { raw = {}; });
  const auto examination = plaintext.examine();
  EXPECT_THAT(codes(examination), ElementsAre("bad-extended-entry"));
  EXPECT_TRUE(examination.clean());
}

TEST(ExamineTest, WarnsOfWastedBlocks) {
  auto store = plaintext_store();
  store.change_entry(FileId::kBiosNvram, [](auto& raw) {
    raw.allocated_blocks = 2;
    raw.valid_bytes = 4096;
  });

  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kWarning, "extra-blocks", "BIOS_NVRAM (1)")));
}

TEST(ExamineTest, WarnsOfBitsThatNobodyKnows) {
  auto store = plaintext_store();
  store.change_entry(FileId::kBiosNvram, [](auto& raw) { raw.attributes = 4; });
  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kWarning, "unknown-bits", "BIOS_NVRAM (1)")));

  store = plaintext_store();
  store.change_entry(FileId::kBiosNvram, [](auto& raw) { raw.reserved[15] = std::byte{1}; });
  EXPECT_THAT(codes(store.examine()), ElementsAre("unknown-bits"));

  store = plaintext_store();
  store.change_header(store.newest(), [](auto& raw) { raw.markers = 2; });
  EXPECT_THAT(codes(store.examine()), ElementsAre("unknown-bits"));

  store = plaintext_store();
  store.change_header(store.newest(), [](auto& raw) { raw.key_slots[1].reserved = 1; });
  EXPECT_THAT(codes(store.examine()), ElementsAre("unknown-bits"));
}

TEST(ExamineTest, ReportsAStoreThatWasMadeToLookUnprotected) {
  auto store = encrypted_store();
  store.change_header(store.newest(), [](auto& raw) { raw.encryption_algorithm = 0; });

  const auto examination = store.examine();

  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kError, "downgrade",
                               "header slot " + std::to_string(store.newest()))));
  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kError, "downgrade", "BIOS_NVRAM (1)")));
  EXPECT_THAT(codes(examination), Not(Contains("unreadable-file")));  // once is enough

  // Whoever has a key knows better than the header.
  store.change_header(store.newest(), [](auto& raw) { raw.key_slots = {}; });
  const auto key = key_of(1);
  EXPECT_THAT(codes(store.examine(&key)), Contains("not-encrypted"));
}

TEST(ExamineTest, TakesAKeyForAPlaintextStoreAsASignOfADowngrade) {
  auto store = plaintext_store();
  const auto key = key_of(1);

  const auto examination = store.examine(&key);

  EXPECT_THAT(codes(examination), ElementsAre("not-encrypted"));
  EXPECT_FALSE(examination.clean());
}

TEST(ExamineTest, ReportsAnEncryptedStoreWithoutKeySlots) {
  auto store = encrypted_store();
  store.change_header(store.newest(), [](auto& raw) { raw.key_slots = {}; });
  const auto key = key_of(1);

  EXPECT_THAT(codes(store.examine()), Contains("no-key-slot"));
  EXPECT_THAT(codes(store.examine(&key)), Contains("no-key-slot"));
  EXPECT_THAT(codes(store.examine(&key)), Not(Contains("wrong-key")));
}

TEST(ExamineTest, TellsAStaleKeyFromAWrongOne) {
  auto store = encrypted_store();
  const auto older_slot = store.header_layout(1 - store.newest()).key_slots[0];
  store.change_header(store.newest(), [&](auto& raw) { raw.key_slots[0] = older_slot; });
  store.write((1 - store.newest()) * 512, base::Bytes(512));
  const auto key = key_of(1);
  const auto other = key_of(2);

  EXPECT_THAT(store.examine(&key).findings,
              Contains(finding(Severity::kError, "stale-key", "key")));
  EXPECT_THAT(store.examine(&other).findings,
              Contains(finding(Severity::kError, "wrong-key", "key")));
}

TEST(ExamineTest, WarnsOfAnOldKeyInTheOlderHeader) {
  auto store = encrypted_store();
  store.change_header(1 - store.newest(),
                      [](auto& raw) { std::swap(raw.key_slots[0], raw.key_slots[1]); });
  const auto key = key_of(1);

  EXPECT_THAT(store.examine(&key).findings,
              Contains(finding(Severity::kWarning, "old-key-remains",
                               "header slot " + std::to_string(1 - store.newest()))));
}

TEST(ExamineTest, ReportsThatATornCommitWasPassedOver) {
  auto store = encrypted_store();
  const auto sealed = store.entry(FileId::kExtendedFileTable).first_block.value();
  store.write(std::size_t{sealed} * format::kBlockBytes, base::Bytes(512));
  // What is wrong with the torn generation does not count.
  store.change_entry(FileId::kAttest, [](auto& raw) { raw.allocated_blocks = 1; });
  const auto key = key_of(1);

  const auto examination = store.examine(&key);

  EXPECT_THAT(codes(examination), Contains("fell-back"));
  EXPECT_TRUE(examination.clean()) << ::testing::PrintToString(codes(examination));
}

TEST(ExamineTest, ReportsAFileTableThatWasChangedWithoutTheKey) {
  auto store = encrypted_store();
  store.reseal(key_of(1), [](std::span<std::byte, format::kBlockBytes> table) {
    table[8] &= ~std::byte{1};  // flags of the commit info: with two barriers nothing is torn
  });
  store.change_entry(FileId::kVmUniqueId, [](auto& raw) { raw = {}; });
  const auto key = key_of(1);

  const auto examination = store.examine(&key);

  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kError, "edited-without-key", "file table")));
  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kWarning, "orphan-key", "VM_UNIQUE_ID (7)")));
}

TEST(ExamineTest, ReportsAPlaintextFileThatDoesNotMatchItsDigest) {
  auto store = encrypted_store();
  store.put(FileId::kBiosNvram, 50);  // so that the plaintext file is older than the newest commit
  const auto block = store.entry(FileId::kVmUniqueId).first_block.value();
  store.write(std::size_t{block} * format::kBlockBytes, base::Bytes(1));
  const auto key = key_of(1);

  EXPECT_THAT(store.examine(&key).findings,
              Contains(finding(Severity::kError, "auth-failure", "VM_UNIQUE_ID (7)")));
}

TEST(ExamineTest, CallsALostWriteByItsName) {
  auto store = encrypted_store();
  store.put(FileId::kVmUniqueId, 20, volume::Protection::kPlaintext);
  const auto block = store.entry(FileId::kBiosNvram).first_block.value();
  store.write(std::size_t{block} * format::kBlockBytes, base::Bytes(100));
  const auto key = key_of(1);

  const auto examination = store.examine(&key);

  ASSERT_THAT(examination.findings,
              Contains(finding(Severity::kError, "auth-failure", "BIOS_NVRAM (1)")));
  EXPECT_THAT(examination.findings[0].message, HasSubstr("lost write"));
}

TEST(ExamineTest, ExaminesBothGenerationsWhenNeitherIsKnownToBeNewer) {
  auto store = plaintext_store();
  store.change_entry(FileId::kBiosNvram, [](auto& raw) { raw.attributes = 4; });
  const auto newest = store.newest();
  store.change_header(newest, [](auto& raw) { raw.sequence = raw.sequence.value() + 5; });
  store.change_header(1 - newest, [](auto& raw) { raw.file_table_block = 64; });

  EXPECT_THAT(store.examine().findings,
              ::testing::UnorderedElementsAre(
                  finding(Severity::kError, "sequence-gap", "headers"),
                  finding(Severity::kError, "bad-file-table",
                          "behind slot " + std::to_string(1 - newest) + ", FILE_TABLE (0)"),
                  finding(Severity::kWarning, "unknown-bits",
                          "behind slot " + std::to_string(newest) + ", BIOS_NVRAM (1)")));
}

TEST(ExamineTest, ReportsAFileThatTheDiskCannotRead) {
  auto store = plaintext_store();
  tests::support::LyingDisk disk{tests::support::DiskImage(base::Bytes(store.device().contents()))};
  disk.fail_read(5);  // headers, two tables, the table again, then the file

  const auto examination = examine(disk, HeaderSpacing::k512, nullptr);

  ASSERT_TRUE(examination);
  EXPECT_THAT(examination->findings,
              ElementsAre(finding(Severity::kError, "unreadable-file", "BIOS_NVRAM (1)")));
}

// Shows zeros when one place is read for the first time, and the truth from then on.
class FlickeringDevice final : public storage::BlockDevice {
 public:
  FlickeringDevice(storage::BlockDevice& device, std::uint64_t offset)
      : device_(device), offset_(offset) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return device_.size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    if (offset == offset_ && !std::exchange(was_read_, true)) {
      std::ranges::fill(out, std::byte{0});
      return {};
    }
    return device_.read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    return device_.write(offset, bytes);
  }

  base::Result<void> flush() override { return device_.flush(); }

 private:
  storage::BlockDevice& device_;
  std::uint64_t offset_;
  bool was_read_ = false;
};

TEST(ExamineTest, IsNotFooledByADiskThatShowsAGoodTableTheSecondTime) {
  auto store = plaintext_store();
  const auto table = store.entry(FileId::kFileTable).first_block.value();
  FlickeringDevice device(store.device(), std::uint64_t{table} * format::kBlockBytes);

  const auto examination = examine(device, HeaderSpacing::k512, nullptr);

  ASSERT_TRUE(examination);
  EXPECT_THAT(examination->findings,
              ElementsAre(finding(Severity::kError, "bad-file-table", "FILE_TABLE (0)")));
}

}  // namespace
}  // namespace vmgs::repair
