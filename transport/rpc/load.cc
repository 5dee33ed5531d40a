// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/load.h"

#include <boost/asio/this_coro.hpp>

#include "transport/rpc/within.h"

namespace transport::rpc {

namespace {

using Clock = std::chrono::steady_clock;

// One that waits. Its timer is cancelled when it has a place.
struct Waiting {
  asio::steady_timer timer;
  bool has_place = false;
};

}  // namespace

struct Load::State {
  using Queue = std::list<std::shared_ptr<Waiting>>;

  [[nodiscard]] bool has_place(Urgency urgency) const {
    return in_work < limits.in_work + (urgency == Urgency::kUrgent ? limits.reserved : 0);
  }

  [[nodiscard]] bool is_full(Urgency urgency) const {
    return !has_place(urgency) && queue(urgency).size() >= limits.waiting;
  }

  [[nodiscard]] const Queue& queue(Urgency urgency) const {
    return urgency == Urgency::kUrgent ? urgent : ordinary;
  }

  Queue& queue(Urgency urgency) { return urgency == Urgency::kUrgent ? urgent : ordinary; }

  // leave() frees a place, or gives it to the first that waits and may have it.
  void leave() {
    --in_work;
    for (const auto urgency : {Urgency::kUrgent, Urgency::kOrdinary}) {
      auto& waiting = queue(urgency);
      if (!waiting.empty() && has_place(urgency)) {
        const auto first = waiting.front();
        waiting.pop_front();
        ++in_work;
        first->has_place = true;
        first->timer.cancel();
        return;
      }
    }
  }

  LoadLimits limits;
  std::size_t in_work = 0;
  Queue urgent;
  Queue ordinary;
  std::uint64_t refused = 0;
  std::minstd_rand draw{std::random_device{}()};
};

Load::Place::~Place() {
  if (state_) {
    state_->leave();
  }
}

Load::Load(LoadLimits limits) : state_(std::make_shared<State>()) { state_->limits = limits; }

bool Load::is_full(Urgency urgency) const { return state_->is_full(urgency); }

asio::awaitable<std::optional<Load::Place>> Load::enter(Urgency urgency) {
  const auto state = state_;
  if (state->has_place(urgency)) {
    ++state->in_work;
    co_return Place(state);
  }
  if (state->is_full(urgency)) {
    co_return std::nullopt;
  }
  const auto self = std::make_shared<Waiting>(
      Waiting{asio::steady_timer(co_await asio::this_coro::executor, state->limits.longest_wait)});
  auto& queue = state->queue(urgency);
  const auto place_in_queue = queue.insert(queue.end(), self);
  co_await self->timer.async_wait(as_values);
  // Whoever was given a place was taken out of the queue. If it was cancelled as well, its Place
  // hands it on.
  if (!self->has_place) {
    queue.erase(place_in_queue);
    co_return std::nullopt;
  }
  co_return Place(state);
}

RpcError Load::refusal() {
  ++state_->refused;
  std::uniform_int_distribution<std::chrono::seconds::rep> seconds(
      state_->limits.shortest_retry.count(), state_->limits.longest_retry.count());
  return {Code::kUnavailable, "the service has too much to do",
          std::chrono::seconds(seconds(state_->draw))};
}

std::size_t Load::in_work() const { return state_->in_work; }

std::size_t Load::waiting() const { return state_->urgent.size() + state_->ordinary.size(); }

std::uint64_t Load::refused() const { return state_->refused; }

}  // namespace transport::rpc
