// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "tests/crash/store_state.h"
#include "tests/support/crash_states.h"
#include "tests/support/lying_disk.h"
#include "vmgs/format/blocks.h"
#include "vtpm/state/variable_flash.h"
#include "vtpm/state/volume_nv_store.h"

// The power-cut proof for the variable flash that lies beside a TPM.
namespace tests::crash {
namespace {

using support::CrashOptions;
using support::CrashState;
using support::DiskImage;
using support::LyingDisk;
using support::Operation;
using vmgs::format::FileId;
using vmgs::format::HeaderSpacing;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;
using vtpm::engine::BlobKind;
using vtpm::state::VariableFlash;
using vtpm::state::VolumeNvStore;

constexpr std::uint64_t kFlashBytes = 4096;
constexpr std::uint64_t kStoreBlocks = 24;

// The flash of an open volume, as an instance keeps it.
class FlashOfVolume final : public vtpm::state::FlashStore {
 public:
  FlashOfVolume(Volume& volume, VolumeNvStore& blobs) : volume_(volume), blobs_(blobs) {}

  [[nodiscard]] bool is_awaited() const override { return false; }

  base::Result<std::optional<base::SecretBytes>> load_flash() override {
    if (!volume_.contains(FileId::kUefiFlash)) {
      return std::optional<base::SecretBytes>();
    }
    TRY_ASSIGN(image, volume_.read(FileId::kUefiFlash));
    return std::optional<base::SecretBytes>(std::move(image));
  }

  base::Result<void> store_flash(base::ByteView image) override {
    return blobs_.store_flash(image);
  }

 private:
  Volume& volume_;
  VolumeNvStore& blobs_;
};

class FlashCrashTest : public testing::Test {
 protected:
  // What the flash holds now.
  base::Bytes image() const {
    base::Bytes bytes(kFlashBytes);
    flash_->read(0, bytes);
    return bytes;
  }

  // Every content that a power cut now may leave on the disk: the flash in it is one that was, and
  // none older than was acknowledged; the TPM too.
  void cut_power(const LyingDisk& disk) {
    support::explore_crash_states(disk, options_, [&](const CrashState& state) {
      ++states_;
      LyingDisk copy(state.image);
      auto opened = open_as_instance(copy);
      if (!opened || !*opened) {
        ADD_FAILURE() << "does not open: " << state.describe();
        return false;
      }
      auto& volume = **opened;
      const auto found = volume.read(FileId::kUefiFlash);
      const auto was =
          found ? std::find_if(history_.begin() + static_cast<int>(acknowledged_), history_.end(),
                               [&](const base::Bytes& each) {
                                 return std::ranges::equal(each, found->expose());
                               })
                : history_.end();
      VolumeNvStore blobs(volume, {}, vmgs::format::SeedProtection::kHost, std::nullopt);
      const auto tpm = blobs.load(BlobKind::kPermanent);
      const bool has_tpm = tpm && *tpm && (**tpm).size() >= tpm_at_least_;
      if (was == history_.end() || !has_tpm) {
        ADD_FAILURE() << (has_tpm ? "a flash that never was, or an old one: "
                                  : "a TPM that was acknowledged is gone: ")
                      << state.describe();
        return false;
      }
      return true;
    });
  }

  CrashOptions options_{.exhaustive_versions = 10, .random_states = 200};
  LyingDisk disk_{DiskImage(kStoreBlocks * vmgs::format::kBlockBytes)};
  VariableFlash* flash_ = nullptr;
  std::vector<base::Bytes> history_;
  std::size_t acknowledged_ = 0;  // of the history, by a flush
  std::size_t tpm_at_least_ = 0;  // bytes
  std::uint64_t states_ = 0;
};

TEST_F(FlashCrashTest, WheneverPowerIsCutTheFlashIsOneThatItWas) {
  const base::Bytes protector(224, std::byte{1});
  Transaction first;
  first.put(FileId::kSealedKeys, protector, vmgs::volume::Protection::kPlaintext);
  auto volume = *Volume::format(disk_, HeaderSpacing::k512, key_number(1), first);
  VolumeNvStore blobs(volume, {}, vmgs::format::SeedProtection::kHost, std::nullopt);
  FlashOfVolume store(volume, blobs);
  auto now = VariableFlash::Clock::now();
  VariableFlash flash(
      &store, [] { return base::Result<base::SecretBytes>(vtpm::state::blank_flash(kFlashBytes)); },
      {});
  flash_ = &flash;
  ASSERT_TRUE(flash.open());
  ASSERT_TRUE(blobs.store(BlobKind::kPermanent, base::Bytes(1)));
  ASSERT_TRUE(flash.write(0, base::Bytes(1, std::byte{0}), now));
  ASSERT_TRUE(flash.commit(now));
  history_.push_back(image());

  disk_.before_each([&](Operation operation, const LyingDisk& disk) {
    if (operation == Operation::kFlush && !disk.pending().empty()) {
      cut_power(disk);
    }
  });
  for (unsigned char i = 1; i <= 60 && !HasFailure(); ++i) {
    // Two variables far apart that belong together, as far as their writer knows.
    for (const std::uint64_t offset : {std::uint64_t{16} * i, kFlashBytes - 16 * i}) {
      ASSERT_TRUE(flash.write(offset, base::Bytes(8, std::byte{i}), now));
      history_.push_back(image());
      now += std::chrono::milliseconds(20);
      flash.tend(now);
    }
    if (i % 7 == 0) {
      ASSERT_TRUE(flash.commit(now));
      acknowledged_ = history_.size() - 1;
    }
    if (i % 11 == 0) {
      now += std::chrono::milliseconds(60);
      flash.tend(now);
    }
    if (i % 5 == 0) {
      ASSERT_TRUE(blobs.store(BlobKind::kPermanent, base::Bytes(i)));
      tpm_at_least_ = i;
    }
  }
  disk_.before_each({});
  std::printf("%llu states, the last of %zu images\n", static_cast<unsigned long long>(states_),
              history_.size());
  EXPECT_GT(states_, 1000U);
}

}  // namespace
}  // namespace tests::crash
