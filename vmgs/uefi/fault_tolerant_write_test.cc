// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/fault_tolerant_write.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "vmgs/uefi/flash_edit.h"
#include "vmgs/uefi/flash_image_writer.h"

namespace vmgs::uefi {
namespace {

using tests::support::error_code;

// The bits of a state are cleared one by one.
constexpr std::uint8_t kNone = 0xff;
constexpr std::uint8_t kAllocated = 0xfc;
constexpr std::uint8_t kWriteDone = 0xf8;
constexpr std::uint8_t kSpareDone = 0xfd;
constexpr std::uint8_t kAllDone = 0xf9;

void write_fields(base::Writer& writer, std::uint8_t state, std::size_t erased_bytes,
                  std::initializer_list<std::uint64_t> fields) {
  writer.u8(state);
  writer.bytes(base::Bytes(erased_bytes, std::byte{0xff}));
  for (const auto field : fields) {
    writer.u64_le(field);
  }
}

// A working block as OVMF has it.
class WorkingBlock {
 public:
  WorkingBlock() {
    writer_.bytes(*base::from_hex("2b29589e687c7d49a0ce6500fd9f1b952caf2c64feffffff"));
    writer_.u64_le(0xfe0);
  }

  WorkingBlock& write(std::uint8_t state, std::vector<std::uint8_t> records,
                      std::uint64_t private_bytes = 0) {
    write_fields(writer_, state, 23, {records.size(), private_bytes});
    for (const auto record : records) {
      write_fields(writer_, record, 7, {0, 0, 0x40000, 0});
      writer_.bytes(base::Bytes(static_cast<std::size_t>(private_bytes), std::byte{0}));
    }
    return *this;
  }

  [[nodiscard]] base::Bytes bytes(std::size_t in_front = 4096) const {
    base::Bytes all(in_front, std::byte{0xff});
    all.insert(all.end(), writer_.written().begin(), writer_.written().end());
    all.resize(in_front + 4096, std::byte{0xff});
    return all;
  }

 private:
  base::Writer writer_;
};

TEST(FaultTolerantWriteTest, IsPendingOnceTheSpareIsWhole) {
  EXPECT_FALSE(has_pending_write(WorkingBlock().bytes()));
  EXPECT_FALSE(has_pending_write(WorkingBlock().write(kAllocated, {kNone}).bytes()));
  EXPECT_TRUE(has_pending_write(WorkingBlock().write(kAllocated, {kSpareDone}).bytes()));
  EXPECT_FALSE(has_pending_write(WorkingBlock().write(kAllocated, {kAllDone}).bytes()));
  EXPECT_FALSE(has_pending_write(WorkingBlock().write(0xfe, {kSpareDone}).bytes()));
}

TEST(FaultTolerantWriteTest, LooksAtTheLastWriteAndItsFirstUnfinishedRecord) {
  WorkingBlock done;
  done.write(kWriteDone, {kAllDone, kAllDone}, 24).write(kWriteDone, {kSpareDone});

  EXPECT_FALSE(has_pending_write(done.bytes()));
  EXPECT_TRUE(has_pending_write(WorkingBlock(done).write(kAllocated, {kSpareDone}).bytes()));
  EXPECT_TRUE(
      has_pending_write(WorkingBlock(done).write(kAllocated, {kAllDone, kSpareDone}, 8).bytes()));
  EXPECT_FALSE(
      has_pending_write(WorkingBlock(done).write(kAllocated, {kNone, kSpareDone}).bytes()));
}

TEST(FaultTolerantWriteTest, TakesTheFirstWorkingBlockThatIsValid) {
  const auto pending = WorkingBlock().write(kAllocated, {kSpareDone});
  auto reclaimed = WorkingBlock().bytes();
  reclaimed[4096 + 20] = std::byte{0xff};
  auto damaged = WorkingBlock().bytes();
  damaged[4096 + 16] ^= std::byte{1};
  const auto behind = [](base::Bytes first, const base::Bytes& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };

  EXPECT_FALSE(has_pending_write(behind(WorkingBlock().bytes(), pending.bytes())));
  EXPECT_TRUE(has_pending_write(behind(reclaimed, pending.bytes())));
  EXPECT_TRUE(has_pending_write(behind(damaged, pending.bytes(0))));
}

TEST(FaultTolerantWriteTest, EndsAtSizesThatReachBeyondTheQueue) {
  for (const std::uint64_t huge : {std::uint64_t{5000}, UINT64_MAX, UINT64_MAX / 2}) {
    base::Writer header;
    write_fields(header, kWriteDone, 23, {huge, huge});
    auto image = WorkingBlock().bytes();
    std::copy(header.written().begin(), header.written().end(), image.begin() + 4096 + 32);
    EXPECT_FALSE(has_pending_write(image));
    image[4096 + 32] = std::byte{kAllocated};
    EXPECT_FALSE(has_pending_write(image));
  }
  const auto whole = WorkingBlock().write(kAllocated, {kSpareDone}).bytes();
  for (std::size_t size = 0; size < 4096 + 32 + 80; ++size) {
    EXPECT_FALSE(has_pending_write(base::ByteView(whole).first(size))) << size;
  }
}

TEST(FaultTolerantWriteTest, KeepsVariablesFromBeingEdited) {
  auto image = ImageWriter().add("Kept", base::Bytes(40)).image();
  const auto block = WorkingBlock().write(kAllocated, {kSpareDone}).bytes();
  std::copy(block.begin(), block.end(), image.begin() + 0xe000);
  Variable variable;
  variable.vendor = kGlobalVariable;
  variable.name = u"Fresh";
  variable.data = base::Bytes(3);

  EXPECT_TRUE(decode_flash(image)) << "it can be read";
  EXPECT_EQ(error_code(with_variable(image, variable)), base::ErrorCode::kDenied);
  EXPECT_EQ(error_code(without_variable(image, kGlobalVariable, u"Kept")),
            base::ErrorCode::kDenied);
  image[0xe000 + 4096 + 32 + 40] = std::byte{kAllDone};
  EXPECT_TRUE(with_variable(image, variable));
}

}  // namespace
}  // namespace vmgs::uefi
