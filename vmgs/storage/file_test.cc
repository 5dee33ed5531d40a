// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/storage/fake_system_calls.h"

namespace vmgs::storage {
namespace {

using ::tests::support::error_code;
namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kSizeBytes = 64 * 1024;

class FileDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override { fake_system_calls() = {}; }

  void TearDown() override { fake_system_calls() = {}; }

  // A file of zeros, closed again.
  void make_file() { ASSERT_TRUE(FileDevice::create_preallocated(path_, kSizeBytes)); }

  std::unique_ptr<FileDevice> open(Access access) {
    auto device = FileDevice::open(path_, access);
    EXPECT_TRUE(device) << device.error().message;
    return *std::move(device);
  }

  tests::support::TempFolder folder_;
  const fs::path path_ = folder_ / "store.vmgs";
};

// After a failed flush the page cache shows what the disk does not hold, and later flushes succeed.
TEST_F(FileDeviceTest, ForgetsCachedPagesBeforeAnybodyWritesAgain) {
  make_file();
  fake_system_calls().calls.clear();

  open(Access::kReadOnly);
  EXPECT_THAT(fake_system_calls().calls, ElementsAre());

  open(Access::kReadWrite);
  EXPECT_THAT(fake_system_calls().calls, ElementsAre("forget pages"));
}

TEST_F(FileDeviceTest, ReadsBackAfterReopeningWhatWasWritten) {
  make_file();
  {
    const auto device = open(Access::kReadWrite);
    ASSERT_TRUE(device->write(4096, base::bytes_of("guest state")));
    ASSERT_TRUE(device->flush());
  }

  const auto device = open(Access::kReadOnly);

  EXPECT_EQ(device->size_bytes(), kSizeBytes);
  EXPECT_EQ(device->sector_bytes(), 512U);
  EXPECT_FALSE(device->is_block_device());
  base::Bytes back(11);
  ASSERT_TRUE(device->read(4096, back));
  EXPECT_TRUE(std::ranges::equal(back, base::bytes_of("guest state")));
}

TEST_F(FileDeviceTest, RefusesWhatLiesOutside) {
  make_file();
  const auto device = open(Access::kReadWrite);
  base::Bytes two(2);

  EXPECT_EQ(error_code(device->read(kSizeBytes - 1, two)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(device->write(kSizeBytes - 1, two)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(device->write(~0ULL, two)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(fs::file_size(path_), kSizeBytes);
}

TEST_F(FileDeviceTest, CreatesWholeWrittenAndPrivateFiles) {
  ::umask(0);

  const auto device = FileDevice::create_preallocated(path_, kSizeBytes + 512);

  ASSERT_TRUE(device);
  EXPECT_THAT(fake_system_calls().calls, ElementsAre("fsync file"));

  struct stat examined {};

  ASSERT_EQ(::stat(path_.c_str(), &examined), 0);
  EXPECT_EQ(examined.st_mode & 07777, 0600U);
  EXPECT_EQ(examined.st_size, static_cast<off_t>(kSizeBytes + 512));
  EXPECT_GE(examined.st_blocks * 512, static_cast<off_t>(kSizeBytes));
  base::Bytes content(kSizeBytes + 512, std::byte{1});
  ASSERT_TRUE((*device)->read(0, content));
  EXPECT_TRUE(base::is_all_zero(content));
}

TEST_F(FileDeviceTest, NeverCreatesOverAnExistingFile) {
  std::ofstream(path_) << "precious";

  const auto device = FileDevice::create_preallocated(path_, kSizeBytes);

  ASSERT_FALSE(device);
  EXPECT_EQ(error_code(device), base::ErrorCode::kDenied);
  EXPECT_EQ(fs::file_size(path_), 8U);
}

TEST_F(FileDeviceTest, LeavesNothingBehindWhenCreationFails) {
  fake_system_calls().fsync_error = ENOSPC;

  const auto device = FileDevice::create_preallocated(path_, kSizeBytes);

  ASSERT_FALSE(device);
  EXPECT_EQ(error_code(device), base::ErrorCode::kIo);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(FileDeviceTest, WriterExcludesEverybody) {
  make_file();
  const auto writer = open(Access::kReadWrite);

  for (const auto access : {Access::kReadOnly, Access::kReadWrite}) {
    const auto second = FileDevice::open(path_, access);

    ASSERT_FALSE(second);
    EXPECT_EQ(error_code(second), base::ErrorCode::kUnavailable);
    EXPECT_THAT(second.error().message, HasSubstr("in use by another process"));
  }
}

TEST_F(FileDeviceTest, CreatorHoldsTheLock) {
  const auto creator = FileDevice::create_preallocated(path_, kSizeBytes);
  ASSERT_TRUE(creator);

  EXPECT_EQ(error_code(FileDevice::open(path_, Access::kReadOnly)), base::ErrorCode::kUnavailable);
}

TEST_F(FileDeviceTest, ReadersShareAndExcludeWriters) {
  make_file();
  const auto first = open(Access::kReadOnly);
  const auto second = open(Access::kReadOnly);

  EXPECT_EQ(error_code(FileDevice::open(path_, Access::kReadWrite)), base::ErrorCode::kUnavailable);
}

TEST_F(FileDeviceTest, RefusesAFileThatWasReplacedBeforeItWasLocked) {
  make_file();
  ASSERT_TRUE(FileDevice::create_preallocated(folder_ / "other", kSizeBytes));
  fake_system_calls().after_open = [this] { fs::rename(folder_ / "other", path_); };

  const auto device = FileDevice::open(path_, Access::kReadWrite);

  EXPECT_EQ(error_code(device), base::ErrorCode::kUnavailable);
  EXPECT_TRUE(FileDevice::open(path_, Access::kReadWrite));
}

TEST_F(FileDeviceTest, IsNotInheritedByOtherPrograms) {
  const auto created = FileDevice::create_preallocated(path_, kSizeBytes);
  ASSERT_TRUE(FileDevice::create_preallocated(folder_ / "other", kSizeBytes));
  const auto opened = FileDevice::open(folder_ / "other", Access::kReadWrite);
  ASSERT_TRUE(created && opened);

  int found = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (fs::read_symlink(entry, gone).parent_path() == folder_.path()) {
      ++found;
      EXPECT_EQ(::fcntl(std::stoi(entry.path().filename()), F_GETFD), FD_CLOEXEC);
    }
  }
  EXPECT_EQ(found, 2);
}

TEST_F(FileDeviceTest, LockDiesWithItsProcess) {
  make_file();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto device = FileDevice::open(path_, Access::kReadWrite);
    const char answer = device ? 'y' : 'n';
    [[maybe_unused]] const auto told = ::write(ready[1], &answer, 1);
    ::pause();
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  EXPECT_EQ(error_code(FileDevice::open(path_, Access::kReadWrite)), base::ErrorCode::kUnavailable);

  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);

  EXPECT_TRUE(FileDevice::open(path_, Access::kReadWrite));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(FileDeviceTest, SaysWhatItCannotOpen) {
  EXPECT_EQ(error_code(FileDevice::open(path_, Access::kReadWrite)), base::ErrorCode::kNotFound);
  EXPECT_EQ(error_code(FileDevice::open(folder_.path(), Access::kReadOnly)),
            base::ErrorCode::kInvalidArgument);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(error_code(FileDevice::open(path_, Access::kReadOnly)),
            base::ErrorCode::kInvalidArgument);
}

TEST_F(FileDeviceTest, DeniesToWriteWhereTheSystemDoes) {
  make_file();
  ASSERT_EQ(::chmod(path_.c_str(), 0444), 0);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  constexpr uid_t kNobody = 65534;
  const bool was_root = ::geteuid() == 0;  // root may write anything
  if (was_root) {
    ASSERT_EQ(::seteuid(kNobody), 0);
  }

  const auto writer = FileDevice::open(path_, Access::kReadWrite);
  const auto reader = FileDevice::open(path_, Access::kReadOnly);

  if (was_root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  ASSERT_FALSE(writer);
  EXPECT_EQ(error_code(writer), base::ErrorCode::kDenied);
  EXPECT_TRUE(reader);
}

TEST_F(FileDeviceTest, ReaderWritesNothing) {
  make_file();
  const auto reader = open(Access::kReadOnly);

  EXPECT_EQ(error_code(reader->write(0, base::bytes_of("x"))), base::ErrorCode::kDenied);
  EXPECT_TRUE(reader->flush());
}

TEST_F(FileDeviceTest, FailsToReadWhatWasCutOff) {
  make_file();
  const auto device = open(Access::kReadOnly);
  ASSERT_EQ(::truncate(path_.c_str(), 4096 + 100), 0);
  base::Bytes block(4096);

  EXPECT_TRUE(device->read(0, block));
  const auto read = device->read(4096, block);

  ASSERT_FALSE(read);
  EXPECT_EQ(error_code(read), base::ErrorCode::kIo);
  EXPECT_THAT(read.error().message, HasSubstr("ends early"));
}

TEST_F(FileDeviceTest, FailsAWriteThatTheSystemTakesOnlyInPart) {
  make_file();
  const auto device = open(Access::kReadWrite);

  struct rlimit before {};

  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {4096 + 100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);

  const auto written = device->write(0, base::Bytes(8192, std::byte{7}));

  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(written);
  EXPECT_EQ(error_code(written), base::ErrorCode::kIo);
}

TEST_F(FileDeviceTest, TakesNothingMoreAfterAFailedFlush) {
  make_file();
  const auto device = open(Access::kReadWrite);
  ASSERT_TRUE(device->write(0, base::bytes_of("first")));
  fake_system_calls().fdatasync_error = EIO;
  EXPECT_EQ(error_code(device->flush()), base::ErrorCode::kIo);

  // From here on the system would pretend that all is well.
  fake_system_calls() = {};

  EXPECT_EQ(error_code(device->flush()), base::ErrorCode::kIo);
  EXPECT_EQ(error_code(device->write(0, base::bytes_of("second"))), base::ErrorCode::kIo);
  EXPECT_THAT(fake_system_calls().calls, ElementsAre());
  base::Bytes back(5);
  EXPECT_TRUE(device->read(0, back));
}

TEST_F(FileDeviceTest, NoticesThatItsPathLeadsElsewhere) {
  make_file();
  const auto device = open(Access::kReadWrite);
  EXPECT_TRUE(device->still_named());

  fs::rename(path_, folder_ / "moved");
  const auto removed = device->still_named();
  std::ofstream(path_) << "another";
  const auto replaced = device->still_named();
  fs::remove(path_);
  fs::create_hard_link(folder_ / "moved", path_);

  ASSERT_FALSE(removed);
  EXPECT_EQ(error_code(removed), base::ErrorCode::kDenied);
  ASSERT_FALSE(replaced);
  EXPECT_EQ(error_code(replaced), base::ErrorCode::kDenied);
  EXPECT_TRUE(device->still_named());
}

TEST_F(FileDeviceTest, KnowsItsPathWhenTheWorkingFolderChanges) {
  make_file();
  const auto before = fs::current_path();
  fs::current_path(folder_.path());
  const auto device = FileDevice::open("store.vmgs", Access::kReadOnly);
  fs::current_path(before);

  ASSERT_TRUE(device);
  EXPECT_TRUE((*device)->still_named());
}

TEST_F(FileDeviceTest, IsPublishedUnderItsFinalNameWithTheLockKept) {
  auto device = FileDevice::create_preallocated(folder_ / "store.new", kSizeBytes);
  ASSERT_TRUE(device);

  ASSERT_TRUE((*device)->publish_as(path_));

  EXPECT_EQ((*device)->path(), path_);
  EXPECT_TRUE((*device)->still_named());
  EXPECT_EQ(error_code(FileDevice::open(path_, Access::kReadOnly)), base::ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace vmgs::storage
