// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/undo.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/storage/container.h"
#include "vmgs/storage/fake_system_calls.h"
#include "vmgs/storage/memory.h"
#include "vmgs/storage/undo_recorder.h"
#include "vmgs/storage/undoable_file.h"

namespace vmgs::storage {
namespace {

using base::ErrorCode;
using ::testing::ElementsAre;
using tests::support::error_code;

constexpr std::size_t kFileBytes = 300'000;

base::Bytes pattern(std::size_t size, unsigned seed) {
  base::Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 31 + i / 256 + seed) & 0xff);
  }
  return bytes;
}

// A file and its undo file, both in memory. The recorder owns devices that stand for these.
class Shared final : public ResizableDevice {
 public:
  explicit Shared(MemoryDevice& device, std::function<base::Result<void>()> before_write = {})
      : device_(&device), before_write_(std::move(before_write)) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return device_->size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return device_->read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    if (before_write_) {
      TRY(before_write_());
    }
    return device_->write(offset, bytes);
  }

  base::Result<void> flush() override { return {}; }

  base::Result<void> resize(std::uint64_t size_bytes) override {
    if (before_write_) {
      TRY(before_write_());
    }
    return device_->resize(size_bytes);
  }

 private:
  MemoryDevice* device_;
  std::function<base::Result<void>()> before_write_;
};

class UndoTest : public ::testing::Test {
 protected:
  std::unique_ptr<UndoRecorder> recorder(std::function<base::Result<void>()> before_write = {}) {
    return std::make_unique<UndoRecorder>(
        std::make_unique<Shared>(file_, std::move(before_write)), [this] {
          ++made_;
          return base::Result<UndoTarget>(UndoTarget{std::make_unique<Shared>(undo_), "undo"});
        });
  }

  UndoFile read_undo() {
    auto read = read_undo_file(undo_);
    EXPECT_TRUE(read) << read.error().message;
    return read ? *read : UndoFile{};
  }

  // The change that most tests undo: two writes, one of them over a chunk's end.
  void change() {
    auto device = recorder();
    ASSERT_TRUE(device->write(65'000, pattern(2000, 7)));
    ASSERT_TRUE(device->write(299'999, pattern(1, 9)));
    ASSERT_TRUE(device->finish());
  }

  const base::Bytes original_ = pattern(kFileBytes, 1);
  MemoryDevice file_{original_};
  MemoryDevice undo_{base::Bytes{}};
  int made_ = 0;
};

TEST_F(UndoTest, PutsBackWhatWasOverwritten) {
  change();
  ASSERT_NE(file_.contents(), original_);
  const auto undo = read_undo();
  EXPECT_TRUE(undo.result);
  EXPECT_FALSE(undo.torn);

  EXPECT_EQ(examine_undo(file_, undo, undo_), Undoing::kWhole);
  EXPECT_EQ(apply_undo(file_, undo, undo_, Unfinished::kRefuse), Undoing::kWhole);

  EXPECT_EQ(file_.contents(), original_);
  EXPECT_EQ(examine_undo(file_, read_undo(), undo_), Undoing::kNothing);
}

TEST_F(UndoTest, PutsBackTheLength) {
  for (const std::size_t size : {std::size_t{1000}, kFileBytes + 70'000}) {
    file_ = MemoryDevice(original_);
    undo_ = MemoryDevice(base::Bytes{});
    auto device = recorder();
    ASSERT_TRUE(device->resize(size));
    ASSERT_TRUE(device->write(size - 10, pattern(10, 3)));
    ASSERT_TRUE(device->finish());

    EXPECT_EQ(apply_undo(file_, read_undo(), undo_, Unfinished::kRefuse), Undoing::kWhole);

    EXPECT_EQ(file_.contents(), original_);
  }
}

TEST_F(UndoTest, MakesNoUndoFileForReadingOnly) {
  auto device = recorder();
  base::Bytes out(10);
  ASSERT_TRUE(device->read(0, out));
  ASSERT_TRUE(device->flush());
  ASSERT_TRUE(device->finish());

  EXPECT_EQ(made_, 0);
  EXPECT_FALSE(device->path());
}

TEST_F(UndoTest, RefusesAFileThatWasWrittenAgainSince) {
  change();
  ASSERT_TRUE(file_.write(5, pattern(1, 200)));

  EXPECT_EQ(error_code(examine_undo(file_, read_undo(), undo_)), ErrorCode::kDenied);
  const auto before = file_.contents();
  EXPECT_EQ(error_code(apply_undo(file_, read_undo(), undo_, Unfinished::kRefuse)),
            ErrorCode::kDenied);
  EXPECT_EQ(file_.contents(), before);
}

TEST_F(UndoTest, RefusesAFileWrittenAgainInsideWhatWasSaved) {
  // Undoing would give the original, and destroy what came later.
  change();
  ASSERT_TRUE(file_.write(65'500, pattern(1, 200)));

  EXPECT_EQ(error_code(examine_undo(file_, read_undo(), undo_)), ErrorCode::kDenied);
}

TEST_F(UndoTest, RefusesAnotherFile) {
  change();
  MemoryDevice other(pattern(kFileBytes, 99));
  MemoryDevice shorter(pattern(10, 99));

  EXPECT_EQ(error_code(examine_undo(other, read_undo(), undo_)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(examine_undo(shorter, read_undo(), undo_)), ErrorCode::kDenied);
}

TEST_F(UndoTest, UndoesAChangeThatWasCutOffBeforeAnyWrite) {
  // The change dies before its n-th write reaches the file, for every n; and once more while it is
  // being undone.
  for (int cut = 0; cut < 6; ++cut) {
    file_ = MemoryDevice(original_);
    undo_ = MemoryDevice(base::Bytes{});
    int left = cut;
    const auto dies = [&left]() -> base::Result<void> {
      return left-- > 0 ? base::Result<void>()
                        : base::Result<void>(base::fail(ErrorCode::kIo, "cut off"));
    };
    {
      auto device = recorder(dies);
      (void)device->write(0, pattern(100, 2)).has_value();
      (void)device->resize(200'000).has_value();
      (void)device->write(50'000, pattern(100'000, 3)).has_value();
      (void)device->resize(400'000).has_value();
      (void)device->write(390'000, pattern(100, 4)).has_value();
    }

    const auto undoing = examine_undo(file_, read_undo(), undo_);
    ASSERT_TRUE(undoing) << undoing.error().message;
    EXPECT_EQ(*undoing, cut == 0 ? Undoing::kNothing : Undoing::kUnfinished);

    left = 1;
    Shared dying(file_, dies);
    (void)apply_undo(dying, read_undo(), undo_, Unfinished::kUndo).has_value();
    ASSERT_TRUE(apply_undo(file_, read_undo(), undo_, Unfinished::kUndo));
    EXPECT_EQ(file_.contents(), original_);
  }
}

TEST_F(UndoTest, TakesUpAnUndoingThatWasCutOff) {
  change();
  for (int cut = 0; cut < 3; ++cut) {
    int left = cut;
    Shared dying(file_, [&left]() -> base::Result<void> {
      return left-- > 0 ? base::Result<void>()
                        : base::Result<void>(base::fail(ErrorCode::kIo, "cut off"));
    });
    (void)apply_undo(dying, read_undo(), undo_, Unfinished::kUndo).has_value();
  }
  EXPECT_TRUE(read_undo().undo_begun);

  EXPECT_TRUE(apply_undo(file_, read_undo(), undo_, Unfinished::kUndo));

  EXPECT_EQ(file_.contents(), original_);
}

TEST_F(UndoTest, TakesNothingLaterAwayOnceItWasUndone) {
  // A VM boots from what was put back, and writes inside what the change had saved.
  change();
  ASSERT_TRUE(apply_undo(file_, read_undo(), undo_, Unfinished::kRefuse));
  EXPECT_TRUE(read_undo().undone);
  EXPECT_FALSE(read_undo().undo_begun);
  ASSERT_TRUE(file_.write(65'500, pattern(100, 200)));
  const auto present = file_.contents();

  for (const auto unfinished : {Unfinished::kRefuse, Unfinished::kUndo}) {
    EXPECT_EQ(error_code(apply_undo(file_, read_undo(), undo_, unfinished)), ErrorCode::kDenied);
  }

  EXPECT_EQ(file_.contents(), present);
}

TEST_F(UndoTest, UndoesTheSameChangeAgainWhenItWasMadeAgain) {
  change();
  const auto changed = file_.contents();
  ASSERT_TRUE(apply_undo(file_, read_undo(), undo_, Unfinished::kRefuse));
  file_ = MemoryDevice(changed);

  EXPECT_EQ(apply_undo(file_, read_undo(), undo_, Unfinished::kRefuse), Undoing::kWhole);

  EXPECT_EQ(file_.contents(), original_);
}

TEST_F(UndoTest, NeedsAWordForAChangeThatNeverEnded) {
  {
    auto device = recorder();
    ASSERT_TRUE(device->write(65'000, pattern(2000, 7)));
  }
  ASSERT_TRUE(file_.write(66'000, pattern(100, 200)));  // what a VM may have written since
  const auto present = file_.contents();

  EXPECT_EQ(examine_undo(file_, read_undo(), undo_), Undoing::kUnfinished);
  EXPECT_EQ(error_code(apply_undo(file_, read_undo(), undo_, Unfinished::kRefuse)),
            ErrorCode::kDenied);
  EXPECT_EQ(file_.contents(), present);

  EXPECT_EQ(apply_undo(file_, read_undo(), undo_, Unfinished::kUndo), Undoing::kUnfinished);
  EXPECT_EQ(file_.contents(), original_);
  // That counts once.
  ASSERT_TRUE(file_.write(66'000, pattern(100, 200)));
  EXPECT_EQ(error_code(apply_undo(file_, read_undo(), undo_, Unfinished::kUndo)),
            ErrorCode::kDenied);
}

TEST_F(UndoTest, NeedsAWordForAnUndoingThatWasCutOff) {
  change();
  int left = 1;
  Shared dying(file_, [&left]() -> base::Result<void> {
    return left-- > 0 ? base::Result<void>()
                      : base::Result<void>(base::fail(ErrorCode::kIo, "cut off"));
  });
  ASSERT_FALSE(apply_undo(dying, read_undo(), undo_, Unfinished::kRefuse));
  const auto present = file_.contents();

  EXPECT_EQ(error_code(apply_undo(file_, read_undo(), undo_, Unfinished::kRefuse)),
            ErrorCode::kDenied);

  EXPECT_EQ(file_.contents(), present);
}

TEST_F(UndoTest, RefusesAnotherFileWhereEverythingWasSaved) {
  constexpr std::uint64_t kIdentity = 4711;
  {
    UndoRecorder device(std::make_unique<Shared>(file_), [this] {
      return base::Result<UndoTarget>(
          UndoTarget{std::make_unique<Shared>(undo_), "undo", kIdentity});
    });
    ASSERT_TRUE(device.write(0, pattern(kFileBytes, 7)));
  }
  MemoryDevice other(pattern(kFileBytes, 99));
  EXPECT_EQ(read_undo().identity, kIdentity);

  EXPECT_EQ(error_code(examine_undo(other, read_undo(), undo_, kIdentity + 1)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(apply_undo(other, read_undo(), undo_, Unfinished::kUndo, kIdentity + 1)),
            ErrorCode::kDenied);
  EXPECT_EQ(other.contents(), pattern(kFileBytes, 99));
  EXPECT_EQ(apply_undo(file_, read_undo(), undo_, Unfinished::kUndo, kIdentity),
            Undoing::kUnfinished);
}

TEST_F(UndoTest, SavesBeforeItWrites) {
  // Whenever a byte of the file changes, the undo file can already put it back.
  auto device = recorder([this]() -> base::Result<void> {
    const auto undo = read_undo();
    EXPECT_TRUE(std::any_of(undo.ranges.begin(), undo.ranges.end(), [](const auto& range) {
      return range.offset == 65'536 * 2 && range.length == 65'536;
    }));
    return {};
  });

  ASSERT_TRUE(device->write(65'536 * 2 + 5, pattern(10, 3)));
}

TEST_F(UndoTest, WritesNothingWhenTheOldBytesCannotBeKept) {
  UndoRecorder device(std::make_unique<Shared>(file_), []() -> base::Result<UndoTarget> {
    return base::fail(ErrorCode::kDenied, "no room");
  });

  EXPECT_EQ(error_code(device.write(0, pattern(10, 3))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device.resize(10)), ErrorCode::kDenied);
  EXPECT_EQ(file_.contents(), original_);
}

TEST_F(UndoTest, TakesNothingMoreOnceItIsFinished) {
  auto device = recorder();
  ASSERT_TRUE(device->write(0, pattern(10, 3)));
  ASSERT_TRUE(device->finish());

  EXPECT_EQ(error_code(device->write(0, pattern(10, 4))), ErrorCode::kDenied);
}

TEST_F(UndoTest, UsesTheWholeRecordsOfATornUndoFile) {
  change();
  const auto whole = undo_.contents();
  for (std::size_t cut : {std::size_t{1}, std::size_t{40}, std::size_t{56}}) {
    undo_ =
        MemoryDevice(base::Bytes(whole.begin(), whole.end() - static_cast<std::ptrdiff_t>(cut)));
    const auto undo = read_undo();
    EXPECT_FALSE(undo.result) << cut;
    EXPECT_EQ(undo.ranges.size(), 3U);
    EXPECT_EQ(examine_undo(file_, undo, undo_), Undoing::kUnfinished);
  }
}

TEST_F(UndoTest, RefusesAnUndoFileInWhichOneByteIsWrong) {
  change();
  const auto whole = undo_.contents();
  for (const std::size_t at : {std::size_t{0}, std::size_t{8}, std::size_t{16}, std::size_t{60}}) {
    auto bytes = whole;
    bytes[at] ^= std::byte{1};
    MemoryDevice damaged(bytes);
    EXPECT_EQ(error_code(read_undo_file(damaged)), ErrorCode::kCorrupt) << at;
  }
  // Inside a record: that one and all behind it are left out, and without them there is no way
  // back.
  for (const std::size_t at : {std::size_t{88}, std::size_t{100}, std::size_t{200}}) {
    auto bytes = whole;
    bytes[at] ^= std::byte{1};
    MemoryDevice damaged(bytes);
    const auto undo = read_undo_file(damaged);
    ASSERT_TRUE(undo);
    EXPECT_TRUE(undo->torn);
    EXPECT_EQ(error_code(examine_undo(file_, *undo, damaged)), ErrorCode::kDenied);
  }
}

TEST_F(UndoTest, RefusesWholeRecordsThatContradictTheHeader) {
  const auto with = [this](UndoRecordKind kind, std::uint64_t offset, std::size_t bytes) {
    MemoryDevice device(base::Bytes{});
    auto writer = UndoFileWriter::begin(device, 1000, crypto::sha256(original_));
    EXPECT_TRUE(writer->append(UndoRecordKind::kOldBytes, 100, base::Bytes(100)));
    EXPECT_TRUE(writer->append(kind, offset, base::Bytes(bytes)));
    return error_code(read_undo_file(device));
  };
  EXPECT_EQ(with(UndoRecordKind::kOldBytes, 199, 2), ErrorCode::kCorrupt);
  EXPECT_EQ(with(UndoRecordKind::kOldBytes, 999, 2), ErrorCode::kCorrupt);
  EXPECT_EQ(with(UndoRecordKind::kOldBytes, 1000, 1), ErrorCode::kCorrupt);
  EXPECT_EQ(with(UndoRecordKind::kOldBytes, 0, 0), ErrorCode::kCorrupt);
  EXPECT_EQ(with(UndoRecordKind::kClosed, 0, 31), ErrorCode::kCorrupt);
  EXPECT_EQ(with(UndoRecordKind::kUndoBegun, 0, 1), ErrorCode::kCorrupt);
  EXPECT_EQ(with(UndoRecordKind::kUndone, 0, 1), ErrorCode::kCorrupt);
  EXPECT_EQ(with(UndoRecordKind::kIdentity, 5, 0), ErrorCode::kCorrupt);
  EXPECT_EQ(with(static_cast<UndoRecordKind>(9), 0, 1), ErrorCode::kCorrupt);
}

class UndoableContainerTest : public ::testing::Test {
 protected:
  static base::Bytes content(const std::filesystem::path& path) {
    base::Bytes bytes(std::filesystem::file_size(path));
    std::ifstream(path, std::ios::binary)
        .read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return bytes;
  }

  tests::support::TempFolder folder_;
  const std::filesystem::path path_ = folder_ / "store.vmgs";
  const std::filesystem::path undo_path_ = folder_ / "store.vmgs.undo";
};

TEST_F(UndoableContainerTest, UndoesAChangeOfAVhdWithItsFooter) {
  ASSERT_TRUE(create_container(path_, {.store_bytes = 128 * 1024}));
  const auto original = content(path_);
  {
    auto container = open_container(path_, {.access = Access::kReadWrite, .undo_file = undo_path_});
    ASSERT_TRUE(container) << container.error().message;
    ASSERT_TRUE(container->device->write(4096, pattern(5000, 1)));
    ASSERT_TRUE(container->whole->resize(200 * 1024));
    ASSERT_TRUE(container->undo->finish());
    EXPECT_EQ(container->undo->path(), undo_path_);
  }

  struct stat status {};

  ASSERT_EQ(::stat(undo_path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);

  auto file = FileDevice::open(path_, Access::kReadWrite);
  auto undo_file = FileDevice::open(undo_path_, Access::kReadWrite);
  ASSERT_TRUE(file && undo_file);
  const auto undo = read_undo_file(**undo_file);
  ASSERT_TRUE(undo) << undo.error().message;
  EXPECT_EQ(undo->identity, *identity_of(**file));
  EXPECT_EQ(apply_undo(**file, *undo, **undo_file, Unfinished::kRefuse), Undoing::kWhole);
  EXPECT_EQ(content(path_), original);
}

TEST_F(UndoableContainerTest, NeverOverwritesAnUndoFile) {
  ASSERT_TRUE(create_container(path_, {.kind = ContainerKind::kRawFile, .store_bytes = 65536}));
  for (int i = 0; i < 3; ++i) {
    auto container = open_container(path_, {.access = Access::kReadWrite, .undo_file = undo_path_});
    ASSERT_TRUE(container);
    ASSERT_TRUE(container->device->write(0, pattern(10, 5)));
    ASSERT_TRUE(container->undo->finish());
    EXPECT_EQ(*container->undo->path(),
              undo_path_.string() + (i == 0 ? "" : "-" + std::to_string(i + 1)));
  }
}

TEST_F(UndoableContainerTest, SyncsTheOldBytesBeforeTheNewOnesAreWritten) {
  ASSERT_TRUE(create_container(path_, {.kind = ContainerKind::kRawFile, .store_bytes = 65536}));
  auto container = open_container(path_, {.access = Access::kReadWrite, .undo_file = undo_path_});
  ASSERT_TRUE(container);
  const auto before = content(path_);

  fake_system_calls() = {.fdatasync_error = EIO};
  EXPECT_EQ(error_code(container->device->write(0, pattern(10, 5))), ErrorCode::kIo);
  EXPECT_THAT(fake_system_calls().calls, ElementsAre("fsync file", "fsync folder", "fdatasync"));
  fake_system_calls() = {};

  EXPECT_EQ(error_code(container->device->write(0, pattern(10, 5))), ErrorCode::kIo);
  EXPECT_EQ(content(path_), before);
}

}  // namespace
}  // namespace vmgs::storage
