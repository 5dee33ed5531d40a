// SPDX-License-Identifier: Apache-2.0
#include "vtpm/state/volume_nv_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/error_code.h"
#include "tests/support/lying_disk.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/crypto/random.h"
#include "vmgs/format/swtpm_blob.h"
#include "vmgs/format/tpm_state.h"
#include "vtpm/engine/engine.h"

namespace vtpm::state {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::DiskImage;
using tests::support::error_code;
using tests::support::LyingDisk;
using tests::support::Operation;
using vmgs::format::FileId;
using vmgs::format::HeaderSpacing;
using vmgs::format::SeedProtection;
using vmgs::volume::DatastoreKey;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;
namespace tpm = tests::support;

constexpr std::uint64_t kStoreBytes = 256 * 1024;

const vmgs::format::VmId kVm = *vmgs::format::parse_vm_id("00112233-4455-6677-8899-aabbccddeeff");
const vmgs::format::VmId kOtherVm =
    *vmgs::format::parse_vm_id("ffeeddcc-bbaa-9988-7766-554433221100");

class VolumeNvStoreTest : public testing::Test {
 protected:
  VolumeNvStoreTest() {
    auto volume = Volume::format(disk_, HeaderSpacing::k512, key_.clone());
    volume_.emplace(*std::move(volume));
    store_.emplace(*volume_, kVm, SeedProtection::kHost, std::nullopt);
  }

  void put(FileId id, base::ByteView content) {
    Transaction transaction;
    transaction.put(id, content);
    ASSERT_TRUE(volume_->commit(transaction));
  }

  std::string load(BlobKind kind) {
    const auto blob = store_->load(kind);
    if (!blob) {
      return "error: " + blob.error().message;
    }
    if (!*blob) {
      return "none";
    }
    const auto bytes = (**blob).expose();
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  // How often the disk was flushed by `change`.
  template <typename Change>
  std::uint64_t flushes_of(Change change) {
    const auto before = disk_.count(Operation::kFlush);
    EXPECT_TRUE(change());
    return disk_.count(Operation::kFlush) - before;
  }

  LyingDisk disk_{DiskImage(kStoreBytes)};
  DatastoreKey key_{*vmgs::crypto::random_secret<32>()};
  std::optional<Volume> volume_;
  std::optional<VolumeNvStore> store_;
};

TEST_F(VolumeNvStoreTest, GivesNothingWhereNothingWasStored) {
  EXPECT_EQ(load(BlobKind::kPermanent), "none");
  EXPECT_EQ(load(BlobKind::kVolatile), "none");
}

TEST_F(VolumeNvStoreTest, GivesBackWhatWasStored) {
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));
  ASSERT_TRUE(store_->store(BlobKind::kVolatile, base::bytes_of("registers")));

  EXPECT_EQ(load(BlobKind::kPermanent), "seeds");
  EXPECT_EQ(load(BlobKind::kVolatile), "registers");
}

TEST_F(VolumeNvStoreTest, KeepsItAsFilesInTheirEnvelopes) {
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));

  const auto content = volume_->read(FileId::kTpmNvram);
  const auto state = vmgs::format::decode_tpm_state(content->expose());
  ASSERT_TRUE(state);
  EXPECT_EQ(state->vm_id, kVm);
  EXPECT_EQ(state->kind, vmgs::format::TpmStateKind::kPermanent);
  EXPECT_EQ(state->libtpms_version, engine::Engine::library_version());
}

TEST_F(VolumeNvStoreTest, RemembersTheStrongestProtectionThatSeedsHaveLivedUnder) {
  const auto noted = [this] {
    const auto content = volume_->read(FileId::kTpmNvram);
    return vmgs::format::decode_tpm_state(content->expose())->seed_protection;
  };
  const auto reopen = [this](SeedProtection protection) {
    store_.emplace(*volume_, kVm, protection, std::nullopt);
    EXPECT_EQ(load(BlobKind::kPermanent), "seeds");
    EXPECT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));
  };
  const auto old = vmgs::format::encode_tpm_state({.vm_id = kVm, .blob = base::bytes_of("seeds")});
  put(FileId::kTpmNvram, old.expose());
  reopen(SeedProtection::kHost);
  EXPECT_FALSE(store_->is_weaker()) << "nothing is known of the past";
  EXPECT_EQ(noted(), SeedProtection::kHost);
  reopen(SeedProtection::kTee);
  EXPECT_FALSE(store_->is_weaker());
  EXPECT_EQ(noted(), SeedProtection::kTee);
  reopen(SeedProtection::kNone);
  EXPECT_TRUE(store_->is_weaker());
  EXPECT_EQ(noted(), SeedProtection::kTee) << "the seeds are what they were";

  store_->seeds_were_changed();
  EXPECT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));
  EXPECT_FALSE(store_->is_weaker());
  EXPECT_EQ(noted(), SeedProtection::kNone);
}

TEST_F(VolumeNvStoreTest, WaitsOnceForTheDiskAtEachStore) {
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));

  EXPECT_EQ(flushes_of(
                [&] { return store_->store(BlobKind::kPermanent, base::bytes_of("other seeds")); }),
            1U);
  EXPECT_EQ(flushes_of([&] { return store_->remove(BlobKind::kVolatile); }), 0U);
  EXPECT_EQ(flushes_of([&] { return store_->load(BlobKind::kPermanent); }), 0U);
}

TEST_F(VolumeNvStoreTest, WaitsTwiceForTheDiskWhereEveryReaderIsToOpenIt) {
  store_.emplace(*volume_, kVm, SeedProtection::kHost, std::nullopt, vmgs::volume::Barriers::kTwo);
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));

  EXPECT_EQ(flushes_of(
                [&] { return store_->store(BlobKind::kPermanent, base::bytes_of("other seeds")); }),
            2U);
}

TEST_F(VolumeNvStoreTest, StoringAPermanentBlobRemovesTheVolatileOneInTheSameCommit) {
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));
  ASSERT_TRUE(store_->store(BlobKind::kVolatile, base::bytes_of("registers")));

  EXPECT_EQ(flushes_of([&] { return store_->store(BlobKind::kPermanent, base::bytes_of("new")); }),
            1U);

  EXPECT_EQ(load(BlobKind::kVolatile), "none");
}

TEST_F(VolumeNvStoreTest, RemovesAVolatileBlob) {
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));
  ASSERT_TRUE(store_->store(BlobKind::kVolatile, base::bytes_of("registers")));

  ASSERT_TRUE(store_->remove(BlobKind::kVolatile));

  EXPECT_EQ(load(BlobKind::kVolatile), "none");
  EXPECT_EQ(load(BlobKind::kPermanent), "seeds");
}

TEST_F(VolumeNvStoreTest, CommitsTheRecordWithTheFirstChangeAndOnlyOnce) {
  vmgs::format::Record record;
  record.vm_id = kVm;
  record.boot_id.fill(std::byte{7});
  store_.emplace(*volume_, kVm, SeedProtection::kHost, record);
  EXPECT_FALSE(volume_->contains(FileId::kRecord));

  EXPECT_EQ(flushes_of([&] { return store_->store(BlobKind::kPermanent, base::bytes_of("a")); }),
            1U);
  const auto content = volume_->read(FileId::kRecord);
  ASSERT_TRUE(content);
  EXPECT_EQ(*vmgs::format::decode_record(content->expose()), record);

  Transaction removal;
  removal.remove(FileId::kRecord);
  ASSERT_TRUE(volume_->commit(removal));
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("b")));
  EXPECT_FALSE(volume_->contains(FileId::kRecord));
}

TEST_F(VolumeNvStoreTest, KeepsTheRecordForTheNextCommitWhenOneFails) {
  vmgs::format::Record record;
  record.vm_id = kVm;
  store_.emplace(*volume_, kVm, SeedProtection::kHost, record);
  const base::Bytes too_large(kStoreBytes, std::byte{1});

  EXPECT_FALSE(store_->store(BlobKind::kPermanent, too_large));
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("small")));

  EXPECT_TRUE(volume_->contains(FileId::kRecord));
}

TEST_F(VolumeNvStoreTest, RefusesTheTpmOfAnotherVmByName) {
  VolumeNvStore other(*volume_, kOtherVm, SeedProtection::kHost, std::nullopt);
  ASSERT_TRUE(other.store(BlobKind::kPermanent, base::bytes_of("seeds")));

  const auto blob = store_->load(BlobKind::kPermanent);

  ASSERT_EQ(error_code(blob), ErrorCode::kDenied);
  EXPECT_THAT(blob.error().message, testing::HasSubstr(to_string(kOtherVm)));
}

TEST_F(VolumeNvStoreTest, NamesAStateOfAnotherMakerAndLeavesItAlone) {
  const auto swtpm =
      vmgs::format::encode_swtpm_blob(vmgs::format::SwtpmUse::kFile, base::bytes_of("state"));
  put(FileId::kTpmNvram, swtpm.expose());

  const auto blob = store_->load(BlobKind::kPermanent);

  ASSERT_EQ(error_code(blob), ErrorCode::kDenied);
  EXPECT_THAT(blob.error().message,
              testing::AllOf(testing::HasSubstr("TPM_NVRAM (3)"), testing::HasSubstr("swtpm")));
  EXPECT_TRUE(std::ranges::equal(volume_->read(FileId::kTpmNvram)->expose(), swtpm.expose()));
}

TEST_F(VolumeNvStoreTest, RefusesNoiseAndDamage) {
  put(FileId::kTpmNvram, base::Bytes(32768, std::byte{0x5a}));
  EXPECT_EQ(error_code(store_->load(BlobKind::kPermanent)), ErrorCode::kCorrupt);

  put(FileId::kTpmNvram, base::Bytes(32768));
  EXPECT_EQ(error_code(store_->load(BlobKind::kPermanent)), ErrorCode::kCorrupt);
}

TEST_F(VolumeNvStoreTest, RefusesAPermanentStateWhereTheVolatileOneBelongs) {
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("seeds")));
  put(FileId::kTpmVolatile, volume_->read(FileId::kTpmNvram)->expose());

  EXPECT_EQ(error_code(store_->load(BlobKind::kVolatile)), ErrorCode::kCorrupt);
}

TEST_F(VolumeNvStoreTest, KeepsTheOldStateWhenTheDiskFails) {
  ASSERT_TRUE(store_->store(BlobKind::kPermanent, base::bytes_of("old")));
  disk_.fail_flush(1, tests::support::Lasting::kForGood,
                   tests::support::AfterFailedFlush::kDropsWrites);

  EXPECT_EQ(error_code(store_->store(BlobKind::kPermanent, base::bytes_of("new"))), ErrorCode::kIo);

  LyingDisk after_power_loss(disk_.durable());
  auto reopened = Volume::open(after_power_loss, HeaderSpacing::k512);
  ASSERT_TRUE(reopened);
  ASSERT_TRUE(reopened->unlock(vmgs::volume::fixed_key(key_.clone())));
  VolumeNvStore old(*reopened, kVm, SeedProtection::kHost, std::nullopt);
  const auto blob = old.load(BlobKind::kPermanent);
  EXPECT_TRUE(std::ranges::equal((**blob).expose(), base::bytes_of("old")));
}

// A real TPM on this store: what the guest sees, the disk has.
TEST_F(VolumeNvStoreTest, KeepsTheStateOfARealTpm) {
  constexpr std::uint32_t kIndex = 0x01500016;
  auto engine = *engine::Engine::create(*store_);
  ASSERT_TRUE(engine->start(engine::Origin::kManufacture));
  const auto run = [&](base::Bytes command) {
    return base::copy_of(*engine->process(protocol::Locality(), command));
  };
  ASSERT_EQ(tpm::response_code(run(tpm::startup_clear())), tpm::kSuccess);
  ASSERT_EQ(tpm::response_code(run(tpm::nv_define(kIndex, 4))), tpm::kSuccess);

  EXPECT_EQ(flushes_of([&] {
              return tpm::response_code(run(tpm::nv_write(kIndex, *base::from_hex("cafebabe")))) ==
                     tpm::kSuccess;
            }),
            1U);
  EXPECT_EQ(
      flushes_of([&] { return tpm::response_code(run(tpm::nv_read(kIndex, 4))) == tpm::kSuccess; }),
      0U);

  engine->terminate();
  ASSERT_TRUE(engine->start(engine::Origin::kExisting));
  ASSERT_EQ(tpm::response_code(run(tpm::startup_clear())), tpm::kSuccess);
  EXPECT_EQ(base::to_hex(tpm::nv_data(run(tpm::nv_read(kIndex, 4)))), "cafebabe");
}

// Where no digest makes a torn commit known, two barriers do.
TEST(PlaintextVolumeNvStoreTest, WaitsTwiceForTheDiskAtEachStore) {
  LyingDisk disk{DiskImage(kStoreBytes)};
  auto volume = Volume::format(disk, HeaderSpacing::k512, std::nullopt);
  ASSERT_TRUE(volume);
  VolumeNvStore store(*volume, kVm, SeedProtection::kHost, std::nullopt);
  const auto before = disk.count(Operation::kFlush);

  ASSERT_TRUE(store.store(BlobKind::kPermanent, base::bytes_of("seeds")));

  EXPECT_EQ(disk.count(Operation::kFlush) - before, 2U);
}

}  // namespace
}  // namespace vtpm::state
