// SPDX-License-Identifier: Apache-2.0
#include "keybroker/client/channel.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace keybroker::client {

bool Channel::pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

bool Patience::may_call_again(Channel& channel, const std::stop_token& stop) {
  using std::chrono::milliseconds;
  const auto asked_for = channel.retry_after();
  const auto left = std::chrono::ceil<milliseconds>(until_ - std::chrono::steady_clock::now());
  if (!asked_for || left.count() <= 0 || stop.stop_requested()) {
    return false;
  }
  return channel.pause(std::min<milliseconds>(*asked_for, left), stop);
}

}  // namespace keybroker::client
