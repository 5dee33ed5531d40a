// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/rejoin_upkeep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "tests/support/broker_boot_case.h"
#include "tests/support/tpm_commands.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/engine/engine.h"

namespace tools::vtpm_instance {
namespace {

namespace tpm = tests::support;
using namespace tests::support::broker_boot;
using keybroker::client::Channel;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFailure = 0x101;

// A road to the broker that a test can keep from leading anywhere.
class SlowRoad final : public Channel {
 public:
  explicit SlowRoad(Channel& road) : road_(road) {}

  base::Result<base::Bytes> call(Method method, base::ByteView message,
                                 const std::stop_token& stop) override {
    {
      std::unique_lock lock(mutex_);
      asked_.push_back(Clock::now());
      changed_.notify_all();
      if (!changed_.wait(lock, stop, [this] { return !held_; })) {
        return base::fail(ErrorCode::kUnavailable, "stopped");
      }
    }
    return road_.call(method, message, stop);
  }

  [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const override {
    return retry_after_;
  }

  // first() waits for the first call since forget().
  Clock::time_point first() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !asked_.empty(); });
    return asked_.front();
  }

  void forget() {
    const std::lock_guard lock(mutex_);
    asked_.clear();
  }

  bool held_ = false;  // set before anybody asks
  std::optional<std::chrono::seconds> retry_after_;

 private:
  Channel& road_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Clock::time_point> asked_;
};

// A VM with a real TPM that started while its broker was away.
class RejoinUpkeepTest : public BrokerBootCase {
 protected:
  RejoinUpkeepTest() {
    document_.offline_rule = OfflineRule::kAllow;
    make_tpm_ = vtpm::boot::manufacture;
    channel_ = &road_;
  }

  // An earlier start with the broker, in order, in which the TPM has stored something.
  void live_once() {
    const auto life = serve();
    ASSERT_TRUE(life.started);
    const auto state = life.store().load(BlobKind::kPermanent);
    ASSERT_TRUE(state && *state);
    ASSERT_TRUE(life.store().store(BlobKind::kPermanent, (*state)->expose()));
    ASSERT_TRUE(life.boot->close());
  }

  void start_offline() {
    broker_is_away(true);
    start();
    ASSERT_TRUE(life_.boot->is_offline());
    broker_is_away(false);
  }

  void start() {
    life_ = begin();
    ASSERT_TRUE(life_.started) << life_.started.error().message;
    engine_ = *vtpm::engine::Engine::create(life_.store());
    device_.emplace(*engine_, vtpm::device::Options{});
    ASSERT_TRUE(device_->init());
    ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
    upkeep_.emplace(RejoinUpkeep::Surroundings{
        .io = io_,
        .device = *device_,
        .broker = *life_.boot,
        .rejoined_at_rest =
            [this] {
              ++told_at_rest_;
              claimed_ = life_.boot->freshness().state;
            },
        .settled = [this](const base::Result<void>& done) { settled_.push_back(done); },
        .spread = [] { return 0.0; }});
    road_.forget();
    started_at_ = Clock::now();
    upkeep_->start();
  }

  std::uint32_t run(base::Bytes command) { return tpm::response_code(device_->process(command)); }

  // Lets the program's thread run until the end of it.
  void until_settled() {
    const auto stays = boost::asio::make_work_guard(io_);
    const auto deadline = Clock::now() + std::chrono::seconds(60);
    while (settled_.empty() && io_.run_one_until(deadline) != 0) {
    }
    ASSERT_EQ(settled_.size(), 1U);
  }

  SlowRoad road_{broker_};
  Life life_;
  boost::asio::io_context io_{1};
  std::unique_ptr<vtpm::engine::Engine> engine_;
  std::optional<vtpm::device::Device> device_;
  Clock::time_point started_at_;
  int told_at_rest_ = 0;
  std::optional<protocol::FreshnessState> claimed_;
  std::vector<base::Result<void>> settled_;
  std::optional<RejoinUpkeep> upkeep_;
};

TEST_F(RejoinUpkeepTest, AnOfflineBootComesBackWhileItsGuestRuns) {
  live_once();
  start_offline();
  ASSERT_EQ(run(tpm::get_random(8)), tpm::kSuccess);

  ASSERT_NO_FATAL_FAILURE(until_settled());

  ASSERT_TRUE(settled_.at(0)) << settled_.at(0).error().message;
  EXPECT_FALSE(life_.boot->is_offline());
  EXPECT_EQ(told_at_rest_, 1);
  EXPECT_EQ(claimed_, protocol::FreshnessState::kFresh);
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::BOOT);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(RejoinUpkeepTest, ATpmThatIsOffComesBackToo) {
  live_once();
  start_offline();
  device_->stop();

  ASSERT_NO_FATAL_FAILURE(until_settled());

  ASSERT_TRUE(settled_.at(0)) << settled_.at(0).error().message;
  EXPECT_FALSE(life_.boot->is_offline());
  EXPECT_TRUE(device_->init());
}

TEST_F(RejoinUpkeepTest, ABrokerThatIsStillAwayIsAskedAgain) {
  live_once();
  start_offline();
  std::atomic<int> lost = 0;
  broker_.loses_request = [&](Method) { return ++lost <= 1; };

  ASSERT_NO_FATAL_FAILURE(until_settled());

  EXPECT_TRUE(settled_.at(0));
  EXPECT_GT(lost, 1);
  EXPECT_FALSE(life_.boot->is_offline());
}

TEST_F(RejoinUpkeepTest, IsNotSoonerThanWhoeverStoodInHasSaid) {
  live_once();
  road_.retry_after_ = std::chrono::seconds(3);
  start_offline();

  ASSERT_NO_FATAL_FAILURE(until_settled());

  EXPECT_GE(road_.first() - started_at_, std::chrono::seconds(3))
      << "without it the pause is of one second";
}

TEST_F(RejoinUpkeepTest, AnOlderStateCondemnsTheTpm) {
  live_once();
  const auto older = copy("older");
  live_once();
  put_back(older);
  start_offline();
  ASSERT_EQ(run(tpm::get_random(8)), tpm::kSuccess) << "nobody can know yet";

  ASSERT_NO_FATAL_FAILURE(until_settled());

  ASSERT_FALSE(settled_.at(0));
  EXPECT_EQ(life_.boot->trouble(), Readiness::kStaleState);
  EXPECT_THAT(settled_.at(0).error().message,
              testing::AllOf(HasSubstr("its TPM answers no more"),
                             HasSubstr("an older copy has taken its place")));
  EXPECT_EQ(told_at_rest_, 0);
  EXPECT_EQ(run(tpm::get_random(8)), kFailure);
  const auto again = device_->init();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, settled_.at(0).error().message);
  EXPECT_EQ(run(tpm::startup_clear()), kFailure);
  upkeep_.reset();  // what it was still doing is done
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::CONDEMNED);
}

TEST_F(RejoinUpkeepTest, ARefusalCondemnsTheTpm) {
  live_once();
  start_offline();
  broker_.refuses_release = "vm-disabled";

  ASSERT_NO_FATAL_FAILURE(until_settled());

  ASSERT_FALSE(settled_.at(0));
  EXPECT_EQ(life_.boot->trouble(), Readiness::kBrokerRefused);
  EXPECT_THAT(settled_.at(0).error().message, HasSubstr("vm-disabled"));
  EXPECT_EQ(run(tpm::get_random(8)), kFailure);
}

TEST_F(RejoinUpkeepTest, EndsInTheMiddleOfARequest) {
  live_once();
  start_offline();
  broker_.calls.clear();
  road_.held_ = true;
  io_.run_one();  // the timer
  (void)road_.first();
  upkeep_->stop();
  upkeep_.reset();

  EXPECT_TRUE(broker_.calls.empty());
  EXPECT_TRUE(settled_.empty());
  EXPECT_TRUE(life_.boot->is_offline());
  device_->retire();
  EXPECT_TRUE(life_.boot->close());
}

TEST_F(RejoinUpkeepTest, ABootThatIsNotOfflineIsLeftAlone) {
  start();
  const auto calls = broker_.calls.size();

  EXPECT_EQ(io_.run_for(std::chrono::seconds(3)), 0U);

  EXPECT_EQ(broker_.calls.size(), calls);
  EXPECT_TRUE(settled_.empty());
}

}  // namespace
}  // namespace tools::vtpm_instance
