// SPDX-License-Identifier: Apache-2.0
#include "vtpm/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "tests/support/fake_nv_store.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/crypto/digest.h"

namespace vtpm::engine {
namespace {

using tests::support::FakeNvStore;
using tests::support::response_code;
namespace tpm = tests::support;

constexpr std::uint32_t kIndex = 0x01500016;
constexpr std::uint32_t kOtherIndex = 0x01500017;
constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

base::Bytes data_of(std::uint8_t value) { return base::Bytes(64, std::byte{value}); }

class EngineTest : public testing::Test {
 protected:
  // A new TPM after its Startup.
  void SetUp() override {
    open();
    ASSERT_TRUE(engine_->start(Origin::kManufacture));
    ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  }

  void open() {
    engine_.reset();
    auto engine = Engine::create(store_);
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *std::move(engine);
  }

  base::Bytes send(base::Bytes command, std::uint8_t locality = 0) {
    const auto response = engine_->process(*protocol::Locality::of(locality), command);
    EXPECT_TRUE(response) << response.error().message;
    return response ? base::copy_of(*response) : base::Bytes(10);
  }

  std::uint32_t run(base::Bytes command, std::uint8_t locality = 0) {
    return response_code(send(std::move(command), locality));
  }

  // How often running a command that succeeds stored something.
  int stores_of(base::Bytes command) {
    const int before = store_.stores;
    EXPECT_EQ(run(std::move(command)), tpm::kSuccess);
    return store_.stores - before;
  }

  void power_cycle() {
    engine_->terminate();
    const auto started = engine_->start(Origin::kExisting);
    ASSERT_TRUE(started) << started.error().message;
  }

  FakeNvStore store_;
  std::unique_ptr<Engine> engine_;
};

using EngineStartTest = EngineTest;
using EngineStateTest = EngineTest;
using EngineStoreTest = EngineTest;
using EngineForkTest = EngineTest;
using EngineHashTest = EngineTest;

TEST_F(EngineTest, IsOneToAProcess) {
  FakeNvStore other;

  const auto second = Engine::create(other);

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::ErrorCode::kDenied);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(EngineTest, RefusesCommandsWhenOff) {
  engine_->terminate();
  auto command = tpm::get_random(8);

  const auto response = engine_->process(protocol::Locality(), command);

  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, base::ErrorCode::kDenied);
}

TEST_F(EngineTest, RunsACommandAtItsLocality) {
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest), 0), tpm::kLocality);
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest), 3), tpm::kSuccess);
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest), 0), tpm::kLocality);
}

TEST_F(EngineTest, AnswersAMalformedCommandAsATpmDoes) {
  EXPECT_EQ(run(*base::from_hex("80010000000d0000017b0010")), tpm::kCommandSize);
}

TEST_F(EngineTest, CancelsAKeyGenerationThatIsRunning) {
  std::atomic<bool> done = false;
  std::thread canceller([&] {
    while (!done) {
      engine_->cancel();
    }
  });

  const auto code = run(tpm::create_primary_rsa(3072, 1));
  done = true;
  canceller.join();

  EXPECT_EQ(code, tpm::kCanceled);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(EngineTest, ForgetsACancelThatCameBetweenTwoCommands) {
  engine_->cancel();

  EXPECT_EQ(run(tpm::create_primary_rsa(2048, 2)), tpm::kSuccess);
}

TEST_F(EngineTest, ClampsTheBufferSizeAndKeepsItWhileRunning) {
  const auto running = engine_->set_buffer_size(3968);
  ASSERT_FALSE(running);
  EXPECT_EQ(running.error().code, base::ErrorCode::kDenied);
  engine_->terminate();

  EXPECT_EQ(engine_->set_buffer_size(3968)->current, 3968U);
  EXPECT_EQ(engine_->buffer_size().current, 3968U);
  const auto lowest = engine_->set_buffer_size(1);
  EXPECT_EQ(lowest->current, lowest->min);
  const auto highest = engine_->set_buffer_size(1U << 20);
  EXPECT_EQ(highest->current, highest->max);
  EXPECT_EQ(highest->max, 4096U);
}

// What this process has written to and still has in memory, exactly.
long written_kib() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Private_Dirty:")) {
      return std::strtol(line.c_str() + std::strlen("Private_Dirty:"), nullptr, 10);
    }
  }
  return 0;
}

TEST_F(EngineTest, GivesBackMemoryAndNoticesNothing) {
  // A TPM that was manufactured just now has its NV memory filled with ones.
  power_cycle();
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(3))), tpm::kSuccess);
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto pcr = tpm::pcr_value(send(tpm::pcr_read(16)));
  const auto before = engine_->state_blob(BlobKind::kPermanent);
  ASSERT_GT(written_kib(), 0);
  const long written = written_kib();

  engine_->give_back_memory();

  EXPECT_LE(written_kib(), written - 128);
  const auto after = engine_->state_blob(BlobKind::kPermanent);
  ASSERT_TRUE(before && after);
  EXPECT_EQ(base::to_hex(before->expose()), base::to_hex(after->expose()));
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kIndex, 64))), data_of(3));
  EXPECT_EQ(tpm::pcr_value(send(tpm::pcr_read(16))), pcr);
  ASSERT_EQ(run(tpm::nv_define(kOtherIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kOtherIndex, data_of(4))), tpm::kSuccess);
  power_cycle();
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kOtherIndex, 64))), data_of(4));
}

TEST_F(EngineTest, InformsAboutTheImplementation) {
  EXPECT_THAT(*engine_->info(1), testing::HasSubstr("\"TPMSpecification\":{\"family\":\"2.0\""));
  EXPECT_EQ(*engine_->info(0), "{}");
}

// Starting.

TEST_F(EngineStartTest, MakesNothingNewWhereStateIsMissing) {
  engine_->terminate();
  ASSERT_TRUE(store_.remove(BlobKind::kPermanent));
  const int stores = store_.stores;

  const auto started = engine_->start(Origin::kExisting);

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, base::ErrorCode::kNotFound);
  EXPECT_FALSE(engine_->running());
  EXPECT_EQ(store_.stores, stores);
  EXPECT_TRUE(store_.stored(BlobKind::kPermanent).empty());
}

TEST_F(EngineStartTest, MakesNothingNewOverExistingState) {
  engine_->terminate();
  const auto before = store_.stored(BlobKind::kPermanent);

  const auto started = engine_->start(Origin::kManufacture);

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, base::ErrorCode::kDenied);
  EXPECT_EQ(store_.stored(BlobKind::kPermanent), before);
}

TEST_F(EngineStartTest, RefusesForeignStateAndLeavesItAlone) {
  engine_->terminate();
  const base::Bytes foreign(1299, std::byte{0x5a});
  ASSERT_TRUE(store_.store(BlobKind::kPermanent, foreign));
  const int stores = store_.stores;

  const auto started = engine_->start(Origin::kExisting);

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, base::ErrorCode::kCorrupt);
  EXPECT_FALSE(engine_->running());
  EXPECT_EQ(store_.stores, stores);
  EXPECT_EQ(store_.stored(BlobKind::kPermanent), foreign);
}

TEST_F(EngineStartTest, RefusesTruncatedStateAndLeavesItAlone) {
  engine_->terminate();
  auto cut = store_.stored(BlobKind::kPermanent);
  cut.resize(cut.size() - 40);
  ASSERT_TRUE(store_.store(BlobKind::kPermanent, cut));

  EXPECT_FALSE(engine_->start(Origin::kExisting));
  EXPECT_EQ(store_.stored(BlobKind::kPermanent), cut);
}

TEST_F(EngineStartTest, StartsAgainAfterARefusedState) {
  engine_->terminate();
  const auto good = store_.stored(BlobKind::kPermanent);
  ASSERT_TRUE(store_.store(BlobKind::kPermanent, base::bytes_of("no state")));
  ASSERT_FALSE(engine_->start(Origin::kExisting));

  ASSERT_TRUE(store_.store(BlobKind::kPermanent, good));
  ASSERT_TRUE(engine_->start(Origin::kExisting));
  EXPECT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
}

TEST_F(EngineStartTest, MakesNothingNewWhereTheStoreCannotBeRead) {
  engine_->terminate();
  store_.load_error = base::Error{base::ErrorCode::kIo, "the disk is gone"};
  const int stores = store_.stores;

  const auto started = engine_->start(Origin::kExisting);

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, base::ErrorCode::kIo);
  EXPECT_EQ(store_.stores, stores);
}

// libtpms powers a new TPM on by loading what it has just stored. Where that load said "no state"
// it went on with empty NV memory: no PCR banks, no seeds.
TEST_F(EngineStartTest, PowersOnTheTpmThatItManufactured) {
  EXPECT_EQ(tpm::pcr_value(send(tpm::pcr_read(16))).size(), 32U);
  auto key = send(tpm::create_primary_ecc(tpm::kOwner));
  power_cycle();
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(send(tpm::create_primary_ecc(tpm::kOwner)), key);
}

TEST_F(EngineStartTest, KeepsNvOverAPowerCycle) {
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(7))), tpm::kSuccess);

  power_cycle();

  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kIndex, 64))), data_of(7));
}

// Storing.

TEST_F(EngineStoreTest, StoresNothingForCommandsThatChangeNoDurableState) {
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(1))), tpm::kSuccess);

  EXPECT_EQ(stores_of(tpm::get_random(32)), 0);
  EXPECT_EQ(stores_of(tpm::pcr_read(16)), 0);
  EXPECT_EQ(stores_of(tpm::pcr_extend(16, kDigest)), 0);
  EXPECT_EQ(stores_of(tpm::nv_read(kIndex, 64)), 0);
  EXPECT_EQ(stores_of(tpm::nv_write(kIndex, data_of(1))), 0) << "the same data again";
  EXPECT_EQ(stores_of(tpm::create_primary_ecc()), 0);
}

TEST_F(EngineStoreTest, StoresOnceForEachChangeOfNv) {
  EXPECT_EQ(stores_of(tpm::nv_define(kIndex, 64)), 1);
  EXPECT_EQ(stores_of(tpm::nv_write(kIndex, data_of(1))), 1);
  EXPECT_EQ(stores_of(tpm::nv_write(kIndex, data_of(2))), 1);
  EXPECT_EQ(stores_of(tpm::nv_define_counter(kOtherIndex)), 1);
  EXPECT_EQ(stores_of(tpm::nv_increment(kOtherIndex)), 1);
  EXPECT_EQ(stores_of(tpm::shutdown_clear()), 1);
}

TEST_F(EngineStoreTest, KeepsAnOrderlyIndexInMemoryUntilShutdown) {
  ASSERT_EQ(run(tpm::nv_define_orderly(kIndex, 64)), tpm::kSuccess);

  EXPECT_EQ(stores_of(tpm::nv_write(kIndex, data_of(1))), 0);
  EXPECT_EQ(stores_of(tpm::shutdown_clear()), 1);
}

TEST_F(EngineStoreTest, HasStoredBeforeItAnswers) {
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  auto command = tpm::nv_write(kIndex, data_of(9));

  ASSERT_TRUE(engine_->process(protocol::Locality(), command));

  const auto blob = store_.stored(BlobKind::kPermanent);
  const auto data = data_of(9);
  EXPECT_NE(std::search(blob.begin(), blob.end(), data.begin(), data.end()), blob.end());
}

TEST_F(EngineStoreTest, FailsForGoodWhenTheStoreFailsAndKeepsTheReason) {
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(1))), tpm::kSuccess);
  store_.store_error = base::Error{base::ErrorCode::kIo, "no space left"};

  EXPECT_EQ(run(tpm::nv_write(kIndex, data_of(2))), tpm::kFailure);
  store_.store_error.reset();
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kFailure);

  ASSERT_TRUE(engine_->failure());
  EXPECT_EQ(engine_->failure()->message, "no space left");
  EXPECT_FALSE(engine_->state_blob(BlobKind::kPermanent)) << "this state was never stored";
}

TEST_F(EngineStoreTest, ComesBackWithTheOldStateAfterAFailure) {
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(1))), tpm::kSuccess);
  store_.store_error = base::Error{base::ErrorCode::kIo, "no space left"};
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(2))), tpm::kFailure);
  store_.store_error.reset();

  power_cycle();

  EXPECT_FALSE(engine_->failure());
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kIndex, 64))), data_of(1));
}

// State blobs.

TEST_F(EngineStateTest, GoesOnElsewhereFromBothBlobs) {
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(3))), tpm::kSuccess);
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto pcr = tpm::pcr_value(send(tpm::pcr_read(16)));
  const auto permanent = engine_->state_blob(BlobKind::kPermanent);
  const auto volatile_blob = engine_->state_blob(BlobKind::kVolatile);
  ASSERT_TRUE(permanent);
  ASSERT_TRUE(volatile_blob);
  engine_.reset();
  FakeNvStore destination;
  auto engine = Engine::create(destination);
  engine_ = *std::move(engine);

  ASSERT_TRUE(engine_->set_state_blob(BlobKind::kPermanent, permanent->expose()));
  ASSERT_TRUE(engine_->set_state_blob(BlobKind::kVolatile, volatile_blob->expose()));
  EXPECT_EQ(destination.stores, 0) << "nothing is stored before the start";
  ASSERT_TRUE(engine_->start(Origin::kExisting));

  EXPECT_EQ(destination.stores, 1);
  EXPECT_EQ(run(tpm::startup_clear()), tpm::kInitialize) << "it is started already";
  EXPECT_EQ(tpm::pcr_value(send(tpm::pcr_read(16))), pcr);
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kIndex, 64))), data_of(3));
}

TEST_F(EngineStateTest, TakingABlobChangesNothing) {
  const int stores = store_.stores;

  ASSERT_TRUE(engine_->state_blob(BlobKind::kPermanent));
  ASSERT_TRUE(engine_->state_blob(BlobKind::kVolatile));

  EXPECT_EQ(store_.stores, stores);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(EngineStateTest, GivesBlobsWhenRunningAndTakesThemWhenOff) {
  const auto blob = engine_->state_blob(BlobKind::kPermanent);
  ASSERT_TRUE(blob);

  EXPECT_EQ(engine_->set_state_blob(BlobKind::kPermanent, blob->expose()).error().code,
            base::ErrorCode::kDenied);
  engine_->terminate();
  EXPECT_EQ(engine_->state_blob(BlobKind::kPermanent).error().code, base::ErrorCode::kDenied);
  EXPECT_TRUE(engine_->set_state_blob(BlobKind::kPermanent, blob->expose()));
}

TEST_F(EngineStateTest, RefusesAForeignBlobAndForgetsTheOthers) {
  const auto blob = engine_->state_blob(BlobKind::kPermanent);
  engine_->terminate();
  ASSERT_TRUE(store_.remove(BlobKind::kPermanent));
  ASSERT_TRUE(engine_->set_state_blob(BlobKind::kPermanent, blob->expose()));

  const auto set = engine_->set_state_blob(BlobKind::kVolatile, base::bytes_of("no state"));

  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code, base::ErrorCode::kCorrupt);
  EXPECT_EQ(engine_->start(Origin::kExisting).error().code, base::ErrorCode::kNotFound);
}

TEST_F(EngineStateTest, RefusesAnEmptyBlob) {
  engine_->terminate();

  const auto set = engine_->set_state_blob(BlobKind::kPermanent, {});

  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code, base::ErrorCode::kInvalidArgument);
}

TEST_F(EngineStateTest, RefusesAVolatileBlobWithoutPermanentState) {
  const auto blob = engine_->state_blob(BlobKind::kVolatile);
  engine_->terminate();
  ASSERT_TRUE(store_.remove(BlobKind::kPermanent));

  EXPECT_FALSE(engine_->set_state_blob(BlobKind::kVolatile, blob->expose()));
  EXPECT_EQ(engine_->start(Origin::kExisting).error().code, base::ErrorCode::kNotFound);
}

TEST_F(EngineStateTest, DoesNotStartFromASetStateThatCannotBeStored) {
  const auto blob = engine_->state_blob(BlobKind::kPermanent);
  engine_->terminate();
  const auto before = store_.stored(BlobKind::kPermanent);
  ASSERT_TRUE(engine_->set_state_blob(BlobKind::kPermanent, blob->expose()));
  store_.store_error = base::Error{base::ErrorCode::kIo, "no space left"};

  const auto started = engine_->start(Origin::kExisting);

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, base::ErrorCode::kIo);
  EXPECT_FALSE(engine_->running());
  EXPECT_EQ(store_.stored(BlobKind::kPermanent), before);
}

TEST_F(EngineStateTest, ForgetsWhatWasSet) {
  const auto without_index = engine_->state_blob(BlobKind::kPermanent);
  ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, data_of(4))), tpm::kSuccess);
  engine_->terminate();
  ASSERT_TRUE(engine_->set_state_blob(BlobKind::kPermanent, without_index->expose()));

  engine_->forget_set_blobs();

  ASSERT_TRUE(engine_->start(Origin::kExisting));
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kIndex, 64))), data_of(4));
}

TEST_F(EngineStateTest, UsesAStoredVolatileBlobOnce) {
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto pcr = tpm::pcr_value(send(tpm::pcr_read(16)));
  ASSERT_TRUE(engine_->store_volatile());

  power_cycle();
  EXPECT_EQ(tpm::pcr_value(send(tpm::pcr_read(16))), pcr);
  EXPECT_TRUE(store_.stored(BlobKind::kVolatile).empty());

  power_cycle();
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_NE(tpm::pcr_value(send(tpm::pcr_read(16))), pcr);
}

TEST_F(EngineStateTest, DoesNotMixAStoredVolatileBlobWithASetPermanentOne) {
  const auto blob = engine_->state_blob(BlobKind::kPermanent);
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  ASSERT_TRUE(engine_->store_volatile());
  engine_->terminate();

  ASSERT_TRUE(engine_->set_state_blob(BlobKind::kPermanent, blob->expose()));
  ASSERT_TRUE(engine_->start(Origin::kExisting));

  EXPECT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
}

TEST_F(EngineStateTest, RefusesAStoredVolatileBlobThatIsDamaged) {
  ASSERT_TRUE(engine_->store_volatile());
  engine_->terminate();
  auto damaged = store_.stored(BlobKind::kVolatile);
  damaged[damaged.size() / 2] ^= std::byte{1};
  ASSERT_TRUE(store_.store(BlobKind::kVolatile, damaged));

  const auto started = engine_->start(Origin::kExisting);

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, base::ErrorCode::kCorrupt);
  EXPECT_FALSE(engine_->running());
}

// Forking.

// What a child that does `work` writes into a pipe.
template <typename Work>
base::Bytes from_child(Work work) {
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const base::Bytes bytes = work();
    const auto written = write(ends[1], bytes.data(), bytes.size());
    _exit(written == static_cast<ssize_t>(bytes.size()) ? 0 : 1);
  }
  close(ends[1]);
  base::Bytes bytes(64);
  const auto count = read(ends[0], bytes.data(), bytes.size());
  close(ends[0]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  bytes.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return bytes;
}

TEST_F(EngineForkTest, TwoResumesOfOneSnapshotDrawDifferentNumbers) {
  ASSERT_TRUE(engine_->store_volatile());
  engine_->terminate();
  const auto resume_and_draw = [this] {
    return engine_->start(Origin::kExisting) ? tpm::random_data(send(tpm::get_random(32)))
                                             : base::Bytes();
  };

  const auto one = from_child(resume_and_draw);
  const auto other = from_child(resume_and_draw);

  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(other.size(), 32U);
  EXPECT_NE(one, other);
}

TEST_F(EngineForkTest, TwoResumesFromBeforeStartupDrawDifferentNumbers) {
  power_cycle();
  ASSERT_TRUE(engine_->store_volatile());
  engine_->terminate();
  const auto resume_and_draw = [this] {
    if (!engine_->start(Origin::kExisting) || run(tpm::startup_clear()) != tpm::kSuccess) {
      return base::Bytes();
    }
    return tpm::random_data(send(tpm::get_random(32)));
  };

  const auto one = from_child(resume_and_draw);
  const auto other = from_child(resume_and_draw);

  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(other.size(), 32U);
  EXPECT_NE(one, other);
}

TEST_F(EngineForkTest, TwoChildrenOfOneParentDrawDifferentNumbers) {
  engine_->terminate();
  const auto start_and_draw = [this] {
    if (!engine_->start(Origin::kExisting) || run(tpm::startup_clear()) != tpm::kSuccess) {
      return base::Bytes();
    }
    return tpm::random_data(send(tpm::get_random(32)));
  };

  const auto one = from_child(start_and_draw);
  const auto other = from_child(start_and_draw);

  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(other.size(), 32U);
  EXPECT_NE(one, other);
}

TEST_F(EngineForkTest, AChildThatInheritedARunningTpmMayNotUseIt) {
  const auto codes = from_child([this] {
    auto command = tpm::get_random(8);
    const auto response = engine_->process(protocol::Locality(), command);
    engine_->terminate();
    const auto started = engine_->start(Origin::kExisting);
    engine_.reset();
    FakeNvStore other;
    const auto created = Engine::create(other);
    return base::Bytes{std::byte{!response}, std::byte{!started}, std::byte{!created}};
  });

  EXPECT_EQ(base::to_hex(codes), "010101");
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess) << "the parent goes on";
}

// The dynamic root of trust.

TEST_F(EngineHashTest, MeasuresIntoPcr17AndSetsTheEstablishedBit) {
  ASSERT_TRUE(engine_->reset_established(*protocol::Locality::of(4)));
  EXPECT_FALSE(*engine_->established());

  ASSERT_TRUE(engine_->hash_start());
  ASSERT_TRUE(engine_->hash_data(base::bytes_of("launch ")));
  ASSERT_TRUE(engine_->hash_data(base::bytes_of("environment")));
  ASSERT_TRUE(engine_->hash_end());

  EXPECT_TRUE(*engine_->established());
  const auto measured = vmgs::crypto::sha256(base::bytes_of("launch environment"));
  const std::array<std::byte, 32> zero{};
  const auto expected = vmgs::crypto::sha256({base::ByteView(zero), base::ByteView(measured)});
  EXPECT_EQ(base::to_hex(tpm::pcr_value(send(tpm::pcr_read(17)))), base::to_hex(expected));
}

TEST_F(EngineHashTest, ResetsTheEstablishedBitFromLocality3And4Only) {
  ASSERT_TRUE(engine_->hash_start());
  ASSERT_TRUE(engine_->hash_end());

  const auto reset = engine_->reset_established(*protocol::Locality::of(2));
  ASSERT_FALSE(reset);
  EXPECT_EQ(reset.error().code, base::ErrorCode::kInvalidArgument);
  EXPECT_TRUE(*engine_->established());

  ASSERT_TRUE(engine_->reset_established(*protocol::Locality::of(3)));
  EXPECT_FALSE(*engine_->established());
}

TEST_F(EngineHashTest, KeepsTheEstablishedBitOverAPowerCycle) {
  ASSERT_TRUE(engine_->hash_start());
  ASSERT_TRUE(engine_->hash_end());

  power_cycle();

  EXPECT_TRUE(*engine_->established());
}

TEST_F(EngineHashTest, IsRefusedWhenOff) {
  engine_->terminate();

  EXPECT_EQ(engine_->hash_start().error().code, base::ErrorCode::kDenied);
  EXPECT_EQ(engine_->hash_data({}).error().code, base::ErrorCode::kDenied);
  EXPECT_EQ(engine_->hash_end().error().code, base::ErrorCode::kDenied);
  EXPECT_EQ(engine_->established().error().code, base::ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::engine
