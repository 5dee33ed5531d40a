// SPDX-License-Identifier: Apache-2.0
// Whoever owns the storage may answer each read as he likes, and two reads of one place
// differently.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

namespace vmgs::volume {
namespace {

using format::FileId;
using format::HeaderSpacing;

constexpr std::uint64_t kStoreBytes = 64 * 4096;

DatastoreKey key() {
  constexpr std::array<std::byte, 32> kBytes = {std::byte{7}};
  return {base::Secret<32>::copy_of(kBytes)};
}

// A device that has two contents, and for each read an answer from one of them.
class ShiftingDevice final : public storage::BlockDevice {
 public:
  // Bit n of `answers` says which content the read number n is answered from.
  ShiftingDevice(const base::Bytes& one, const base::Bytes& other, std::uint64_t answers)
      : contents_{storage::MemoryDevice(one), storage::MemoryDevice(other)}, answers_(answers) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return contents_[0].size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    const auto which = static_cast<std::size_t>((answers_ >> (reads_++ % 64)) & 1);
    return contents_[which].read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    TRY(contents_[0].write(offset, bytes));
    return contents_[1].write(offset, bytes);
  }

  base::Result<void> flush() override { return {}; }

  [[nodiscard]] std::size_t reads() const { return reads_; }

 private:
  std::array<storage::MemoryDevice, 2> contents_;
  const std::uint64_t answers_;
  std::size_t reads_ = 0;
};

void commit(Volume& volume, const std::string& state) {
  Transaction transaction;
  const auto nvram = "nvram " + state;
  const auto bios = "bios " + state;
  transaction.put(FileId::kTpmNvram, base::bytes_of(nvram));
  transaction.put(FileId::kBiosNvram, base::bytes_of(bios));
  ASSERT_TRUE(volume.commit(transaction));
}

// The state that is read, or nothing if something was refused on the way.
std::string state_read(storage::BlockDevice& device) {
  auto volume = Volume::open(device, HeaderSpacing::k512);
  if (!volume || !volume->unlock(fixed_key(key())) || !volume->recover()) {
    return "";
  }
  const auto nvram = volume->read(FileId::kTpmNvram);
  const auto bios = volume->read(FileId::kBiosNvram);
  if (!nvram || !bios) {
    return "";
  }
  const auto text = [](const base::SecretBytes& content) {
    const auto bytes = content.expose();
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  return text(*nvram) + ", " + text(*bios);
}

TEST(ShiftingReadsTest, GiveOneWholeStateOrAnError) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key());
  commit(volume, "one");
  const auto one = device.contents();
  commit(volume, "two");
  commit(volume, "three");
  const auto three = device.contents();
  ShiftingDevice steady(one, three, ~std::uint64_t{0});
  ASSERT_EQ(state_read(steady), "nvram three, bios three");
  ASSERT_LE(steady.reads(), 16U);

  std::size_t whole = 0;
  for (std::uint64_t answers = 0; answers < std::uint64_t{1} << steady.reads(); ++answers) {
    ShiftingDevice shifting(one, three, answers);

    const auto state = state_read(shifting);

    whole += state.empty() ? 0 : 1;
    if (!state.empty() && state != "nvram one, bios one" && state != "nvram three, bios three" &&
        state != "nvram two, bios two") {
      ADD_FAILURE() << "answers " << answers << " mix: " << state;
    }
  }
  EXPECT_GE(whole, 2U);
}

TEST(ShiftingReadsTest, ABitThatIsTurnedInOneReadIsNeverContent) {
  storage::MemoryDevice device(kStoreBytes);
  auto volume = *Volume::format(device, HeaderSpacing::k512, key());
  commit(volume, "one");
  const auto good = device.contents();
  for (std::size_t at = 0; at < good.size(); at += 509) {
    auto spoilt = good;
    spoilt[at] ^= std::byte{0x10};
    for (std::uint64_t read = 0; read < 12; ++read) {
      ShiftingDevice shifting(good, spoilt, std::uint64_t{1} << read);

      const auto state = state_read(shifting);

      ASSERT_TRUE(state.empty() || state == "nvram one, bios one") << at << ", read " << read;
    }
  }
}

}  // namespace
}  // namespace vmgs::volume
