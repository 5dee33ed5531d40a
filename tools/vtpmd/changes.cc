// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/changes.h"

#include <utility>

#include "transport/rpc/within.h"

namespace tools::vtpmd {

namespace asio = boost::asio;

void Changes::note(const VmId& id) {
  for (auto* watch : watches_) {
    watch->changed_.insert(id);
    watch->woken_.cancel();
  }
}

// The timer never expires of itself; cancelling it is the wake-up.
Changes::Watch::Watch(Changes& changes)
    : changes_(changes),
      woken_(changes.executor_, asio::steady_timer::time_point::max()),
      place_(changes.watches_.insert(changes.watches_.end(), this)) {}

Changes::Watch::~Watch() { changes_.watches_.erase(place_); }

asio::awaitable<std::set<Changes::VmId>> Changes::Watch::next() {
  while (changed_.empty()) {
    co_await woken_.async_wait(transport::rpc::as_values);
  }
  co_return std::exchange(changed_, {});
}

}  // namespace tools::vtpmd
