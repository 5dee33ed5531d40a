// SPDX-License-Identifier: Apache-2.0
#include "vtpm/device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/device_case.h"
#include "tests/support/error_code.h"
#include "vmgs/crypto/digest.h"

namespace vtpm::device {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
using tests::support::response_code;
namespace tpm = tests::support;

using DevicePowerTest = DeviceCase;
using DeviceLocalityTest = DeviceCase;
using DeviceHashTest = DeviceCase;

// Power.

TEST_F(DevicePowerTest, AnswersWithABareFailureBeforeInit) {
  EXPECT_EQ(base::to_hex(send(tpm::read_clock())), "80010000000a00000101");
  EXPECT_FALSE(device_->powered());
}

TEST_F(DevicePowerTest, AnswersWithABareFailureAfterStop) {
  power_on();

  device_->stop();

  EXPECT_EQ(base::to_hex(send(tpm::read_clock())), "80010000000a00000101");
}

TEST_F(DevicePowerTest, StopsAsOftenAsItIsAsked) {
  device_->stop();
  device_->stop();
  power_on();
  device_->stop();
  device_->stop();

  EXPECT_FALSE(device_->powered());
}

TEST_F(DevicePowerTest, ShutsTheTpmDownBeforeAStop) {
  power_on();
  ASSERT_EQ(run(tpm::get_random(8)), tpm::kSuccess);

  device_->stop();

  EXPECT_EQ(resume_code(), tpm::kSuccess);
}

TEST_F(DevicePowerTest, AnAttendantSeesEachCommandAndAnswersWhereItMust) {
  std::vector<std::string> seen;
  std::optional<base::Bytes> instead;
  device_.emplace(*engine_, Options{.attendant = [&](base::ByteView command) {
    seen.push_back(base::to_hex(command));
    return instead;
  }});
  power_on();
  EXPECT_EQ(seen, std::vector{base::to_hex(tpm::startup_clear())});
  EXPECT_EQ(run(tpm::read_clock()), tpm::kSuccess);

  instead = *base::from_hex("80010000000a00000922");
  EXPECT_EQ(run(tpm::startup_clear()), tpm::kRetry) << "and not TPM_RC_INITIALIZE: it did not run";
}

TEST_F(DevicePowerTest, WorkIsDoneBetweenCommandsAndOnlyWithPower) {
  int done = 0;
  EXPECT_FALSE(device_->between_commands([&] { ++done; }));
  power_on();
  EXPECT_TRUE(device_->between_commands([&] {
    ++done;
    auto command = tpm::get_random(8);
    EXPECT_EQ(tpm::response_code(*engine_->process(protocol::Locality(), command)), tpm::kSuccess);
  }));
  EXPECT_EQ(done, 1);
}

TEST_F(DevicePowerTest, WorkIsUndisturbedWithPowerOrWithout) {
  int done = 0;
  device_->undisturbed([&] { ++done; });
  power_on();
  std::thread other;
  device_->undisturbed([&] {
    ++done;
    other = std::thread([&] {
      EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);
      EXPECT_EQ(done, 3) << "no command runs meanwhile";
    });
    std::this_thread::yield();
    ++done;
  });
  other.join();
  EXPECT_EQ(done, 3);
}

TEST_F(DevicePowerTest, ACondemnedTpmNeverAnswersAgain) {
  power_on();

  device_->condemn({base::ErrorCode::kDenied, "it is an old one"});

  EXPECT_FALSE(device_->powered());
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kFailure);
  const auto again = device_->init();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, "it is an old one");
  EXPECT_EQ(run(tpm::startup_clear()), tpm::kFailure);
}

TEST_F(DevicePowerTest, ARetiredTpmIsNotTakenForOneThatSleeps) {
  power_on();
  ASSERT_EQ(run(tpm::get_random(8)), tpm::kSuccess);

  device_->retire();

  EXPECT_FALSE(device_->powered());
  EXPECT_NE(resume_code(), tpm::kSuccess) << "CLEAR keeps no state to resume";
  EXPECT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  const auto lockout = send(tpm::lockout_counter());
  ASSERT_EQ(tpm::response_code(lockout), tpm::kSuccess);
  EXPECT_EQ(lockout.back(), std::byte{0}) << "an orderly end is no attack";
}

TEST_F(DevicePowerTest, ShutsTheTpmDownBeforeASecondInit) {
  power_on();
  ASSERT_EQ(run(tpm::get_random(8)), tpm::kSuccess);

  EXPECT_EQ(resume_code(), tpm::kSuccess);
}

TEST_F(DevicePowerTest, LeavesTheShutdownOfTheGuestAlone) {
  power_on();
  ASSERT_EQ(run(tpm::shutdown_clear()), tpm::kSuccess);

  device_->stop();

  EXPECT_NE(resume_code(), tpm::kSuccess) << "CLEAR keeps no state to resume";
}

TEST_F(DevicePowerTest, ShutsDownAgainAfterAnotherCommand) {
  power_on();
  ASSERT_EQ(run(tpm::shutdown_clear()), tpm::kSuccess);
  ASSERT_EQ(run(tpm::get_random(8)), tpm::kSuccess);

  device_->stop();

  EXPECT_EQ(resume_code(), tpm::kSuccess);
}

// A TPM that loses power after an index with lockout protection was used, and without a Shutdown,
// takes that for an attack. Users of other vTPMs were locked out by hard resets.
TEST_F(DevicePowerTest, HardResetsDoNotCountAsAttacks) {
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("tpm2-00.permall")));
  for (int reset = 0; reset < 3; ++reset) {
    power_on();
    ASSERT_EQ(text_of_swtpm(), "state from swtpm");
  }
  power_on();

  const auto response = send(tpm::lockout_counter());

  EXPECT_EQ(base::to_hex(base::ByteView(response).last(4)), "00000000");
}

TEST_F(DevicePowerTest, PowersOffDuringAKeyGenerationByCancellingIt) {
  std::uint32_t code = tpm::kFailure;
  // Where the power went off before the key generation began, there was nothing to cancel.
  for (unsigned attempt = 0; attempt < 100 && code == tpm::kFailure; ++attempt) {
    power_on();
    std::atomic<bool> started = false;
    std::thread guest([&] {
      started = true;
      code = run(tpm::create_primary_rsa(3072, attempt));
    });
    while (!started) {
      std::this_thread::yield();
    }
    device_->stop();
    guest.join();
  }

  EXPECT_EQ(code, tpm::kCanceled);
  EXPECT_FALSE(device_->powered());
}

TEST_F(DevicePowerTest, CancelsTheCommandThatIsRunning) {
  EXPECT_EQ(error_code(device_->cancel()), ErrorCode::kDenied);
  power_on();
  std::atomic<bool> done = false;
  std::thread canceller([&] {
    while (!done) {
      EXPECT_TRUE(device_->cancel());
    }
  });

  const auto code = run(tpm::create_primary_rsa(3072, 2));
  done = true;
  canceller.join();

  EXPECT_EQ(code, tpm::kCanceled);
}

TEST_F(DevicePowerTest, RunsOneCommandAtATime) {
  power_on();
  std::vector<std::thread> guests;
  std::atomic<int> succeeded = 0;
  for (int guest = 0; guest < 4; ++guest) {
    guests.emplace_back([&] {
      for (int command = 0; command < 200; ++command) {
        succeeded += run(tpm::get_random(32)) == tpm::kSuccess ? 1 : 0;
      }
    });
  }
  for (auto& guest : guests) {
    guest.join();
  }

  EXPECT_EQ(succeeded, 800);
}

TEST_F(DevicePowerTest, PowersOnForAClientWhereNoPlatformIsInCharge) {
  device_.emplace(*engine_, Options{.power_on_for_clients = true});
  auto command = tpm::startup_clear();
  EXPECT_EQ(response_code(device_->process(command, Sender::kGuest)), tpm::kFailure);

  EXPECT_EQ(response_code(device_->process(command, Sender::kClient)), tpm::kSuccess);
  EXPECT_TRUE(device_->powered());

  device_->stop();
  EXPECT_EQ(response_code(device_->process(command, Sender::kClient)), tpm::kFailure)
      << "somebody else turned it off";
}

TEST_F(DevicePowerTest, StaysOffForAClientWhileAPlatformBringsAState) {
  device_.emplace(*engine_, Options{.power_on_for_clients = true});
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("permanent.blob")));
  auto command = tpm::startup_clear();

  EXPECT_EQ(response_code(device_->process(command, Sender::kClient)), tpm::kFailure);
}

TEST_F(DevicePowerTest, StaysOffForAClientUnlessItIsToldTo) {
  auto command = tpm::startup_clear();

  EXPECT_EQ(response_code(device_->process(command, Sender::kClient)), tpm::kFailure);
}

TEST_F(DevicePowerTest, MakesNoTpmWhereStateIsMissing) {
  ASSERT_TRUE(store_.remove(BlobKind::kPermanent));

  EXPECT_EQ(error_code(device_->init()), ErrorCode::kNotFound);
  EXPECT_FALSE(device_->powered());
}

TEST_F(DevicePowerTest, NumbersItsPowerCycles) {
  std::vector<std::uint64_t> told;
  device_.emplace(*engine_, Options{.on_failure = [&](const base::Error&) {
    told.push_back(device_->power_cycle());
  }});
  power_on();
  const auto first = device_->power_cycle();
  store_.store_error = base::Error{ErrorCode::kIo, "no space left"};
  const auto init = device_->init();  // its Shutdown fails, in the cycle that it ends

  EXPECT_THAT(told, testing::ElementsAre(first));
  EXPECT_EQ(device_->power_cycle(), first + 1);
  device_->stop();
  EXPECT_EQ(device_->power_cycle(), first + 1) << "off, it is still that one";
}

TEST_F(DevicePowerTest, TellsTheOperatorOnceWhyTheTpmFailed) {
  std::vector<std::string> reasons;
  device_.emplace(*engine_, Options{.on_failure = [&](const base::Error& error) {
    reasons.push_back(error.message);
  }});
  power_on();
  store_.store_error = base::Error{ErrorCode::kIo, "no space left"};

  EXPECT_EQ(run(tpm::nv_define(kIndex, 8)), tpm::kFailure);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kFailure);
  EXPECT_THAT(reasons, testing::ElementsAre("no space left"));

  store_.store_error.reset();
  power_on();
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);
  store_.store_error = base::Error{ErrorCode::kIo, "disk gone"};
  EXPECT_EQ(run(tpm::nv_define(kIndex, 8)), tpm::kFailure);
  EXPECT_THAT(reasons, testing::ElementsAre("no space left", "disk gone"));
}

TEST_F(DevicePowerTest, TellsWhenTheTpmLocksAndWhenItIsFreeAgain) {
  std::vector<bool> told;
  device_.emplace(*engine_,
                  Options{.on_lockout = [&](bool locked_out) { told.push_back(locked_out); }});
  power_on();
  ASSERT_EQ(run(tpm::nv_define_guarded(kIndex, 8)), tpm::kSuccess);
  // The first use of such an authorization is noted in NV, and then to be tried again.
  while (run(tpm::nv_write(kIndex, base::Bytes(8))) == tpm::kRetry) {
  }

  // One is no lockout.
  EXPECT_NE(run(tpm::nv_read(kIndex, 8, "wrong")), tpm::kSuccess);
  EXPECT_TRUE(told.empty());
  for (int i = 0; i < 100 && told.empty(); ++i) {
    EXPECT_NE(run(tpm::nv_read(kIndex, 8, "wrong")), tpm::kSuccess);
  }
  EXPECT_THAT(told, testing::ElementsAre(true));
  EXPECT_EQ(run(tpm::nv_read(kIndex, 8)), tpm::kLockout);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);
  EXPECT_THAT(told, testing::ElementsAre(true));

  // It survives a reset, and shows when the guest has started the TPM.
  power_on();
  EXPECT_THAT(told, testing::ElementsAre(true, true));

  EXPECT_EQ(run(tpm::clear_lockout()), tpm::kSuccess);
  EXPECT_THAT(told, testing::ElementsAre(true, true, false));
}

TEST_F(DevicePowerTest, ChangesTheBufferSizeOnlyWhenOff) {
  EXPECT_EQ(device_->set_buffer_size(3968)->current, 3968U);
  power_on();

  EXPECT_EQ(error_code(device_->set_buffer_size(4096)), ErrorCode::kDenied);
  EXPECT_EQ(device_->buffer_size().current, 3968U);
  device_->stop();
  EXPECT_EQ(device_->set_buffer_size(4096)->current, 4096U);
}

TEST_F(DevicePowerTest, LeavesOutTheShutdownWhereItIsToldTo) {
  device_.emplace(*engine_, Options{.shut_down_in_order = false});
  power_on();

  device_->stop();

  EXPECT_NE(resume_code(), tpm::kSuccess);
}

// Locality.

TEST_F(DeviceLocalityTest, IsThatOfThePlatformAndSurvivesPowerCycles) {
  ASSERT_TRUE(device_->set_locality(3));
  power_on();
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest)), tpm::kSuccess);

  power_on();
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest)), tpm::kSuccess);

  ASSERT_TRUE(device_->set_locality(0));
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest)), tpm::kLocality);
}

TEST_F(DeviceLocalityTest, RefusesALocalityThatDoesNotExist) {
  EXPECT_EQ(error_code(device_->set_locality(5)), ErrorCode::kInvalidArgument);
}

TEST_F(DeviceLocalityTest, BelievesAClientForOneCommand) {
  power_on();
  auto command = tpm::pcr_extend(18, kDigest);

  EXPECT_EQ(response_code(device_->process(command, Sender::kClient, 3)), tpm::kSuccess);
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest)), tpm::kLocality);
}

TEST_F(DeviceLocalityTest, DoesNotBelieveAGuest) {
  power_on();
  auto command = tpm::pcr_extend(18, kDigest);

  EXPECT_EQ(response_code(device_->process(command, Sender::kGuest, 3)), tpm::kLocality);
  command = tpm::get_random(8);
  EXPECT_EQ(response_code(device_->process(command, Sender::kGuest, 0)), tpm::kSuccess);
}

TEST_F(DeviceLocalityTest, RefusesACommandFromALocalityThatDoesNotExist) {
  power_on();
  auto command = tpm::get_random(8);

  EXPECT_EQ(response_code(device_->process(command, Sender::kClient, 5)), tpm::kLocality);
}

// The dynamic root of trust.

TEST_F(DeviceHashTest, MeasuresInPieces) {
  power_on();

  ASSERT_TRUE(device_->hash_start());
  ASSERT_TRUE(device_->hash_data(base::bytes_of("launch ")));
  ASSERT_TRUE(device_->hash_data(base::bytes_of("environment")));
  ASSERT_TRUE(device_->hash_end());

  const auto measured = vmgs::crypto::sha256(base::bytes_of("launch environment"));
  const std::array<std::byte, 32> zero{};
  EXPECT_EQ(base::to_hex(pcr(17)),
            base::to_hex(vmgs::crypto::sha256({base::ByteView(zero), base::ByteView(measured)})));
  EXPECT_TRUE(*device_->established());
}

TEST_F(DeviceHashTest, RefusesPiecesOutOfOrder) {
  power_on();

  EXPECT_EQ(error_code(device_->hash_data(base::bytes_of("x"))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->hash_end()), ErrorCode::kDenied);
  ASSERT_TRUE(device_->hash_start());
  ASSERT_TRUE(device_->hash_end());
  EXPECT_EQ(error_code(device_->hash_end()), ErrorCode::kDenied);
}

TEST_F(DeviceHashTest, ForgetsAHalfSequenceAtPowerOff) {
  power_on();
  ASSERT_TRUE(device_->hash_start());

  power_on();

  EXPECT_EQ(error_code(device_->hash_end()), ErrorCode::kDenied);
}

TEST_F(DeviceHashTest, ResetsEstablishedFromLocality3And4WhateverThePlatformsIs) {
  power_on();
  ASSERT_TRUE(device_->hash_start());
  ASSERT_TRUE(device_->hash_end());

  EXPECT_EQ(error_code(device_->reset_established(2)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(device_->reset_established(9)), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(*device_->established());
  ASSERT_TRUE(device_->reset_established(3));
  EXPECT_FALSE(*device_->established());
  EXPECT_EQ(run(tpm::pcr_extend(18, kDigest)), tpm::kLocality) << "the locality stays";
}

TEST_F(DeviceHashTest, IsRefusedWhenOff) {
  EXPECT_EQ(error_code(device_->hash_start()), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->established()), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->reset_established(4)), ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::device
