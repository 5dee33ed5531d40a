// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
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

// What a run of commits left on a device, so that a test can put damage between two of them.
class DamagedVolumeTest : public testing::Test {
 protected:
  DamagedVolumeTest() : device_(kStoreBytes) {
    auto volume = *Volume::format(device_, HeaderSpacing::k512, key_of(1));
    EXPECT_TRUE(put(volume, FileId::kBiosNvram, content_of(300, 1)));
    EXPECT_TRUE(put(volume, FileId::kSealedKeys, content_of(224, 2), Protection::kPlaintext));
    EXPECT_TRUE(put(volume, FileId::kTpmNvram, content_of(5000, 3)));
    before_ = files_of(volume);
    sequence_before_ = volume.commit_sequence();
    EXPECT_TRUE(put(volume, FileId::kTpmNvram, content_of(5000, 4)));
    after_ = *volume.current().table();
  }

  static std::map<FileId, std::uint32_t> files_of(const Volume& volume) {
    std::map<FileId, std::uint32_t> blocks;
    for (const auto& file : volume.files()) {
      blocks[file.id] = file.first_block;
    }
    return blocks;
  }

  void flip_bit_in_block(std::uint32_t block) {
    std::array<std::byte, 1> byte{};
    ASSERT_TRUE(device_.read(std::uint64_t{block} * 4096 + 7, byte));
    byte[0] ^= std::byte{1};
    ASSERT_TRUE(device_.write(std::uint64_t{block} * 4096 + 7, byte));
  }

  [[nodiscard]] std::uint32_t block_of(FileId id) const { return after_[id]->first_block; }

  void expect_fell_back() {
    auto volume = opened(device_, 1);
    ASSERT_EQ(volume.findings().size(), 1U);
    EXPECT_EQ(volume.findings()[0].code, "fell-back");
    EXPECT_EQ(volume.commit_sequence(), sequence_before_);
    EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(5000, 3)));

    // Recovery makes both headers agree, and then nothing is out of the ordinary any more.
    ASSERT_TRUE(volume.recover());
    auto again = opened(device_, 1);
    EXPECT_TRUE(again.findings().empty());
    EXPECT_EQ(again.commit_sequence(), sequence_before_);
    ASSERT_TRUE(put(again, FileId::kTpmNvram, content_of(100, 9)));
    EXPECT_EQ(read_hex(opened(device_, 1), FileId::kTpmNvram), base::to_hex(content_of(100, 9)));
  }

  storage::MemoryDevice device_;
  std::map<FileId, std::uint32_t> before_;
  std::uint64_t sequence_before_ = 0;
  format::FileTable after_;
};

TEST_F(DamagedVolumeTest, FallsBackWhenTheNewestFileIsTorn) {
  flip_bit_in_block(block_of(FileId::kTpmNvram));

  expect_fell_back();
}

TEST_F(DamagedVolumeTest, FallsBackWhenTheNewestExtendedTableIsTorn) {
  flip_bit_in_block(block_of(FileId::kExtendedFileTable));

  expect_fell_back();
}

TEST_F(DamagedVolumeTest, FallsBackWhenTheNewestFileTableIsTorn) {
  flip_bit_in_block(block_of(FileId::kFileTable));

  expect_fell_back();
}

TEST_F(DamagedVolumeTest, DamageToAnOldFileNeverRollsBack) {
  flip_bit_in_block(block_of(FileId::kBiosNvram));

  auto volume = opened(device_, 1);

  EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(5000, 4)));
  EXPECT_EQ(volume.read(FileId::kBiosNvram).error().code, ErrorCode::kAuthentication);
  ASSERT_EQ(volume.findings().size(), 1U);
  EXPECT_EQ(volume.findings()[0].code, "auth-failure");
  EXPECT_TRUE(volume.recover());
  EXPECT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 5)));
}

TEST_F(DamagedVolumeTest, DamageToAnOldPlaintextFileIsNoticed) {
  flip_bit_in_block(block_of(FileId::kSealedKeys));

  auto volume = opened(device_, 1);

  EXPECT_EQ(volume.read(FileId::kSealedKeys).error().code, ErrorCode::kAuthentication);
  EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(5000, 4)));
}

TEST_F(DamagedVolumeTest, FallsBackPastATornFileEvenIfAnOlderOneIsBadToo) {
  flip_bit_in_block(block_of(FileId::kBiosNvram));
  flip_bit_in_block(block_of(FileId::kTpmNvram));

  auto volume = opened(device_, 1);

  ASSERT_FALSE(volume.findings().empty());
  EXPECT_EQ(volume.findings()[0].code, "fell-back");
  EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(5000, 3)));
  EXPECT_FALSE(volume.read(FileId::kBiosNvram));
}

TEST_F(DamagedVolumeTest, NothingRollsBackAfterACleanClose) {
  {
    auto volume = opened(device_, 1);
    ASSERT_TRUE(volume.close());
    after_ = *volume.current().table();
  }
  flip_bit_in_block(block_of(FileId::kTpmNvram));

  auto volume = opened(device_, 1);

  EXPECT_EQ(volume.findings().at(0).code, "auth-failure");
  EXPECT_EQ(volume.read(FileId::kTpmNvram).error().code, ErrorCode::kAuthentication);
}

TEST_F(DamagedVolumeTest, OnlyOneHeaderLeftIsReported) {
  ASSERT_TRUE(clear_header(device_, HeaderSpacing::k512, opened(device_, 1).current().slot()));

  const auto volume = opened(device_, 1);

  ASSERT_EQ(volume.findings().size(), 1U);
  EXPECT_EQ(volume.findings()[0].code, "bad-header");
  EXPECT_EQ(read_hex(volume, FileId::kTpmNvram), base::to_hex(content_of(5000, 3)));
}

TEST_F(DamagedVolumeTest, AnErasedEntryIsNoticed) {
  // Whoever owns the storage erases the TPM's entry and mends the header's reach: the table digest
  // tells, where others would take the store for a first boot.
  auto table = after_;
  table[FileId::kTpmNvram].reset();
  ASSERT_TRUE(device_.write(std::uint64_t{block_of(FileId::kFileTable)} * 4096,
                            format::encode_file_table(table)));

  // Written over the newest generation it looks torn, and the one before is taken.
  expect_fell_back();
}

TEST_F(DamagedVolumeTest, AnErasedEntryUnderANewHeaderIsAnEdit) {
  // As above, but done as a writer without the key would: new header, old sealed table.
  auto volume = *Volume::open(device_, HeaderSpacing::k512);
  auto header = volume.current().header();
  auto table = after_;
  constexpr std::uint32_t kNewTable = 40;
  table[FileId::kTpmNvram].reset();
  table[FileId::kFileTable]->first_block = kNewTable;
  header.sequence += 1;
  header.file_table_block = kNewTable;
  ASSERT_TRUE(device_.write(std::uint64_t{kNewTable} * 4096, format::encode_file_table(table)));
  ASSERT_TRUE(write_header(device_, HeaderSpacing::k512, 1 - volume.current().slot(), header));

  auto edited = opened(device_, 1);

  EXPECT_EQ(edited.findings().at(0).code, "edited-without-key");
  EXPECT_EQ(edited.recover().error().code, ErrorCode::kDenied);
}

// A device of which single operations fail, and that notes the order of the others.
class FailingDevice final : public storage::BlockDevice {
 public:
  [[nodiscard]] std::uint64_t size_bytes() const override { return memory_.size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    if (bad_block && offset == std::uint64_t{*bad_block} * 4096) {
      return base::fail(ErrorCode::kIo, "bad sector");
    }
    return memory_.read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    if (fail_header_writes && offset < 8192) {
      return base::fail(ErrorCode::kIo, "write failed");
    }
    operations += 'w';
    return memory_.write(offset, bytes);
  }

  base::Result<void> flush() override {
    if (std::exchange(fail_next_flush, false)) {
      return base::fail(ErrorCode::kIo, "flush failed");
    }
    operations += 'F';
    return memory_.flush();
  }

  std::optional<std::uint32_t> bad_block;
  bool fail_header_writes = false;
  bool fail_next_flush = false;
  std::string operations;

 private:
  storage::MemoryDevice memory_{kStoreBytes};
};

// What a process that died wrote may lie in the page cache only. A tool that wrote at once could
// put its content over the generation before, and a power cut then left neither.
TEST(FailingVolumeTest, FirstCommitAfterOpeningFlushesBeforeItWrites) {
  FailingDevice device;
  { ASSERT_TRUE(Volume::format(device, HeaderSpacing::k512, key_of(1))); }
  auto volume = opened(device, 1);
  device.operations.clear();

  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
  EXPECT_EQ(device.operations, "FwwwwF");

  device.operations.clear();
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 2)));
  EXPECT_EQ(device.operations, "wwwwF");
}

// Once a close after a header that was not written said success.
TEST(FailingVolumeTest, DoesNotCloseWhatAFailedCommitLeft) {
  FailingDevice device;
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
  device.fail_header_writes = true;
  ASSERT_FALSE(put(volume, FileId::kTpmNvram, content_of(10, 2)));

  const auto closed = volume.close();

  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::kIo);
}

// Once a bad sector under the table of the older generation took the newest one away.
TEST(FailingVolumeTest, OpensTheNewestGenerationWhenTheOlderCannotBeRead) {
  FailingDevice device;
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  const auto older_table = volume.current().header().file_table_block;
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));
  device.bad_block = older_table;

  auto again = Volume::open(device, HeaderSpacing::k512);

  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->findings().at(0).code, "unreadable-generation");
  ASSERT_TRUE(again->unlock(fixed_key(key_of(1))));
  EXPECT_EQ(read_hex(*again, FileId::kTpmNvram), base::to_hex(content_of(10, 1)));
}

TEST(FailingVolumeTest, AFailedFlushEndsWritingUntilReopened) {
  FailingDevice device;
  auto volume = *Volume::format(device, HeaderSpacing::k512, key_of(1));
  ASSERT_TRUE(put(volume, FileId::kTpmNvram, content_of(10, 1)));

  device.fail_next_flush = true;
  EXPECT_EQ(put(volume, FileId::kTpmNvram, content_of(10, 2)).error().code, ErrorCode::kIo);

  // The device would take it now, but nobody knows what it holds.
  const auto again = put(volume, FileId::kTpmNvram, content_of(10, 3));
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("opened anew"), std::string::npos);
  auto reopened = opened(device, 1);
  EXPECT_TRUE(reopened.recover());
  EXPECT_TRUE(put(reopened, FileId::kTpmNvram, content_of(10, 4)));
}

}  // namespace
}  // namespace vmgs::volume
