// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/load.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <list>
#include <map>

#include "transport/rpc/within.h"

namespace transport::rpc {

namespace {

// One that waits. Its timer is cancelled when it has a place.
struct Waiting {
  asio::steady_timer timer;
  Load::Turn turn;
  bool has_place = false;
};

}  // namespace

struct Load::State {
  using Queue = std::list<std::shared_ptr<Waiting>>;

  // Those in work who have none of the reserved places.
  [[nodiscard]] std::size_t unreserved() const {
    return in_work - std::min(urgent, limits.reserved);
  }

  [[nodiscard]] bool has_reserved_place() const { return urgent < limits.reserved; }

  [[nodiscard]] bool has_place(Urgency urgency) const {
    return unreserved() < limits.in_work || (urgency == Urgency::kUrgent && has_reserved_place());
  }

  [[nodiscard]] bool is_full(const Turn& turn) const {
    if (has_place(turn.urgency)) {
      return false;
    }
    std::size_t all = 0;
    std::size_t of_one = 0;
    for (const auto& each : queue) {
      if (each->turn.urgency == turn.urgency) {
        ++all;
        of_one += each->turn.caller == turn.caller ? 1 : 0;
      }
    }
    return all >= limits.waiting || of_one >= limits.waiting_of_one;
  }

  void take(const Turn& turn) {
    ++in_work;
    ++in_work_of[turn.caller];
    urgent += turn.urgency == Urgency::kUrgent ? 1 : 0;
  }

  [[nodiscard]] std::size_t places_of(const std::string& caller) const {
    const auto found = in_work_of.find(caller);
    return found == in_work_of.end() ? 0 : found->second;
  }

  // next() is who of those that wait gets a place that is free now.
  [[nodiscard]] Queue::iterator next() {
    const bool is_for_all = unreserved() < limits.in_work;
    auto chosen = queue.end();
    for (auto each = queue.begin(); each != queue.end(); ++each) {
      const auto& turn = (*each)->turn;
      if ((is_for_all || turn.urgency == Urgency::kUrgent) &&
          (chosen == queue.end() || places_of(turn.caller) < places_of((*chosen)->turn.caller))) {
        chosen = each;
      }
    }
    return chosen;
  }

  // leave() frees a place, and gives it to one that waits and may have it.
  void leave(const Turn& turn) {
    --in_work;
    urgent -= turn.urgency == Urgency::kUrgent ? 1 : 0;
    const auto own = in_work_of.find(turn.caller);
    if (--own->second == 0) {
      in_work_of.erase(own);
    }
    const auto chosen = next();
    if (chosen != queue.end()) {
      const auto first = *chosen;
      queue.erase(chosen);
      take(first->turn);
      first->has_place = true;
      first->timer.cancel();
    }
  }

  LoadLimits limits;
  std::size_t in_work = 0;
  std::size_t urgent = 0;  // of those in work
  std::map<std::string, std::size_t> in_work_of;
  Queue queue;  // as they came
  std::uint64_t refused = 0;
  std::minstd_rand draw{std::random_device{}()};
};

Load::Place::~Place() {
  if (state_) {
    state_->leave(turn_);
  }
}

Load::Load(LoadLimits limits) : state_(std::make_shared<State>()) { state_->limits = limits; }

bool Load::is_full(const Turn& turn) const { return state_->is_full(turn); }

asio::awaitable<std::optional<Load::Place>> Load::enter(Turn turn) {
  const auto state = state_;
  if (state->has_place(turn.urgency)) {
    state->take(turn);
    co_return Place(state, std::move(turn));
  }
  if (state->is_full(turn)) {
    co_return std::nullopt;
  }
  asio::steady_timer timer(co_await asio::this_coro::executor, state->limits.longest_wait);
  const auto self = std::make_shared<Waiting>(Waiting{std::move(timer), std::move(turn)});
  const auto place_in_queue = state->queue.insert(state->queue.end(), self);
  co_await self->timer.async_wait(as_values);
  // Whoever was given a place was taken out of the queue. If it was cancelled as well, its Place
  // hands it on.
  if (!self->has_place) {
    state->queue.erase(place_in_queue);
    co_return std::nullopt;
  }
  co_return Place(state, std::move(self->turn));
}

RpcError Load::refusal() {
  ++state_->refused;
  std::uniform_int_distribution<std::chrono::seconds::rep> seconds(
      state_->limits.shortest_retry.count(), state_->limits.longest_retry.count());
  return {Code::kUnavailable, "the service has too much to do",
          std::chrono::seconds(seconds(state_->draw))};
}

std::size_t Load::in_work() const { return state_->in_work; }

std::size_t Load::waiting() const { return state_->queue.size(); }

std::uint64_t Load::refused() const { return state_->refused; }

}  // namespace transport::rpc
