// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/rejoin_upkeep.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "keybroker/protocol/readiness.h"
#include "vmgs/base/log.h"

namespace tools::vtpm_instance {

namespace asio = boost::asio;
using vtpm::provision::RenewalSchedule;

namespace {

constexpr std::string_view kCondemned =
    "the VM started while its key broker was away, which is back now, and its TPM answers no more "
    "until the VM is stopped and started";

}  // namespace

RejoinUpkeep::RejoinUpkeep(Surroundings surroundings)
    : around_(std::move(surroundings)), schedule_(around_.spread), timer_(around_.io) {}

void RejoinUpkeep::start() {
  if (around_.broker.is_offline()) {
    wait();
  }
}

void RejoinUpkeep::stop() {
  stopped_ = true;
  timer_.cancel();
  worker_.request_stop();
}

void RejoinUpkeep::wait() {
  const auto now = std::chrono::steady_clock::now();
  schedule_.failed(now);
  auto until = *schedule_.due();
  if (const auto asked_for = around_.broker.settings().channel.retry_after()) {
    // Nobody vouches for it, so that it puts nothing off for good.
    until = std::max(until, now + std::min<RenewalSchedule::Duration>(
                                      *asked_for, RenewalSchedule::kLongestPause));
  }
  timer_.expires_at(until);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error && !stopped_) {
      ask();
    }
  });
}

void RejoinUpkeep::ask() {
  worker_ = std::jthread([this](const std::stop_token& stop) {
    const auto at_rest = [this](const std::function<void()>& work) {
      around_.device.undisturbed([&] {
        work();
        if (!around_.broker.is_offline()) {
          around_.rejoined_at_rest();
        }
      });
    };
    auto done = around_.broker.rejoin(at_rest, stop);
    if (!done && around_.broker.trouble()) {
      // Here already: no guest gets another answer before anybody has heard of it.
      done = base::fail(std::move(done).error().context(kCondemned));
      around_.device.condemn(done.error());
    }
    asio::post(around_.io, [this, done] { asked(done); });
    if (const auto told = around_.broker.tell_condemned(stop); !told) {
      base::log(base::LogLevel::kWarning,
                "the key broker was not told, and the certificate of the VM's attestation key is "
                "good until it ends: " +
                    told.error().message);
    }
  });
}

void RejoinUpkeep::asked(const base::Result<void>& done) {
  if (stopped_) {
    return;
  }
  if (done) {
    base::log(base::LogLevel::kInfo,
              "the key broker is back: it has noted this VM's state, and the VM is not offline any "
              "more");
    around_.settled(done);
    return;
  }
  if (const auto trouble = around_.broker.trouble()) {
    base::log(base::LogLevel::kError,
              done.error().message + ". " + std::string(keybroker::protocol::row(*trouble).remedy));
    around_.settled(done);
    return;
  }
  base::log(
      base::LogLevel::kInfo,
      "the VM is still without its key broker, which is asked again: " + done.error().message);
  wait();
}

}  // namespace tools::vtpm_instance
