// SPDX-License-Identifier: Apache-2.0
#include "tests/support/lying_disk.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/support/error_code.h"

namespace tests::support {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t kSectors = 8;

LyingDisk blank_disk() { return LyingDisk(DiskImage(kSectors * kSectorBytes)); }

base::Bytes filled(std::size_t size, int value) {
  return base::Bytes(size, static_cast<std::byte>(value));
}

// The first byte of each sector.
std::vector<int> sketch(const DiskImage& image) {
  std::vector<int> firsts;
  for (std::uint64_t i = 0; i < image.size_bytes() / kSectorBytes; ++i) {
    firsts.push_back(std::to_integer<int>(image.sector(i)[0]));
  }
  return firsts;
}

TEST(DiskImageTest, CopiesDoNotSeeEachOthersChanges) {
  DiskImage first(kSectors * kSectorBytes);
  auto sector = std::make_shared<SectorBytes>();
  sector->fill(std::byte{7});

  DiskImage second = first;
  second.put(3, sector);

  EXPECT_THAT(sketch(first), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(sketch(second), ElementsAre(0, 0, 0, 7, 0, 0, 0, 0));
}

TEST(DiskImageTest, ReadsAcrossSectorsAndStaysRightAfterManyChanges) {
  constexpr std::uint64_t kMany = 2000;
  base::Bytes expected(kMany * kSectorBytes);
  DiskImage image{base::Bytes(expected)};
  for (std::uint64_t i = 0; i < kMany; i += 2) {
    auto sector = std::make_shared<SectorBytes>();
    sector->fill(static_cast<std::byte>(i % 251 + 1));
    std::ranges::copy(*sector, expected.begin() + static_cast<std::ptrdiff_t>(i * kSectorBytes));
    image.put(i, sector);
  }

  EXPECT_TRUE(image.contents() == expected);
  base::Bytes part(5000);
  image.read(777, part);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), expected.begin() + 777));
}

TEST(LyingDiskTest, ShowsWritesAtOnceAndKeepsThemAfterAFlush) {
  auto disk = blank_disk();

  ASSERT_TRUE(disk.write(kSectorBytes, filled(2 * kSectorBytes, 5)));

  EXPECT_THAT(sketch(disk.seen()), ElementsAre(0, 5, 5, 0, 0, 0, 0, 0));
  EXPECT_THAT(sketch(disk.durable()), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
  ASSERT_EQ(disk.pending().size(), 1U);
  EXPECT_EQ(disk.pending()[0].sectors.size(), 2U);

  ASSERT_TRUE(disk.flush());

  EXPECT_THAT(sketch(disk.durable()), ElementsAre(0, 5, 5, 0, 0, 0, 0, 0));
  EXPECT_TRUE(disk.pending().empty());
}

TEST(LyingDiskTest, KeepsTheRestOfASectorThatIsWrittenInPart) {
  auto disk = blank_disk();
  ASSERT_TRUE(disk.write(0, filled(2 * kSectorBytes, 1)));

  ASSERT_TRUE(disk.write(kSectorBytes - 2, filled(4, 9)));

  base::Bytes back(8);
  ASSERT_TRUE(disk.read(kSectorBytes - 4, back));
  EXPECT_EQ(base::to_hex(back), "0101090909090101");
  EXPECT_EQ(disk.pending()[1].sectors.size(), 2U);
}

TEST(LyingDiskTest, RefusesWhatLiesOutside) {
  auto disk = blank_disk();

  EXPECT_EQ(error_code(disk.write(kSectors * kSectorBytes - 1, filled(2, 1))),
            base::ErrorCode::kInvalidArgument);
  base::Bytes two(2);
  EXPECT_EQ(error_code(disk.read(kSectors * kSectorBytes - 1, two)),
            base::ErrorCode::kInvalidArgument);
}

TEST(LyingDiskTest, ACopyGoesOnWithTheWritesInFlight) {
  auto disk = blank_disk();
  ASSERT_TRUE(disk.write(0, filled(kSectorBytes, 1)));

  auto copy = disk;
  ASSERT_TRUE(copy.flush());

  EXPECT_EQ(disk.pending().size(), 1U);
  EXPECT_THAT(sketch(disk.durable()), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(sketch(copy.durable()), ElementsAre(1, 0, 0, 0, 0, 0, 0, 0));
}

TEST(LyingDiskTest, ShowsItselfBeforeEachOperationButNotItsCopies) {
  auto disk = blank_disk();
  std::vector<std::pair<Operation, std::size_t>> calls;
  disk.before_each([&](Operation operation, const LyingDisk& now) {
    calls.emplace_back(operation, now.pending().size());
  });
  base::Bytes byte(1);

  ASSERT_TRUE(disk.write(0, filled(1, 1)));
  ASSERT_TRUE(disk.read(0, byte));
  auto copy = disk;
  ASSERT_TRUE(copy.flush());
  ASSERT_TRUE(disk.flush());

  using Call = std::pair<Operation, std::size_t>;
  EXPECT_THAT(calls, ElementsAre(Call(Operation::kWrite, 0), Call(Operation::kRead, 1),
                                 Call(Operation::kFlush, 1)));
}

TEST(LyingDiskTest, CountsOperations) {
  auto disk = blank_disk();
  disk.fail_write(1);

  EXPECT_FALSE(disk.write(0, filled(1, 1)));
  EXPECT_TRUE(disk.write(0, filled(1, 1)));
  EXPECT_TRUE(disk.flush());

  EXPECT_EQ(disk.count(Operation::kWrite), 2U);
  EXPECT_EQ(disk.count(Operation::kFlush), 1U);
  EXPECT_EQ(disk.count(Operation::kRead), 0U);
}

TEST(LyingDiskTest, FailsTheNthReadOnce) {
  auto disk = blank_disk();
  base::Bytes byte(1);
  disk.fail_read(2);

  EXPECT_TRUE(disk.read(0, byte));
  EXPECT_FALSE(disk.fault_happened());
  EXPECT_EQ(error_code(disk.read(0, byte)), base::ErrorCode::kIo);
  EXPECT_TRUE(disk.fault_happened());
  EXPECT_TRUE(disk.read(0, byte));
}

TEST(LyingDiskTest, FailsReadsForGood) {
  auto disk = blank_disk();
  base::Bytes byte(1);
  disk.fail_read(2, Lasting::kForGood);

  EXPECT_TRUE(disk.read(0, byte));
  EXPECT_EQ(error_code(disk.read(0, byte)), base::ErrorCode::kIo);
  EXPECT_EQ(error_code(disk.read(0, byte)), base::ErrorCode::kIo);
  EXPECT_TRUE(disk.write(0, byte));
}

TEST(LyingDiskTest, FailsAWriteWithNothingWritten) {
  auto disk = blank_disk();
  disk.fail_write(1);

  EXPECT_EQ(error_code(disk.write(0, filled(kSectorBytes, 1))), base::ErrorCode::kIo);

  EXPECT_TRUE(disk.pending().empty());
  EXPECT_TRUE(disk.write(0, filled(kSectorBytes, 2)));
}

TEST(LyingDiskTest, FailsAWriteWithAPrefixWritten) {
  auto disk = blank_disk();
  disk.fail_write(1, Lasting::kForGood, kSectorBytes + 1);

  EXPECT_EQ(error_code(disk.write(0, filled(3 * kSectorBytes, 4))), base::ErrorCode::kIo);

  EXPECT_THAT(sketch(disk.seen()), ElementsAre(4, 4, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(std::to_integer<int>(disk.seen().sector(1)[1]), 0);
  EXPECT_EQ(error_code(disk.write(0, filled(1, 1))), base::ErrorCode::kIo);
}

TEST(LyingDiskTest, TearsAWriteAndCallsItDone) {
  auto disk = blank_disk();
  disk.tear_write(1, kSectorBytes);

  EXPECT_TRUE(disk.write(0, filled(3 * kSectorBytes, 4)));

  EXPECT_THAT(sketch(disk.seen()), ElementsAre(4, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_TRUE(disk.fault_happened());
}

class FailedFlushTest : public ::testing::Test {
 protected:
  // A flush fails with one write in flight. Afterwards the disk works as if nothing had been.
  void fail_flush(AfterFailedFlush after) {
    disk_.forget_failed_flushes();
    ASSERT_TRUE(disk_.write(0, filled(kSectorBytes, 1)));
    disk_.fail_flush(1, Lasting::kOnce, after);
    ASSERT_EQ(error_code(disk_.flush()), base::ErrorCode::kIo);
  }

  LyingDisk disk_ = blank_disk();
};

TEST_F(FailedFlushTest, MayLeaveWritesInFlight) {
  fail_flush(AfterFailedFlush::kKeepsWrites);

  EXPECT_EQ(disk_.pending().size(), 1U);
  ASSERT_TRUE(disk_.flush());
  EXPECT_THAT(sketch(disk_.durable()), ElementsAre(1, 0, 0, 0, 0, 0, 0, 0));
}

TEST_F(FailedFlushTest, MayDropWritesAndShowTheOldBytes) {
  fail_flush(AfterFailedFlush::kDropsWrites);

  EXPECT_TRUE(disk_.pending().empty());
  EXPECT_THAT(sketch(disk_.seen()), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
}

TEST_F(FailedFlushTest, MayDropWritesAndGoOnShowingThem) {
  fail_flush(AfterFailedFlush::kDropsButShowsWrites);
  ASSERT_TRUE(disk_.write(kSectorBytes, filled(kSectorBytes, 2)));

  ASSERT_TRUE(disk_.flush());

  EXPECT_THAT(sketch(disk_.seen()), ElementsAre(1, 2, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(sketch(disk_.durable()), ElementsAre(0, 2, 0, 0, 0, 0, 0, 0));
}

TEST(LyingDiskTest, TakesNothingMoreAfterAFailedFlush) {
  auto disk = blank_disk();
  disk.fail_flush(1);
  ASSERT_FALSE(disk.flush());

  EXPECT_EQ(error_code(disk.write(0, filled(1, 1))), base::ErrorCode::kIo);
  EXPECT_EQ(error_code(disk.flush()), base::ErrorCode::kIo);
  EXPECT_TRUE(disk.pending().empty());
  base::Bytes byte(1);
  EXPECT_TRUE(disk.read(0, byte));
}

TEST(LyingDiskTest, ShowsOtherBytesWhenReadAgain) {
  auto disk = blank_disk();
  disk.change_rereads(1, 1);
  base::Bytes first(3 * kSectorBytes);
  base::Bytes second(3 * kSectorBytes);
  base::Bytes third(1);

  ASSERT_TRUE(disk.read(0, first));
  EXPECT_FALSE(disk.fault_happened());
  ASSERT_TRUE(disk.read(0, second));
  ASSERT_TRUE(disk.read(kSectorBytes, third));

  EXPECT_TRUE(base::is_all_zero(first));
  EXPECT_TRUE(base::is_all_zero(base::ByteView(second).first(kSectorBytes)));
  EXPECT_EQ(
      std::count(second.begin() + kSectorBytes, second.begin() + 2 * kSectorBytes, std::byte{1}),
      static_cast<std::ptrdiff_t>(kSectorBytes));
  EXPECT_TRUE(base::is_all_zero(base::ByteView(second).subspan(2 * kSectorBytes)));
  EXPECT_EQ(third[0], std::byte{2});
  EXPECT_TRUE(disk.fault_happened());
}

}  // namespace
}  // namespace tests::support
