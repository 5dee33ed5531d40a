// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/simulator_service.h"

#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "transport/net/tcp_listener.h"
#include "vmgs/base/log.h"

namespace tools::vtpm_instance {

namespace {

constexpr const char* kLoopback = "127.0.0.1";

// A command that is just beginning forgets a cancel, so it takes more than one.
constexpr std::chrono::milliseconds kCancelAgain{1};

// How often two neighbouring ports are looked for.
constexpr int kTries = 64;

}  // namespace

base::Result<SimulatorPorts> listen_for_simulator(std::uint16_t port) {
  if (port == std::numeric_limits<std::uint16_t>::max()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the platform's port would be the one after 65535; choose a lower one");
  }
  for (int tries_left = port == 0 ? kTries : 1;; --tries_left) {
    SimulatorPorts ports;
    TRY_ASSIGN(commands, transport::net::listen_tcp(kLoopback, port));
    ports.commands = transport::net::port_of(commands);
    ports.commands_listener = std::move(commands);
    const bool has_next = ports.commands != std::numeric_limits<std::uint16_t>::max();
    auto platform = has_next ? transport::net::listen_tcp(
                                   kLoopback, static_cast<std::uint16_t>(ports.commands + 1))
                             : base::fail(base::ErrorCode::kUnavailable, "there is no next port");
    if (platform) {
      ports.platform_listener = *std::move(platform);
      return ports;
    }
    if (tries_left <= 1) {
      return base::fail(std::move(platform).error());
    }
  }
}

base::Result<void> SimulatorOfDevice::power_on() {
  if (device_.powered()) {
    return {};
  }
  auto started = device_.init();
  events_.powered_on(started);
  return started;
}

base::Result<void> SimulatorOfDevice::power_off() {
  device_.stop();
  return {};
}

base::Result<void> SimulatorOfDevice::reset() {
  return device_.powered() ? restart() : base::Result<void>();
}

base::Result<void> SimulatorOfDevice::restart() {
  auto started = device_.init();
  events_.powered_on(started);
  return started;
}

void SimulatorOfDevice::set_cancel(bool on) {
  if (!on) {
    canceller_ = std::jthread();
    return;
  }
  canceller_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex alone;
    std::condition_variable_any woken;
    std::unique_lock lock(alone);
    while (!stop.stop_requested()) {
      // Off, there is nothing to cancel.
      [[maybe_unused]] const auto ignored = device_.cancel();
      woken.wait_for(lock, stop, kCancelAgain, [] { return false; });
    }
  });
}

base::Bytes SimulatorOfDevice::run(std::span<std::byte> command, std::uint8_t locality) {
  // Here a platform there is, so a command does not turn the TPM on.
  return device_.powered() ? device_.process(command, vtpm::device::Sender::kClient, locality)
                           : base::Bytes();
}

base::Result<std::unique_ptr<SimulatorService>> SimulatorService::start(
    vtpm::device::Device& device, SimulatorPorts ports, SimulatorOfDevice::Events events) {
  std::unique_ptr<SimulatorService> service(new SimulatorService(device, std::move(events)));
  TRY_ASSIGN(server, transport::tpm_socket::SimulatorServer::start(
                         service->handler_, std::move(ports.commands_listener),
                         std::move(ports.platform_listener), {}));
  service->server_ = std::move(server);
  base::log(base::LogLevel::kInfo,
            "the simulator protocol is spoken at 127.0.0.1, port " +
                std::to_string(ports.commands) + ", platform port " +
                std::to_string(ports.commands + 1) +
                "; whoever may open a socket on this machine reaches this TPM");
  return service;
}

}  // namespace tools::vtpm_instance
