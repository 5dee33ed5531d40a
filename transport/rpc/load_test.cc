// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/load.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <set>
#include <string>
#include <vector>

namespace transport::rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

class LoadTest : public ::testing::Test {
 protected:
  using Place = std::optional<Load::Place>;

  // enter() lets one come, who has its place, or none, in `places` once that is decided.
  void enter(Load& load, asio::cancellation_slot slot = {}) { enter(load, Load::Turn{}, slot); }

  void enter(Load& load, Urgency urgency) { enter(load, Load::Turn{urgency}); }

  void enter(Load& load, const std::string& caller) {
    enter(load, Load::Turn{Urgency::kOrdinary, caller});
  }

  void enter(Load& load, const Load::Turn& turn, asio::cancellation_slot slot = {}) {
    const auto number = places_.size();
    places_.emplace_back();
    const auto keep = [this, number](const std::exception_ptr&, Place place) {
      order_.push_back(number);
      if (place) {
        places_[number].emplace(*std::move(place));
      }
    };
    asio::co_spawn(io_, load.enter(turn), asio::bind_cancellation_slot(slot, keep));
    io_.restart();
    io_.poll();
  }

  void leave(std::size_t number) {
    places_[number].reset();
    io_.restart();
    io_.poll();
  }

  asio::io_context io_;
  std::vector<Place> places_ = [] {
    std::vector<Place> places;
    places.reserve(16);  // what is given out does not move
    return places;
  }();
  std::vector<std::size_t> order_;
};

TEST_F(LoadTest, LetsSoManyWorkAndSoManyWaitAndSendsTheRestAway) {
  Load load({.in_work = 2, .waiting = 1, .longest_wait = hours(1)});
  enter(load);
  enter(load);
  EXPECT_FALSE(load.is_full({}));
  enter(load);
  EXPECT_TRUE(load.is_full({}));
  enter(load);

  EXPECT_TRUE(places_[0]);
  EXPECT_TRUE(places_[1]);
  EXPECT_EQ(order_, (std::vector<std::size_t>{0, 1, 3}));
  EXPECT_FALSE(places_[3]);
  EXPECT_EQ(load.in_work(), 2U);
  EXPECT_EQ(load.waiting(), 1U);
}

TEST_F(LoadTest, GivesAPlaceToWhoCameFirst) {
  Load load({.in_work = 1, .waiting = 2, .longest_wait = hours(1)});
  enter(load);
  enter(load);
  enter(load);

  leave(0);
  EXPECT_TRUE(places_[1]);
  EXPECT_FALSE(places_[2]);
  leave(1);
  EXPECT_TRUE(places_[2]);
  leave(2);

  EXPECT_EQ(load.in_work(), 0U);
  EXPECT_EQ(load.waiting(), 0U);
}

TEST_F(LoadTest, SendsAwayWhoHasWaitedTooLong) {
  Load load({.in_work = 1, .waiting = 1, .longest_wait = milliseconds(10)});
  enter(load);
  enter(load);
  io_.restart();
  io_.run();

  EXPECT_EQ(order_, (std::vector<std::size_t>{0, 1}));
  EXPECT_FALSE(places_[1]);
  EXPECT_EQ(load.waiting(), 0U);
  leave(0);
  EXPECT_EQ(load.in_work(), 0U);
}

TEST_F(LoadTest, ForgetsWhoIsCancelledWhileItWaits) {
  Load load({.in_work = 1, .waiting = 1, .longest_wait = hours(1)});
  asio::cancellation_signal cancelled;
  enter(load);
  enter(load, cancelled.slot());
  cancelled.emit(asio::cancellation_type::terminal);
  io_.restart();
  io_.poll();

  EXPECT_EQ(load.waiting(), 0U);
  leave(0);
  EXPECT_EQ(load.in_work(), 0U);
}

// However many begin something new, what others have begun is finished.
TEST_F(LoadTest, KeepsPlacesForTheUrgent) {
  Load load({.in_work = 1, .reserved = 1, .waiting = 1, .longest_wait = hours(1)});
  enter(load);
  enter(load);
  enter(load);
  EXPECT_TRUE(load.is_full({}));
  EXPECT_FALSE(load.is_full({Urgency::kUrgent}));
  EXPECT_FALSE(places_[1]);

  enter(load, Urgency::kUrgent);
  EXPECT_TRUE(places_[3]);
  enter(load, Urgency::kUrgent);
  EXPECT_FALSE(places_[4]);
  EXPECT_TRUE(load.is_full({Urgency::kUrgent}));
  EXPECT_EQ(load.in_work(), 2U);
  EXPECT_EQ(load.waiting(), 2U);
}

TEST_F(LoadTest, LetsTheUrgentToTheirOwnPlacesBeforeWhoCameEarlier) {
  Load load({.in_work = 1, .reserved = 1, .waiting = 2, .longest_wait = hours(1)});
  enter(load);
  enter(load, Urgency::kUrgent);
  enter(load);
  enter(load, Urgency::kUrgent);

  // A reserved place that is free is none for the others.
  leave(1);
  EXPECT_FALSE(places_[2]);
  EXPECT_TRUE(places_[3]);
  leave(0);
  EXPECT_TRUE(places_[2]);
  leave(2);
  leave(3);
  EXPECT_EQ(load.in_work(), 0U);
}

// Whoever calls what is urgent all the time once had every place that got free.
TEST_F(LoadTest, LetsNoUrgentOneIntoAPlaceOfAllBeforeWhoCameEarlier) {
  Load load({.in_work = 1, .reserved = 1, .waiting = 2, .longest_wait = hours(1)});
  enter(load, Urgency::kUrgent);
  enter(load, Urgency::kUrgent);
  enter(load);
  enter(load, Urgency::kUrgent);
  EXPECT_EQ(load.in_work(), 2U);

  leave(0);
  EXPECT_TRUE(places_[2]);
  EXPECT_FALSE(places_[3]);
  leave(1);
  EXPECT_TRUE(places_[3]);
}

TEST_F(LoadTest, GivesAPlaceToTheCallerWhoHasTheFewest) {
  Load load({.in_work = 2, .waiting = 8, .longest_wait = hours(1)});
  enter(load, "host-1");
  enter(load, "host-1");
  enter(load, "host-1");
  enter(load, "host-1");
  enter(load, "alice");
  enter(load, "host-2");

  leave(0);
  EXPECT_TRUE(places_[4]);
  leave(1);
  EXPECT_FALSE(places_[3]);
  EXPECT_TRUE(places_[2]) << "of two who have none, who came first";
  leave(4);
  EXPECT_TRUE(places_[5]);
  leave(2);
  EXPECT_TRUE(places_[3]);
}

TEST_F(LoadTest, LetsNoCallerFillTheQueue) {
  Load load({.in_work = 1, .waiting = 3, .waiting_of_one = 2, .longest_wait = hours(1)});
  enter(load, "host-1");
  enter(load, "host-1");
  enter(load, "host-1");
  EXPECT_TRUE(load.is_full({Urgency::kOrdinary, "host-1"}));
  enter(load, "host-1");
  EXPECT_EQ(order_.back(), 3U) << "sent away at once";

  EXPECT_FALSE(load.is_full({Urgency::kOrdinary, "alice"}));
  enter(load, "alice");
  EXPECT_TRUE(load.is_full({Urgency::kOrdinary, "bob"}));
  leave(0);
  EXPECT_TRUE(places_[1]) << "nobody has any, and it came first";
  leave(1);
  EXPECT_TRUE(places_[2]);
  EXPECT_FALSE(places_[4]);
}

// The place of one who was called and cancelled at once would be lost for good.
TEST_F(LoadTest, LosesNoPlaceOfOneThatIsCancelledAsItIsCalled) {
  Load load({.in_work = 1, .waiting = 1, .longest_wait = hours(1)});
  asio::cancellation_signal cancelled;
  enter(load);
  enter(load, cancelled.slot());
  places_[0].reset();
  cancelled.emit(asio::cancellation_type::terminal);
  io_.restart();
  io_.poll();

  places_[1].reset();
  EXPECT_EQ(load.in_work(), 0U);
}

TEST_F(LoadTest, TellsThoseItSendsAwayDifferentTimesToComeBack) {
  Load load({.shortest_retry = seconds(2), .longest_retry = seconds(5)});
  std::set<seconds> told;
  for (int i = 0; i < 200; ++i) {
    const auto refusal = load.refusal();
    ASSERT_TRUE(refusal.retry_after);
    EXPECT_EQ(refusal.code, Code::kUnavailable);
    told.insert(*refusal.retry_after);
  }

  EXPECT_EQ(told, (std::set<seconds>{seconds(2), seconds(3), seconds(4), seconds(5)}));
  EXPECT_EQ(load.refused(), 200U);
}

}  // namespace
}  // namespace transport::rpc
