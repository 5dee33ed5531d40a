// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/examine.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "tests/support/error_code.h"
#include "tests/support/golden.h"
#include "tests/support/lying_disk.h"
#include "vmgs/crypto/aead.h"
#include "vmgs/format/extended_table.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/header.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/format/vhd_footer.h"
#include "vmgs/repair/plan.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

namespace vmgs::repair {
namespace {

using format::FileId;
using format::HeaderSpacing;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using volume::Severity;

volume::DatastoreKey key_of(int value) {
  volume::DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), static_cast<std::byte>(value));
  return key;
}

std::vector<std::string> codes(const Examination& examination) {
  std::vector<std::string> result;
  for (const auto& finding : examination.findings) {
    result.push_back(finding.code);
  }
  return result;
}

auto finding(Severity severity, const std::string& code, const std::string& where) {
  return AllOf(Field(&volume::Finding::severity, severity), Field(&volume::Finding::code, code),
               Field(&volume::Finding::where, where));
}

// A store in memory that tests spoil byte by byte.
class Store {
 public:
  explicit Store(std::optional<volume::DatastoreKey> key)
      : device_(std::make_unique<storage::MemoryDevice>(std::uint64_t{64} * format::kBlockBytes)) {
    auto volume = volume::Volume::format(*device_, HeaderSpacing::k512, std::move(key));
    EXPECT_TRUE(volume);
    volume_.emplace(*std::move(volume));
  }

  explicit Store(const tests::support::GoldenImage& image)
      : device_(std::make_unique<storage::MemoryDevice>(tests::support::golden_bytes(image))) {}

  void put(FileId id, std::size_t size,
           volume::Protection protection = volume::Protection::kAsStore) {
    volume::Transaction transaction;
    const base::Bytes content(size, std::byte{0x42});
    transaction.put(id, content, protection);
    const auto committed = volume_->commit(transaction);
    ASSERT_TRUE(committed) << committed.error().message;
  }

  [[nodiscard]] Examination examine(const volume::DatastoreKey* key = nullptr) {
    auto result = repair::examine(*device_, HeaderSpacing::k512, key);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *std::move(result) : Examination{};
  }

  // The newest valid header's slot.
  [[nodiscard]] std::size_t newest() {
    const auto first = format::decode_header(raw_header(0));
    const auto second = format::decode_header(raw_header(1));
    return second && (!first || format::follows(second->sequence, first->sequence)) ? 1 : 0;
  }

  // change_header() edits a header and makes its checksum right again.
  void change_header(std::size_t slot, const std::function<void(format::HeaderLayout&)>& edit) {
    auto raw = base::load<format::HeaderLayout>(raw_header(slot));
    edit(raw);
    raw.checksum = format::header_checksum(base::view(raw));
    write(slot * 512, base::view(raw));
  }

  format::HeaderLayout header_layout(std::size_t slot) {
    return base::load<format::HeaderLayout>(raw_header(slot));
  }

  void change_entry(FileId id, const std::function<void(format::FileEntryLayout&)>& edit) {
    const auto at = entry_offset(id);
    auto raw = entry(id);
    edit(raw);
    write(at, base::view(raw));
  }

  format::FileEntryLayout entry(FileId id) {
    return base::load<format::FileEntryLayout>(
        std::span(device_->contents()).subspan(entry_offset(id)).first<64>());
  }

  void write(std::size_t offset, base::ByteView bytes) {
    ASSERT_TRUE(device_->write(offset, bytes));
  }

  // reseal() edits the opened extended table and seals it again, as a writer with the key would.
  void reseal(const volume::DatastoreKey& key,
              const std::function<void(std::span<std::byte, format::kBlockBytes>)>& edit) {
    const auto header = *format::decode_header(raw_header(newest()));
    const auto& slot = *header.key_slots[0];
    const auto metadata_key = crypto::AeadKey::filled_by([&](std::span<std::byte, 32> out) {
      return crypto::open(key.bytes, slot.nonce, {}, slot.tag, slot.wrapped_key, out);
    });
    ASSERT_TRUE(metadata_key);
    change_entry(FileId::kExtendedFileTable, [&](format::FileEntryLayout& sealed) {
      const std::size_t at = std::size_t{sealed.first_block.value()} * format::kBlockBytes;
      format::Block block{};
      ASSERT_TRUE(crypto::open(*metadata_key, sealed.nonce, {}, sealed.tag,
                               std::span(device_->contents()).subspan(at, block.size()), block));
      edit(block);
      const auto tag = crypto::seal(*metadata_key, sealed.nonce, {}, block, block);
      ASSERT_TRUE(tag);
      sealed.tag = *tag;
      write(at, block);
    });
  }

  storage::MemoryDevice& device() { return *device_; }

 private:
  format::HeaderBytes raw_header(std::size_t slot) {
    return std::span(device_->contents()).subspan(slot * 512).first<format::kHeaderBytes>();
  }

  std::size_t entry_offset(FileId id) {
    const auto table = header_layout(newest()).file_table_block.value();
    return std::size_t{table} * format::kBlockBytes + format::index(id) * 64;
  }

  std::unique_ptr<storage::MemoryDevice> device_;  // where the volume expects it, moves or not
  std::optional<volume::Volume> volume_;
};

// A plaintext store with two commits, so that both headers are in use.
Store plaintext_store() {
  Store store{std::optional<volume::DatastoreKey>()};
  store.put(FileId::kBiosNvram, 100);
  return store;
}

// An encrypted one with a sealed and a plaintext file, committed by an instance.
Store encrypted_store() {
  Store store(key_of(1));
  store.put(FileId::kBiosNvram, 100);
  store.put(FileId::kVmUniqueId, 20, volume::Protection::kPlaintext);
  return store;
}

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

TEST(ExamineTest, WarnsOfFilesOfTheWrongSize) {
  Store store{std::optional<volume::DatastoreKey>()};
  store.put(FileId::kTpmPpi, 27);
  store.put(FileId::kTpmNvram, 1000);
  store.put(FileId::kRtcSkew, 8);
  store.put(FileId::kGuestWatchdog, 2);
  store.put(FileId::kHwKeyProtector, 128);
  store.put(FileId::kHibernationToken, 0);

  std::vector<std::string> wrong;
  for (const auto& found : store.examine().findings) {
    if (found.code == "wrong-size") {
      EXPECT_EQ(found.severity, Severity::kWarning);
      wrong.push_back(found.where);
    }
  }
  EXPECT_THAT(wrong, ElementsAre("TPM_PPI (2)", "GUEST_WATCHDOG (10)", "HIBERNATION_TOKEN (14)",
                                 "TPM_NVRAM (3)"));
}

TEST(ExamineTest, KnowsTheTwoSizesOfATpmStateOfOthers) {
  for (const std::size_t size : {std::size_t{16384}, std::size_t{32768}}) {
    Store store{std::optional<volume::DatastoreKey>()};
    store.put(FileId::kTpmNvram, size);

    EXPECT_THAT(codes(store.examine()), Not(Contains("wrong-size")));
  }
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

TEST(ExamineTest, SaysWhatATpmStateOfOthersIsAndWhenOursIsDamaged) {
  Store store{std::optional<volume::DatastoreKey>()};
  store.put(FileId::kTpmNvram, 32768);
  EXPECT_THAT(codes(store.examine()), ElementsAre("foreign-tpm-state"));

  const base::Bytes zeros(32);
  format::TpmState state;
  state.blob = zeros;
  const auto ours = format::encode_tpm_state(state);
  store.put(FileId::kTpmNvram, ours.size());
  const auto at =
      std::size_t{store.entry(FileId::kTpmNvram).first_block.value()} * format::kBlockBytes;
  store.write(at, ours.expose());
  EXPECT_THAT(codes(store.examine()), IsEmpty());

  store.write(at + ours.size() - 1, base::bytes_of("x"));
  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kError, "bad-content", "TPM_NVRAM (3)")));
}

TEST(ExamineTest, ReportsProtectorsAndRecordsThatDoNotDecode) {
  Store store{std::optional<volume::DatastoreKey>()};
  store.put(FileId::kSealedKeys, 224);
  store.put(FileId::kRecord, 10);

  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kError, "bad-content", "SEALED_KEYS (48)"),
                          finding(Severity::kError, "bad-content", "RECORD (49)")));
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

// Stores of other makers have no digests, so their tables can be changed and still open.
class ExamineForeignTest : public ::testing::Test {
 protected:
  const tests::support::GoldenImage& image_ = tests::support::golden_image("02");
  const volume::DatastoreKey key_{base::Secret<32>::copy_of(image_.keys[0])};
  Store store_{image_};
};

TEST_F(ExamineForeignTest, FindsAKeyOfAFileThatSomebodyRemoved) {
  store_.change_entry(static_cast<FileId>(45), [](auto& raw) { raw = {}; });

  EXPECT_THAT(store_.examine(&key_).findings,
              Contains(finding(Severity::kWarning, "orphan-key", "file 45")));
}

TEST_F(ExamineForeignTest, BelievesTheSealedTableAboutEncryption) {
  store_.change_entry(FileId::kBiosNvram, [](auto& raw) { raw.attributes = 0; });
  store_.change_entry(FileId::kKeyProtector, [](auto& raw) { raw.attributes = 3; });

  const auto examination = store_.examine(&key_);

  // An older writer left the attributes of an encrypted file zero; the file still opens.
  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kWarning, "attributes-differ", "BIOS_NVRAM (1)")));
  EXPECT_THAT(examination.findings,
              Not(Contains(finding(Severity::kError, "auth-failure", "BIOS_NVRAM (1)"))));
  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kError, "auth-failure", "KEY_PROTECTOR (6)")));
}

TEST_F(ExamineForeignTest, WarnsOfBitsThatNobodyKnowsInTheSealedTable) {
  const auto with = [this](std::size_t offset, int value) {
    Store store(image_);
    store.reseal(key_, [&](std::span<std::byte, format::kBlockBytes> table) {
      table[offset] = static_cast<std::byte>(value);
    });
    return store.examine(&key_).findings;
  };
  constexpr std::size_t kEntry1 = 64;

  EXPECT_THAT(with(kEntry1, 7),
              Contains(finding(Severity::kWarning, "unknown-bits", "BIOS_NVRAM (1)")));
  EXPECT_THAT(with(kEntry1 + 36, 1),
              Contains(finding(Severity::kWarning, "unknown-bits", "BIOS_NVRAM (1)")));
  EXPECT_THAT(with(4, 1),
              Contains(finding(Severity::kWarning, "unknown-bits", "EXTENDED_FILE_TABLE (63)")));
}

TEST(ExamineTest, WarnsOfBitsOfALaterVersionOfOurs) {
  const auto key = key_of(1);
  for (const std::size_t offset : {std::size_t{0}, std::size_t{9}, std::size_t{35}}) {
    auto store = encrypted_store();
    store.reseal(key, [&](std::span<std::byte, format::kBlockBytes> table) {
      table[offset] |= std::byte{2};  // attributes, flags, reserved of entry 0
    });

    EXPECT_THAT(store.examine(&key).findings,
                Contains(finding(Severity::kWarning, "unknown-bits", "EXTENDED_FILE_TABLE (63)")))
        << offset;
  }
}

TEST(ExamineTest, NotesContentThatAToolMade) {
  Store store(key_of(1));
  const auto key = key_of(1);

  EXPECT_THAT(codes(store.examine(&key)), ElementsAre("edited"));
}

base::Bytes as_vhd(base::Bytes content, std::uint64_t disk_bytes) {
  const auto footer = *format::make_vhd_footer(disk_bytes, {});
  content.insert(content.end(), base::view(footer.raw).begin(), base::view(footer.raw).end());
  return content;
}

TEST(ExamineWholeTest, WarnsOfRoomBetweenDiskAndFooter) {
  auto content = plaintext_store().device().contents();
  const auto disk_bytes = content.size();
  content.resize(content.size() + 1024);
  storage::MemoryDevice whole(as_vhd(std::move(content), disk_bytes));

  const auto findings = examine_whole(whole, {}, nullptr);

  ASSERT_TRUE(findings);
  EXPECT_THAT(*findings, ElementsAre(finding(Severity::kWarning, "vhd-slack", "VHD footer")));
}

TEST(ExamineWholeTest, MissesTheFooterOfAFileThatIsAsLongAsOneWithIt) {
  auto content = plaintext_store().device().contents();
  content.resize(content.size() + format::kVhdFooterBytes);
  storage::MemoryDevice whole(content);

  const auto findings = examine_whole(whole, {}, nullptr);

  ASSERT_TRUE(findings);
  EXPECT_THAT(*findings, ElementsAre(finding(Severity::kWarning, "missing-footer", "VHD footer")));
}

TEST(ExamineWholeTest, SaysThatAVhdHasItsOwnSectors) {
  const auto content = plaintext_store().device().contents();
  storage::MemoryDevice whole(as_vhd(content, content.size()));

  const auto findings = examine_whole(whole, {.spacing = format::HeaderSpacing::k4096}, nullptr);

  ASSERT_TRUE(findings);
  EXPECT_THAT(*findings, ElementsAre(finding(Severity::kError, "bad-container", "container")));
}

}  // namespace
}  // namespace vmgs::repair
