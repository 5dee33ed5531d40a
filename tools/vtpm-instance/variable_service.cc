// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/variable_service.h"

#include <unistd.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "tools/cli/stream.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/uefi_flash.h"

namespace tools::vtpm_instance {

namespace state = vtpm::state;
using base::ErrorCode;

namespace {

base::Result<void> expect_demanded(base::ByteView image, const LaunchChoice& choice) {
  if (!choice.secure_boot) {
    return {};
  }
  if (vmgs::crypto::sha256(image) != *choice.document->secure_boot_template_digest) {
    return base::fail(ErrorCode::kDenied,
                      "the launch document says with which UEFI variables this VM begins "
                      "(secure_boot_template_digest), and these are others: create the VM with the "
                      "image that has this SHA-256");
  }
  return {};
}

}  // namespace

state::VariableFlash::FirstImage first_variables(const InstanceSetup& setup,
                                                 const LaunchChoice& choice) {
  return [path = setup.variables_image, size = setup.variables_bytes,
          &choice]() -> base::Result<base::SecretBytes> {
    auto image = path.empty() ? base::Result<base::SecretBytes>(state::blank_flash(size))
                              : cli::read_input(path, vmgs::format::kMaxFlashBytes);
    if (!image) {
      return base::fail(std::move(image).error().context("the first UEFI variables"));
    }
    TRY(vmgs::format::expect_flash_size(image->size()));
    TRY(expect_demanded(image->expose(), choice));
    return image;
  };
}

base::Result<void> store_first_variables(const InstanceSetup& setup, const LaunchChoice& choice,
                                         state::FlashStore* store) {
  if (setup.variables_image.empty() || store == nullptr || store->is_awaited()) {
    return {};
  }
  TRY_ASSIGN(stored, store->load_flash());
  if (stored) {
    return {};
  }
  auto first = first_variables(setup, choice)();
  if (!first) {
    // Nothing is wrong with the store, or with whose it is.
    first.error().code = ErrorCode::kInvalidArgument;
    return base::fail(std::move(first).error());
  }
  return store->store_flash(first->expose());
}

bool VariableService::BetweenCommands::is_awaited() const {
  bool awaited = false;
  device_.undisturbed([&] { awaited = store_.is_awaited(); });
  return awaited;
}

base::Result<std::optional<base::SecretBytes>> VariableService::BetweenCommands::load_flash() {
  base::Result<std::optional<base::SecretBytes>> loaded;
  device_.undisturbed([&] { loaded = store_.load_flash(); });
  return loaded;
}

base::Result<void> VariableService::BetweenCommands::store_flash(base::ByteView image) {
  base::Result<void> stored;
  device_.undisturbed([&] { stored = store_.store_flash(image); });
  return stored;
}

base::Result<std::unique_ptr<VariableService>> VariableService::start(
    boost::asio::io_context& io, vtpm::device::Device& device, state::FlashStore* store,
    state::VariableFlash::FirstImage first, Clients clients, Events events) {
  if (store == nullptr) {
    base::log(base::LogLevel::kInfo,
              "UEFI variables of an ephemeral VM are kept in memory only; a flush keeps nothing");
  }
  std::unique_ptr<VariableService> service(
      new VariableService(io, device, store, std::move(first), std::move(events)));
  auto server = transport::nbd::Server::start(
      io, std::move(clients.listener), *service, {.own_uid = ::geteuid(), .group = clients.group},
      {}, [serving = service.get()](bool there) {
        serving->post([events = serving->events_, there] { events->hypervisor(there); });
      });
  TRY_ASSIGN(started, std::move(server));
  service->server_ = std::move(started);
  return service;
}

VariableService::VariableService(boost::asio::io_context& io, vtpm::device::Device& device,
                                 state::FlashStore* store, state::VariableFlash::FirstImage first,
                                 Events events)
    : io_(io),
      door_(store == nullptr ? std::nullopt
                             : std::optional<BetweenCommands>(std::in_place, device, *store)),
      flash_(door_ ? &*door_ : nullptr, std::move(first), {}),
      events_(std::make_shared<const Events>(std::move(events))),
      open_(std::make_shared<bool>(true)) {}

base::Result<void> VariableService::close() {
  *open_ = false;
  server_.reset();
  return flash_.commit(Clock::now());
}

base::Result<VariableService::AtRest> VariableService::suspend() {
  server_->pause();
  auto rest = at_rest();
  if (!rest) {
    server_->go_on();
  }
  return rest;
}

base::Result<VariableService::AtRest> VariableService::at_rest() {
  TRY_ASSIGN(client, server_->client());
  TRY(flash_.commit(Clock::now()));
  AtRest rest{.client = std::move(client), .image = {}};
  if (!door_) {
    rest.image = base::SecretBytes(flash_.size_bytes());
    flash_.read(0, rest.image.fill());
  }
  return rest;
}

void VariableService::go_on() { server_->go_on(); }

base::Result<void> VariableService::adopt(AtRest rest) {
  if (rest.image.size() > 0) {
    flash_.resume(std::move(rest.image));
  }
  return rest.client ? server_->adopt(*std::move(rest.client)) : base::Result<void>();
}

void VariableService::post(std::function<void()> event) {
  boost::asio::post(io_, [open = open_, event = std::move(event)] {
    if (*open) {
      event();
    }
  });
}

base::Result<void> VariableService::begin() {
  const auto opened = flash_.open();
  if (!opened) {
    base::log(base::LogLevel::kError, "the UEFI variables: " + opened.error().message);
  }
  return opened;
}

void VariableService::end() {
  flash_.close(Clock::now());
  tell_trouble();
}

base::Result<void> VariableService::read(std::uint64_t offset, std::span<std::byte> into) {
  flash_.read(offset, into);
  return {};
}

base::Result<void> VariableService::write(std::uint64_t offset, base::ByteView bytes) {
  return flash_.write(offset, bytes, Clock::now());
}

base::Result<void> VariableService::flush() {
  auto committed = flash_.commit(Clock::now());
  tell_trouble();
  return committed;
}

std::optional<transport::nbd::BlockExport::Clock::time_point> VariableService::tend(
    Clock::time_point now) {
  const auto due = flash_.tend(now);
  tell_trouble();
  return due;
}

void VariableService::tell_trouble() {
  const auto& failure = flash_.failure();
  if (failure.has_value() == in_trouble_) {
    return;
  }
  in_trouble_ = failure.has_value();
  if (failure) {
    base::log(
        base::LogLevel::kError,
        "UEFI variables cannot be stored, and the hypervisor is told so: " + failure->message);
  } else {
    base::log(base::LogLevel::kInfo, "UEFI variables are stored again");
  }
  post([events = events_, failure] { events->trouble(failure); });
}

}  // namespace tools::vtpm_instance
