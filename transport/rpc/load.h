// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "transport/rpc/code.h"

namespace transport::rpc {

namespace asio = boost::asio;

// Whether a call may be sent away with the others, or finishes what another has begun.
enum class Urgency : std::uint8_t { kOrdinary, kUrgent };

struct LoadLimits {
  std::size_t in_work = 64;
  std::size_t reserved = 0;   // more places, which only urgent ones get
  std::size_t waiting = 256;  // of each urgency
  // How many of one caller may wait, of each urgency, so that none fills all of it.
  std::size_t waiting_of_one = std::numeric_limits<std::size_t>::max();
  // Who waited for longer is sent away: it has little time left to use the answer.
  std::chrono::milliseconds longest_wait{2'000};
  // What a caller who is sent away is told to wait, drawn anew for each so that they do not come
  // back together.
  std::chrono::seconds shortest_retry{1};
  std::chrono::seconds longest_retry{8};
};

// Load bounds what is worked on at a time. So many are in work, so many wait, and the rest is sent
// away before anything was done for it. A place that gets free goes to the caller who has the
// fewest, and of those to who came first: however much one asks, another's next call is the next.
// The urgent have the reserved places to themselves, and beyond those are as all others: that a
// call is urgent is believed before anything in it was looked at. Servers of one thread may share
// one; all its functions are for that thread.
class Load {
 public:
  explicit Load(LoadLimits limits);

  // Who calls, and how urgent it is. All whose names are empty are one.
  struct Turn {
    Urgency urgency = Urgency::kOrdinary;
    std::string caller{};
  };

  // Place is a place in work, until it dies. It may outlive the Load.
  class Place;

  // is_full() tells whether one more would be sent away.
  [[nodiscard]] bool is_full(const Turn& turn) const;

  // enter() waits for a place. Nothing for one that is sent away, or that was cancelled.
  asio::awaitable<std::optional<Place>> enter(Turn turn);

  // refusal() is what to say to one that is sent away, and counts it.
  RpcError refusal();

  [[nodiscard]] std::size_t in_work() const;
  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::uint64_t refused() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

class Load::Place {
 public:
  Place(std::shared_ptr<State> state, Turn turn)
      : state_(std::move(state)), turn_(std::move(turn)) {}

  Place(Place&& other) noexcept : state_(std::move(other.state_)), turn_(std::move(other.turn_)) {}

  Place& operator=(Place&&) = delete;
  ~Place();

 private:
  std::shared_ptr<State> state_;
  Turn turn_;
};

}  // namespace transport::rpc
