// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "transport/nbd/block_export.h"
#include "transport/nbd/server.h"
#include "vmgs/base/result.h"
#include "vtpm/device/device.h"
#include "vtpm/state/flash_store.h"
#include "vtpm/state/variable_flash.h"

namespace tools::vtpm_instance {

// first_variables() gives the image that the variable flash of a new VM begins with: the one that
// the setup names, or a blank flash. kDenied where the launch document says with which variables
// the VM begins, and these are others; errors of reading the file. `choice` outlives it.
vtpm::state::VariableFlash::FirstImage first_variables(const InstanceSetup& setup,
                                                       const LaunchChoice& choice);

// store_first_variables() puts the image that the setup names, if it names one, into a store that
// has none yet. Before anybody is served. kInvalidArgument for an image that cannot be; errors of
// the store.
base::Result<void> store_first_variables(const InstanceSetup& setup, const LaunchChoice& choice,
                                         vtpm::state::FlashStore* store);

// VariableService serves the variable flash of a VM to its hypervisor. The flash lies in the store
// of the TPM and goes through the same door: between two commands.
class VariableService final : transport::nbd::BlockExport {
 public:
  // Told on the thread of `io`.
  struct Events {
    // A hypervisor uses the flash, or no longer.
    std::function<void(bool there)> hypervisor;
    // Why variables cannot be stored; nothing once they can.
    std::function<void(const std::optional<base::Error>&)> trouble;
  };

  struct Clients {
    base::Descriptor listener;
    std::optional<gid_t> group;  // whose members may connect, besides root and our own user
  };

  // start() waits for hypervisors as soon as `io` runs. Without a store the flash is kept in memory
  // only. `device` and `store` outlive this. kIo.
  static base::Result<std::unique_ptr<VariableService>> start(
      boost::asio::io_context& io, vtpm::device::Device& device, vtpm::state::FlashStore* store,
      vtpm::state::VariableFlash::FirstImage first, Clients clients, Events events);

  // What another process needs to go on with the flash.
  struct AtRest {
    std::optional<transport::nbd::Server::AtRest> client;
    base::SecretBytes image;  // where there is no store
  };

  // suspend() serves nobody any more, with all that was written stored, until go_on(). Where it
  // fails it goes on itself: kUnavailable while a client can be left to nobody; errors of the
  // store.
  base::Result<AtRest> suspend();
  void go_on();

  // adopt() has what another process' suspend() gave served as soon as go_on() says so. Nothing is
  // stored before. Before `io` runs; errors of the store.
  base::Result<void> adopt(AtRest rest);

  // close() hangs up and stores what is not stored. On the thread of `io`; no event is told later.
  // Errors of the store.
  base::Result<void> close();

 private:
  // The door to the store.
  class BetweenCommands final : public vtpm::state::FlashStore {
   public:
    BetweenCommands(vtpm::device::Device& device, vtpm::state::FlashStore& store)
        : device_(device), store_(store) {}

    [[nodiscard]] bool is_awaited() const override;
    base::Result<std::optional<base::SecretBytes>> load_flash() override;
    base::Result<void> store_flash(base::ByteView image) override;

   private:
    vtpm::device::Device& device_;
    vtpm::state::FlashStore& store_;
  };

  VariableService(boost::asio::io_context& io, vtpm::device::Device& device,
                  vtpm::state::FlashStore* store, vtpm::state::VariableFlash::FirstImage first,
                  Events events);

  base::Result<AtRest> at_rest();

  base::Result<void> begin() override;
  void end() override;

  [[nodiscard]] std::uint64_t size_bytes() const override { return flash_.size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> into) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;
  base::Result<void> flush() override;
  std::optional<Clock::time_point> tend(Clock::time_point now) override;

  void tell_trouble();
  void post(std::function<void()> event);

  boost::asio::io_context& io_;
  std::optional<BetweenCommands> door_;
  vtpm::state::VariableFlash flash_;  // of the server's thread while there is a server
  bool in_trouble_ = false;           // as it was told last
  const std::shared_ptr<const Events> events_;
  std::shared_ptr<bool> open_;  // of the thread of io: events may still be told
  std::unique_ptr<transport::nbd::Server> server_;
};

}  // namespace tools::vtpm_instance
