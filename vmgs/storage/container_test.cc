// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/container.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/loop_device.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/layout.h"
#include "vmgs/format/header.h"
#include "vmgs/format/vhd_footer.h"
#include "vmgs/storage/fake_system_calls.h"

namespace vmgs::storage {
namespace {

using ::tests::support::error_code;
namespace fs = std::filesystem;
using format::HeaderSpacing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::size_t kStoreBytes = 64 * 1024;

// A raw image with a header in slot 0 and, if `second` is given, one there.
base::Bytes store_with_header_at(std::optional<std::size_t> second) {
  base::Bytes image(kStoreBytes);
  const auto put = [&image](std::size_t offset, std::uint32_t sequence) {
    format::Header header;
    header.sequence = sequence;
    header.file_table_block = 2;
    const auto raw = format::encode_header(header);
    std::ranges::copy(base::view(raw), image.begin() + static_cast<std::ptrdiff_t>(offset));
  };
  put(0, 1);
  if (second) {
    put(*second, 2);
  }
  return image;
}

void append(base::Bytes& image, base::ByteView bytes) {
  image.insert(image.end(), bytes.begin(), bytes.end());
}

class ContainerTest : public ::testing::Test {
 protected:
  void make_file(const base::Bytes& content) const {
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(content.data()),
               static_cast<std::streamsize>(content.size()));
  }

  base::Error refusal(const OpenOptions& options = {}) const {
    const auto container = open_container(path_, options);
    EXPECT_FALSE(container);
    return container ? base::Error{} : container.error();
  }

  tests::support::TempFolder folder_;
  const fs::path path_ = folder_ / "store.vmgs";
};

TEST_F(ContainerTest, FindsARawFileAndItsSpacing) {
  make_file(store_with_header_at(512));
  const auto raw512 = open_container(path_, {});
  ASSERT_TRUE(raw512);
  EXPECT_EQ(raw512->kind, ContainerKind::kRawFile);
  EXPECT_EQ(raw512->spacing, HeaderSpacing::k512);
  EXPECT_EQ(raw512->device->size_bytes(), kStoreBytes);
  EXPECT_EQ(raw512->file->path(), path_);

  fs::remove(path_);
  make_file(store_with_header_at(4096));
  const auto raw4096 = open_container(path_, {});
  ASSERT_TRUE(raw4096);
  EXPECT_EQ(raw4096->spacing, HeaderSpacing::k4096);
}

TEST_F(ContainerTest, BelievesTheCallerAboutARawFile) {
  make_file(store_with_header_at(std::nullopt));

  EXPECT_EQ(open_container(path_, {})->spacing, HeaderSpacing::k512);
  EXPECT_EQ(open_container(path_, {.spacing = HeaderSpacing::k4096})->spacing,
            HeaderSpacing::k4096);
}

TEST_F(ContainerTest, WantsToBeToldAnAmbiguousSpacing) {
  auto image = store_with_header_at(512);
  const auto other = store_with_header_at(4096);
  std::copy_n(other.begin() + 4096, 168, image.begin() + 4096);
  make_file(image);

  EXPECT_EQ(refusal().code, base::ErrorCode::kDenied);
  EXPECT_EQ(open_container(path_, {.spacing = HeaderSpacing::k512})->spacing, HeaderSpacing::k512);
}

TEST_F(ContainerTest, FindsAFixedVhd) {
  auto image = store_with_header_at(std::nullopt);
  append(image, base::view(format::make_vhd_footer(kStoreBytes, {})->raw));
  make_file(image);

  const auto container = open_container(path_, {});

  ASSERT_TRUE(container);
  EXPECT_EQ(container->kind, ContainerKind::kFixedVhd);
  EXPECT_EQ(container->spacing, HeaderSpacing::k512);
  EXPECT_EQ(container->device->size_bytes(), kStoreBytes);
  EXPECT_EQ(refusal({.spacing = HeaderSpacing::k4096}).code, base::ErrorCode::kDenied);
}

TEST_F(ContainerTest, TakesAVhdToHave512ByteSectorsWhateverItsContent) {
  auto image = store_with_header_at(4096);
  append(image, base::view(format::make_vhd_footer(kStoreBytes, {})->raw));
  make_file(image);

  EXPECT_EQ(open_container(path_, {})->spacing, HeaderSpacing::k512);
}

TEST_F(ContainerTest, RefusesADamagedFooterInsteadOfCallingTheFileRaw) {
  auto image = store_with_header_at(512);
  append(image, base::view(format::make_vhd_footer(kStoreBytes, {})->raw));
  image[kStoreBytes + 50] ^= std::byte{1};
  make_file(image);

  EXPECT_EQ(refusal().code, base::ErrorCode::kCorrupt);
}

TEST_F(ContainerTest, RefusesOtherFormatsByName) {
  auto vhdx = store_with_header_at(512);
  std::ranges::copy(base::bytes_of("vhdxfile"), vhdx.begin());
  make_file(vhdx);
  EXPECT_EQ(refusal().code, base::ErrorCode::kDenied);
  EXPECT_THAT(refusal().message, HasSubstr("VHDX"));

  // A dynamic VHD that lost the footer at its end still has the copy at its start.
  base::Bytes dynamic(kStoreBytes);
  std::ranges::copy(base::bytes_of("conectix"), dynamic.begin());
  make_file(dynamic);
  EXPECT_EQ(refusal().code, base::ErrorCode::kDenied);
  EXPECT_THAT(refusal().message, HasSubstr("dynamic"));
}

TEST_F(ContainerTest, RefusesFilesThatWereCut) {
  auto image = store_with_header_at(512);
  image.resize(8192 - 512);
  make_file(image);
  EXPECT_EQ(refusal().code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(refusal().message, HasSubstr("too short"));

  image.resize(kStoreBytes + 1);
  make_file(image);
  EXPECT_EQ(refusal().code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(refusal().message, HasSubstr("no whole number of sectors"));

  make_file({});
  EXPECT_EQ(refusal().code, base::ErrorCode::kCorrupt);

  auto small_vhd = base::Bytes(8192);
  append(small_vhd, base::view(format::make_vhd_footer(4096, {})->raw));
  make_file(small_vhd);
  EXPECT_EQ(refusal().code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(refusal().message, HasSubstr("disk of 4096 bytes"));
}

TEST_F(ContainerTest, PutsThePathBeforeWhatIsWrong) {
  make_file({});

  EXPECT_THAT(refusal().message, HasSubstr(path_.string() + ": it is 0 bytes"));
}

TEST_F(ContainerTest, OpensForWritingOnlyWhenAsked) {
  make_file(store_with_header_at(512));

  EXPECT_EQ(error_code(open_container(path_, {})->device->write(0, base::Bytes(1))),
            base::ErrorCode::kDenied);
  EXPECT_TRUE(
      open_container(path_, {.access = Access::kReadWrite})->device->write(0, base::Bytes(1)));
}

TEST_F(ContainerTest, CreatesAFixedVhdThatDeployedToolsTake) {
  {
    fake_system_calls() = {};
    const auto made = create_container(path_, {});
    // The second sync is the footer's.
    EXPECT_THAT(fake_system_calls().calls, ElementsAre("fsync file", "fdatasync"));
    ASSERT_TRUE(made);
    EXPECT_EQ(made->kind, ContainerKind::kFixedVhd);
    EXPECT_EQ(made->device->size_bytes(), format::kDefaultStoreBytes);
  }
  EXPECT_EQ(fs::file_size(path_), format::kDefaultStoreBytes + 512);

  const auto opened = open_container(path_, {});

  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->kind, ContainerKind::kFixedVhd);
  EXPECT_EQ(opened->device->size_bytes(), format::kDefaultStoreBytes);
}

TEST_F(ContainerTest, CreatesRawFilesOfBothSpacings) {
  for (const auto spacing : {HeaderSpacing::k512, HeaderSpacing::k4096}) {
    const auto made = create_container(
        path_, {.kind = ContainerKind::kRawFile, .store_bytes = kStoreBytes, .spacing = spacing});
    ASSERT_TRUE(made);
    EXPECT_EQ(made->spacing, spacing);
    EXPECT_EQ(fs::file_size(path_), kStoreBytes);
    fs::remove(path_);
  }
}

TEST_F(ContainerTest, CreatesNothingThatCannotBe) {
  const auto code = [this](const CreateOptions& options) {
    const auto made = create_container(path_, options);
    EXPECT_FALSE(made);
    EXPECT_FALSE(fs::exists(path_));
    return made ? base::ErrorCode::kIo : made.error().code;
  };

  EXPECT_EQ(code({.store_bytes = 4096 * 7}), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.store_bytes = 4096 * 8 + 512}), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.store_bytes = (1ULL << 44) + 4096}), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.spacing = HeaderSpacing::k4096}), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.kind = ContainerKind::kBlockDevice}), base::ErrorCode::kInvalidArgument);
}

#define MAKE_LOOP_OR_SKIP(name, sector_bytes)                         \
  const tests::support::LoopDevice name(path_, sector_bytes);         \
  if (!name.exists()) {                                               \
    GTEST_SKIP() << "no loop device can be made here: it needs root"; \
  }

TEST_F(ContainerTest, TakesTheSpacingFromABlockDevice) {
  make_file(store_with_header_at(std::nullopt));
  MAKE_LOOP_OR_SKIP(loop, 4096);

  const auto container = open_container(loop.path(), {.access = Access::kReadWrite});

  ASSERT_TRUE(container) << container.error().message;
  EXPECT_EQ(container->kind, ContainerKind::kBlockDevice);
  EXPECT_EQ(container->spacing, HeaderSpacing::k4096);
  EXPECT_EQ(container->device->size_bytes(), kStoreBytes);
  EXPECT_TRUE(container->device->write(8192, base::Bytes(4096)));
  EXPECT_TRUE(container->device->flush());
  EXPECT_EQ(error_code(open_container(loop.path(), {})), base::ErrorCode::kUnavailable);
}

TEST_F(ContainerTest, RefusesABlockDeviceWhoseHeadersLieOtherwise) {
  make_file(store_with_header_at(512));
  MAKE_LOOP_OR_SKIP(loop, 4096);

  const auto container = open_container(loop.path(), {});

  ASSERT_FALSE(container);
  EXPECT_EQ(error_code(container), base::ErrorCode::kDenied);
  EXPECT_EQ(error_code(open_container(loop.path(), {.spacing = HeaderSpacing::k512})),
            base::ErrorCode::kDenied);
}

TEST_F(ContainerTest, DoesNotWriteToABlockDeviceThatTheKernelUses) {
  make_file(store_with_header_at(512));
  MAKE_LOOP_OR_SKIP(loop, 512);
  const base::Descriptor claim(::open(loop.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
  ASSERT_TRUE(claim.is_open());

  EXPECT_EQ(error_code(open_container(loop.path(), {.access = Access::kReadWrite})),
            base::ErrorCode::kUnavailable);
}

TEST_F(ContainerTest, RefusesAWrongWordAboutABlockDevice) {
  make_file(store_with_header_at(512));
  MAKE_LOOP_OR_SKIP(loop, 512);

  EXPECT_EQ(open_container(loop.path(), {})->spacing, HeaderSpacing::k512);
  EXPECT_EQ(error_code(open_container(loop.path(), {.spacing = HeaderSpacing::k4096})),
            base::ErrorCode::kDenied);
}

}  // namespace
}  // namespace vmgs::storage
