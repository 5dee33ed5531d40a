// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transport/tpm_socket/simulator_handler.h"

namespace transport::tpm_socket {

// FakeSimulatorHandler notes what it is asked, in words, and succeeds unless it is told to fail.
// Its TPM answers with a header and the command it was given, unless it is off. Any thread.
class FakeSimulatorHandler final : public SimulatorHandler {
 public:
  base::Result<void> power_on() override { return note("power on"); }

  base::Result<void> power_off() override { return note("power off"); }

  base::Result<void> reset() override { return note("reset"); }

  base::Result<void> restart() override { return note("restart"); }

  void set_physical_presence(bool present) override {
    (void)note(present ? "present" : "not present");
  }

  void set_cancel(bool on) override { (void)note(on ? "cancel on" : "cancel off"); }

  base::Result<void> test_failure_mode() override { return note("failure mode"); }

  void stop() override { (void)note("stop"); }

  base::Bytes run(std::span<std::byte> command, std::uint8_t locality) override {
    if (!note("run at " + std::to_string(locality) + " " + base::to_hex(command))) {
      return {};
    }
    auto response = *base::from_hex("80010000000000000000");
    response.insert(response.end(), command.begin(), command.end());
    return response;
  }

  base::Result<void> hash_start() override { return note("hash start"); }

  base::Result<void> hash_data(base::ByteView data) override {
    return note("hash " + base::to_hex(data));
  }

  base::Result<void> hash_end() override { return note("hash end"); }

  void fail(base::Error error) {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(error);
  }

  std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  base::Result<void> note(std::string what) {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(what));
    return failure_ ? base::fail(*failure_) : base::Result<void>();
  }

  std::mutex mutex_;
  std::vector<std::string> asked_;
  std::optional<base::Error> failure_;
};

}  // namespace transport::tpm_socket
