// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <thread>
#include <vector>

#include "keybroker/hsm/capped_keys.h"
#include "tests/integration/softhsm.h"
#include "tests/support/error_code.h"

namespace tests::integration {
namespace {

using base::ErrorCode;
using keybroker::hsm::KekState;
using tests::support::error_code;

TEST_F(HsmTest, SaysThatATokenIsGoneAndFindsItAgain) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);

  std::filesystem::rename(folder_ / "tokens", folder_ / "elsewhere");
  for (auto attempt = 0; attempt < 3; ++attempt) {
    const auto status = keys->status(record);
    EXPECT_EQ(status.state, KekState::kTokenAbsent) << status.finding;
    EXPECT_FALSE(status.remedy.empty());
    EXPECT_EQ(error_code(keys->unwrap(record, kContext, wrapped)), ErrorCode::kUnavailable);
  }

  std::filesystem::rename(folder_ / "elsewhere", folder_ / "tokens");
  const auto secret = keys->unwrap(record, kContext, wrapped);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_TRUE(secret->equals_in_constant_time(secret_));
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, FindsAModuleThatIsInstalledLater) {
  const auto record = *both()->make(kAlpha, "guest state");
  auto with = options();
  with.module = folder_ / "module.so";
  auto keys = both(with);

  const auto status = keys->status(record);
  EXPECT_EQ(status.state, KekState::kTokenAbsent);
  EXPECT_NE(status.finding.find("module.so"), std::string::npos) << status.finding;

  std::ofstream(folder_ / "module.so") << "no library";
  EXPECT_EQ(keys->status(record).state, KekState::kTokenAbsent);

  std::filesystem::remove(folder_ / "module.so");
  std::filesystem::create_symlink(SOFTHSM, folder_ / "module.so");
  EXPECT_EQ(keys->status(record).state, KekState::kReady) << keys->status(record).finding;
}

TEST_F(HsmTest, SaysThatTheKeyIsGone) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);
  {
    Session tenant("alpha", kAlphaPin);
    EXPECT_EQ(tenant.calls().C_DestroyObject(tenant.handle(), tenant.key()), CKR_OK);
  }
  EXPECT_EQ(error_code(keys->unwrap(record, kContext, wrapped)), ErrorCode::kNotFound);
  EXPECT_EQ(keys->status(record).state, KekState::kKeyAbsent);
}

TEST_F(HsmTest, TriesAWrongPinOnce) {
  const auto record = *both()->make(kAlpha, "guest state");
  write_private(folder_ / "alpha.pin", "wrong");
  auto keys = both();

  EXPECT_NE(keys->status(record).finding.find("CKR_PIN_INCORRECT"), std::string::npos);
  const auto second = keys->status(record);
  EXPECT_EQ(second.state, KekState::kTokenLoginFailed);
  EXPECT_NE(second.finding.find("still holds"), std::string::npos) << second.finding;

  write_private(folder_ / "alpha.pin", kAlphaPin);
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, SaysWhatIsTheMatterWithThePinFile) {
  const auto record = *both()->make(kAlpha, "guest state");
  auto keys = both();
  const auto pin = folder_ / "alpha.pin";

  std::filesystem::remove(pin);
  EXPECT_EQ(keys->status(record).state, KekState::kTokenLoginFailed);

  write_private(pin, kAlphaPin);
  std::filesystem::permissions(pin, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  EXPECT_EQ(keys->status(record).state, KekState::kTokenLoginFailed);

  write_private(pin, "\n");
  EXPECT_EQ(keys->status(record).state, KekState::kTokenLoginFailed);

  write_private(pin, kAlphaPin);
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, SaysThatItIsBusyWhenEverySessionIsInUse) {
  const auto record = *both()->make(kAlpha, "guest state");
  std::promise<void> in_login;
  std::promise<void> go_on;
  auto with = options();
  with.most_sessions = 1;
  with.busy_after = std::chrono::milliseconds(0);
  with.read_pin = [&, read = with.read_pin](const std::filesystem::path& path) {
    in_login.set_value();
    go_on.get_future().wait();
    return read(path);
  };
  auto keys = both(with);

  auto first = std::async(std::launch::async, [&] { return keys->status(record).state; });
  in_login.get_future().wait();
  EXPECT_EQ(keys->status(record).state, KekState::kBusy);
  EXPECT_EQ(error_code(keys->wrap(record, kContext, secret_)), ErrorCode::kUnavailable);
  go_on.set_value();

  EXPECT_EQ(first.get(), KekState::kReady);
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, ServesThreadsWhileAnotherTenantsTokenIsAway) {
  auto with = options();
  with.most_sessions = 2;
  with.busy_after = std::chrono::minutes(1);
  const Uuid absent{std::byte{0xCC}};
  auto keys = *TokenKeys::create({{kAlpha, uri("alpha", "alpha.pin")},
                                  {kBeta, uri("beta", "beta.pin")},
                                  {absent, uri("gamma", "alpha.pin")}},
                                 with);
  const std::array records{*keys->make(kAlpha, "guest state"), *keys->make(kBeta, "guest state")};
  const auto nowhere = key_named(absent, "pkcs11:token=gamma;object=k");

  std::atomic<int> failures = 0;
  const auto work = [&](const KekRecord& record) {
    for (auto i = 0; i < 25; ++i) {
      const auto wrapped = keys->wrap(record, kContext, secret_);
      const auto secret = wrapped ? keys->unwrap(record, kContext, *wrapped)
                                  : base::Result<base::Secret<32>>(tl::unexpected(wrapped.error()));
      if (!secret || !secret->equals_in_constant_time(secret_)) {
        ++failures;
      }
    }
  };
  // Each look for the absent token initialises the module anew and ends everybody's sessions.
  const auto disturb = [&] {
    for (auto i = 0; i < 25; ++i) {
      if (keys->status(nowhere).state != KekState::kTokenAbsent) {
        ++failures;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (auto i = 0; i < 4; ++i) {
      threads.emplace_back(work, std::cref(records.at(static_cast<std::size_t>(i) % 2)));
    }
    threads.emplace_back(disturb);
  }
  EXPECT_EQ(failures, 0);
}

// After a rescan the module counts its handles from the beginning, so that those of one tenant's
// older session are now another tenant's.
TEST_F(HsmTest, NeverUsesASessionOfBeforeARescan) {
  const Uuid absent{std::byte{0xCC}};
  auto keys = *TokenKeys::create({{kAlpha, uri("alpha", "alpha.pin")},
                                  {kBeta, uri("beta", "beta.pin")},
                                  {absent, uri("gamma", "alpha.pin")}},
                                 options());
  const auto alpha = *keys->make(kAlpha, "guest state");
  const auto beta = *keys->make(kBeta, "guest state");
  const auto rescan = [&] {
    EXPECT_EQ(keys->status(key_named(absent, "pkcs11:token=gamma;object=k")).state,
              KekState::kTokenAbsent);
  };
  rescan();
  const auto wrapped = *keys->wrap(alpha, kContext, secret_);
  rescan();
  ASSERT_TRUE(keys->wrap(beta, kContext, secret_));

  const auto secret = keys->unwrap(alpha, kContext, wrapped);
  EXPECT_TRUE(secret) << secret.error().message;
}

TEST_F(HsmTest, GivesUpEverySessionWhenAKeyIsGone) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  {
    std::latch together(8);
    std::vector<std::jthread> threads;
    for (auto i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        together.arrive_and_wait();
        for (auto n = 0; n < 10; ++n) {
          EXPECT_TRUE(keys->wrap(record, kContext, secret_));
        }
      });
    }
  }
  {
    Session tenant("alpha", kAlphaPin);
    EXPECT_EQ(tenant.calls().C_DestroyObject(tenant.handle(), tenant.key()), CKR_OK);
  }
  const auto status = keys->status(record);
  EXPECT_EQ(status.state, KekState::kKeyAbsent) << status.finding;
}

// A token that hangs keeps the threads of those who called it, and of nobody else.
TEST_F(HsmTest, SendsCallersAwayWhileATokenHangs) {
  const auto record = *both()->make(kAlpha, "guest state");
  std::latch hanging(1);
  std::latch go_on(1);
  std::atomic<bool> first = true;
  auto with = options();
  with.most_callers = 1;
  with.busy_after = std::chrono::hours(1);
  with.read_pin = [&, read = with.read_pin](const std::filesystem::path& file) {
    if (first.exchange(false)) {
      hanging.count_down();
      go_on.wait();
    }
    return read(file);
  };
  auto keys = both(with);
  auto hung = std::async(std::launch::async, [&] { return keys->status(record).state; });
  hanging.wait();

  const auto status = keys->status(record);
  EXPECT_EQ(status.state, KekState::kBusy);
  EXPECT_NE(status.finding.find("hangs"), std::string::npos) << status.finding;
  EXPECT_TRUE(keys->make(kBeta, "guest state"));

  go_on.count_down();
  EXPECT_EQ(hung.get(), KekState::kReady);
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

// So do guests', of whom there are fewer: a tenant's that hangs keeps no thread of another's
// guests, and takes no more of a boot's than its own.
TEST_F(HsmTest, SendsGuestsAwayBeforeATokenThatHangsHasAllTheirThreads) {
  const auto alpha = *both()->make(kAlpha, "guest state");
  std::latch hanging(1);
  std::latch go_on(1);
  std::atomic<bool> first = true;
  auto with = options();
  with.read_pin = [&, read = with.read_pin](const std::filesystem::path& file) {
    if (file.filename() == "alpha.pin" && first.exchange(false)) {
      hanging.count_down();
      go_on.wait();
    }
    return read(file);
  };
  with.most_callers = 3;
  with.busy_after = std::chrono::hours(1);
  auto keys = both(with);
  keybroker::hsm::CappedKeys of_guests(*keys, 1);
  const auto beta = *of_guests.make(kBeta, "guest state");
  auto guest = std::async(std::launch::async, [&] { return of_guests.status(alpha).state; });
  hanging.wait();

  EXPECT_EQ(of_guests.status(alpha).state, KekState::kBusy);
  EXPECT_EQ(error_code(of_guests.wrap(alpha, kContext, secret_)), ErrorCode::kUnavailable);
  EXPECT_EQ(of_guests.status(beta).state, KekState::kReady);

  go_on.count_down();
  EXPECT_EQ(guest.get(), KekState::kReady);
  const auto wrapped = of_guests.wrap(alpha, kContext, secret_);
  ASSERT_TRUE(wrapped) << wrapped.error().message;
  EXPECT_TRUE(of_guests.unwrap(alpha, kContext, *wrapped)->equals_in_constant_time(secret_));
}

}  // namespace
}  // namespace tests::integration
