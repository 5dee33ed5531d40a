// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "transport/tpm_socket/simulator_handler.h"
#include "transport/tpm_socket/simulator_server.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vtpm/device/device.h"

namespace tools::vtpm_instance {

// The two ports of the simulator protocol, on the loopback interface: everybody on this machine who
// may open a socket reaches them.
struct SimulatorPorts {
  std::uint16_t commands = 0;  // that of the platform is the next one
  base::Descriptor commands_listener = {};
  base::Descriptor platform_listener = {};
};

// listen_for_simulator() listens at `port` and the next one, or at two that are free if it is 0.
// Errors of listen_tcp(); kInvalidArgument for a port without a next one.
base::Result<SimulatorPorts> listen_for_simulator(std::uint16_t port);

// SimulatorOfDevice carries the simulator protocol out on a device.
class SimulatorOfDevice final : public transport::tpm_socket::SimulatorHandler {
 public:
  // Called on threads of the protocol.
  struct Events {
    std::function<void(const base::Result<void>&)> powered_on;
    std::function<void()> stop;
  };

  SimulatorOfDevice(vtpm::device::Device& device, Events events)
      : device_(device), events_(std::move(events)) {}

  base::Result<void> power_on() override;
  base::Result<void> power_off() override;
  base::Result<void> reset() override;
  base::Result<void> restart() override;

  void set_physical_presence(bool present) override { device_.set_physical_presence(present); }

  void set_cancel(bool on) override;

  base::Result<void> test_failure_mode() override { return device_.fail(); }

  void stop() override { events_.stop(); }

  base::Bytes run(std::span<std::byte> command, std::uint8_t locality) override;

  base::Result<void> hash_start() override { return device_.hash_start(); }

  base::Result<void> hash_data(base::ByteView data) override { return device_.hash_data(data); }

  base::Result<void> hash_end() override { return device_.hash_end(); }

 private:
  vtpm::device::Device& device_;
  const Events events_;
  std::jthread canceller_;  // of the platform's thread
};

// SimulatorService serves the protocol.
class SimulatorService {
 public:
  // start() serves at `ports`. `device` must outlive it. Errors of SimulatorServer.
  static base::Result<std::unique_ptr<SimulatorService>> start(vtpm::device::Device& device,
                                                               SimulatorPorts ports,
                                                               SimulatorOfDevice::Events events);

 private:
  SimulatorService(vtpm::device::Device& device, SimulatorOfDevice::Events events)
      : handler_(device, std::move(events)) {}

  SimulatorOfDevice handler_;
  std::unique_ptr<transport::tpm_socket::SimulatorServer> server_;
};

}  // namespace tools::vtpm_instance
