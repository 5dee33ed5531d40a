// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/kernel.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>

#include "tests/support/temp_folder.h"

namespace vtpm::tee {
namespace {

// The real kernel, on files that any machine has.
TEST(SystemKernelTest, AnswersAsSystemCallsDo) {
  const tests::support::TempFolder folder;
  SystemKernel kernel;
  const auto path = folder / "file";

  EXPECT_EQ(kernel.open(path, O_RDONLY), -ENOENT);
  EXPECT_EQ(kernel.mkdir(folder / "sub"), 0);
  EXPECT_EQ(kernel.mkdir(folder / "sub"), -EEXIST);
  EXPECT_EQ(kernel.rmdir(folder / "sub"), 0);
  EXPECT_EQ(kernel.rmdir(folder / "sub"), -ENOENT);

  const int null = kernel.open("/dev/null", O_RDWR);
  ASSERT_GE(null, 0);
  EXPECT_EQ(::fcntl(null, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(kernel.write(null, base::bytes_of("text")), 4);
  base::Bytes out(8);
  EXPECT_EQ(kernel.read(null, out), 0);
  EXPECT_EQ(kernel.ioctl(null, 0x5300, out.data()), -ENOTTY);
  EXPECT_EQ(kernel.close(null), 0);
  EXPECT_EQ(kernel.close(null), -EBADF);
}

TEST(SystemKernelTest, WaitsAsLongAsItIsTold) {
  SystemKernel kernel;
  const auto start = std::chrono::steady_clock::now();

  kernel.wait(std::chrono::milliseconds(20));

  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

TEST(KernelFileTest, KeepsTheReasonWhyItIsNotOpen) {
  SystemKernel kernel;

  const auto missing = KernelFile::open(kernel, "/no/such/file", O_RDONLY);
  EXPECT_FALSE(missing.is_open());
  EXPECT_EQ(missing.error(), ENOENT);

  auto null = KernelFile::open(kernel, "/dev/null", O_RDONLY);
  EXPECT_TRUE(null.is_open());
  EXPECT_EQ(null.close(), 0);
  EXPECT_FALSE(null.is_open());
  EXPECT_EQ(null.close(), 0);
}

}  // namespace
}  // namespace vtpm::tee
