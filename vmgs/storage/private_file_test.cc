// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/private_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

namespace vmgs::storage {
namespace {

using ::testing::HasSubstr;

class PrivateFileTest : public ::testing::Test {
 protected:
  PrivateFileTest() { EXPECT_TRUE(create_private_file(path(), base::bytes_of("the secret"))); }

  [[nodiscard]] std::filesystem::path path() const { return folder_ / "key"; }

  [[nodiscard]] auto read(OtherReaders others = OtherReaders::kNone) const {
    return read_private_file(path(), others, 64);
  }

  void expect_denied(OtherReaders others, const std::string& why) const {
    const auto content = read(others);
    ASSERT_EQ(tests::support::error_code(content), base::ErrorCode::kDenied);
    EXPECT_THAT(content.error().message, HasSubstr(why));
  }

  tests::support::TempFolder folder_;
};

TEST_F(PrivateFileTest, GivesBackWhatWasWritten) {
  const auto content = read();

  ASSERT_TRUE(content);
  EXPECT_EQ(base::copy_of(content->expose()), base::copy_of(base::bytes_of("the secret")));
}

TEST_F(PrivateFileTest, IsMadeForItsOwnerAloneUnderAnyUmask) {
  const auto old = ::umask(0);
  const auto made = create_private_file(folder_ / "other", base::bytes_of("x"));
  ::umask(old);

  ASSERT_TRUE(made);

  struct stat status {};

  ASSERT_EQ(::stat((folder_ / "other").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST_F(PrivateFileTest, IsNeverOverwrittenAndLeavesNothingBehind) {
  const auto again = create_private_file(path(), base::bytes_of("another"));

  EXPECT_EQ(tests::support::error_code(again), base::ErrorCode::kDenied);
  EXPECT_EQ(base::copy_of(read()->expose()), base::copy_of(base::bytes_of("the secret")));
  const auto left = std::filesystem::directory_iterator(folder_.path());
  EXPECT_EQ(std::distance(begin(left), end(left)), 1);
}

TEST_F(PrivateFileTest, IsRefusedWhenOthersMayReadOrWriteIt) {
  for (const unsigned mode : {0640U, 0620U, 0604U, 0602U, 0601U}) {
    ASSERT_EQ(::chmod(path().c_str(), mode), 0);
    expect_denied(OtherReaders::kNone, "chmod 600 " + path().string());
  }
  ASSERT_EQ(::chmod(path().c_str(), 0400), 0);
  EXPECT_TRUE(read());
}

TEST_F(PrivateFileTest, MayBeReadByItsGroupWhereThatIsSaid) {
  ASSERT_EQ(::chmod(path().c_str(), 0440), 0);
  EXPECT_TRUE(read(OtherReaders::kGroup));

  for (const unsigned mode : {0460U, 0444U, 0442U}) {
    ASSERT_EQ(::chmod(path().c_str(), mode), 0);
    expect_denied(OtherReaders::kGroup, "chmod 600");
  }
}

TEST_F(PrivateFileTest, IsRefusedWhenAnotherUserOwnsIt) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give a file away";
  }
  ASSERT_EQ(::chown(path().c_str(), 12345, static_cast<gid_t>(-1)), 0);

  expect_denied(OtherReaders::kNone, "belongs to user 12345");
}

TEST_F(PrivateFileTest, IsRefusedWhenItIsNoRegularFileOrTooLong) {
  const auto directory = read_private_file(folder_.path(), OtherReaders::kNone, 64);
  EXPECT_EQ(tests::support::error_code(directory), base::ErrorCode::kDenied);

  // A pipe without a writer must not hang the reader.
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(tests::support::error_code(read_private_file(pipe, OtherReaders::kNone, 64)),
            base::ErrorCode::kDenied);

  const auto longer = read_private_file(path(), OtherReaders::kNone, 9);
  EXPECT_EQ(tests::support::error_code(longer), base::ErrorCode::kInvalidArgument);
  EXPECT_TRUE(read_private_file(path(), OtherReaders::kNone, 10));
}

TEST_F(PrivateFileTest, SaysWhenThereIsNone) {
  const auto missing = read_private_file(folder_ / "missing", OtherReaders::kNone, 64);
  EXPECT_EQ(tests::support::error_code(missing), base::ErrorCode::kNotFound);

  const auto nowhere = create_private_file(folder_ / "no/such/folder", base::bytes_of("x"));
  EXPECT_EQ(tests::support::error_code(nowhere), base::ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vmgs::storage
