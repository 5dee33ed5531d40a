// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/service.h"

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <string>
#include <utility>

#include "tools/vtpm-instance/device_service.h"
#include "tools/vtpm-instance/state_blob_codec.h"
#include "transport/tpm_socket/control_server.h"
#include "transport/tpm_socket/data_server.h"
#include "vmgs/base/cursor.h"
#include "vmgs/base/log.h"
#include "vtpm/device/device.h"
#include "vtpm/engine/engine.h"
#include "vtpm/protocol/header.h"

namespace tools::swtpm {

namespace asio = boost::asio;
using transport::tpm_socket::ControlServer;
using transport::tpm_socket::DataRoad;
using transport::tpm_socket::DataServer;
using vtpm_instance::CommandsOfDevice;
using vtpm_instance::ControlOfDevice;

namespace {

constexpr std::uint8_t kLocality4 = 4;

// A vendor's command of TPM 2.0 (TPM2_CC_VEND, 0x1000): one byte follows the header. The kernel's
// proxy device sends it (include/uapi/linux/vtpm_proxy.h, TPM2_CC_SET_LOCALITY).
constexpr std::uint32_t kSetLocality = 0x20001000;
constexpr std::size_t kSetLocalityBytes = 11;

// The locality that such a command asks for.
std::optional<std::uint8_t> locality_of(base::ByteView command) {
  base::Reader reader(command);
  const auto tag = reader.u16_be();
  const auto size = reader.u32_be();
  const auto code = reader.u32_be();
  const auto locality = reader.u8();
  const bool is_one = tag && size && code && locality && *code == kSetLocality &&
                      *size == kSetLocalityBytes && command.size() == kSetLocalityBytes;
  return is_one ? std::optional(*locality) : std::nullopt;
}

// DropInCommands runs TPM commands as swtpm does, on the data server's thread.
class DropInCommands final : public transport::tpm_socket::CommandHandler {
 public:
  struct Events {
    std::function<void()> closed;  // a data channel
    std::function<void(const base::Error&)> lost;
  };

  DropInCommands(vtpm::device::Device& device, DropInStore& store, const ServiceSetup& setup,
                 Events events)
      : device_(device),
        commands_(device),
        store_(store),
        takes_set_locality_(setup.takes_set_locality),
        rejects_locality_4_(setup.rejects_locality_4),
        events_(std::move(events)) {}

  base::Bytes run(std::span<std::byte> command, DataRoad road,
                  std::optional<std::uint8_t> locality) override {
    // Whoever took the state may have let it run; then this TPM must not.
    if (store_.released()) {
      if (const auto taken = store_.take_again(0); !taken) {
        events_.lost(taken.error());
        return base::copy_of(vtpm::protocol::bare_response(vtpm::protocol::ResponseCode::kFailure));
      }
    }
    if (takes_set_locality_) {
      if (const auto wanted = locality_of(command)) {
        const bool is_set =
            !(rejects_locality_4_ && *wanted == kLocality4) && device_.set_locality(*wanted);
        return base::copy_of(
            vtpm::protocol::bare_response(is_set ? vtpm::protocol::ResponseCode::kSuccess
                                                 : vtpm::protocol::ResponseCode::kLocality));
      }
    }
    return commands_.run(command, road, locality);
  }

  void channel_closed() override { events_.closed(); }

  void rest() override { commands_.rest(); }

 private:
  vtpm::device::Device& device_;
  CommandsOfDevice commands_;
  DropInStore& store_;
  const bool takes_set_locality_;
  const bool rejects_locality_4_;
  const Events events_;
};

// DropInControl carries control requests out as swtpm does.
class DropInControl final : public ControlOfDevice {
 public:
  DropInControl(vtpm::device::Device& device, DataServer& data,
                vtpm_instance::StateBlobCodec& codec, DropInStore& store, const ServiceSetup& setup,
                Events events)
      : ControlOfDevice(device, data, &codec, std::move(events)),
        store_(store),
        rejects_locality_4_(setup.rejects_locality_4),
        releases_(setup.releases_store_when_taken) {}

  base::Result<void> set_locality(std::uint8_t locality) override {
    if (rejects_locality_4_ && locality == kLocality4) {
      return base::fail(base::ErrorCode::kInvalidArgument, "locality 4 is not allowed here");
    }
    return ControlOfDevice::set_locality(locality);
  }

  base::Result<void> set_state_blob(transport::tpm_socket::StateBlob which, base::ByteView blob,
                                    bool under_file_key) override {
    TRY(store_.reserve());
    return ControlOfDevice::set_state_blob(which, blob, under_file_key);
  }

  base::Result<void> lock_storage(std::uint32_t retries) override {
    return store_.take_again(retries);
  }

  void state_is_taken() override {
    if (!releases_) {
      return;
    }
    if (const auto released = store_.release(); !released) {
      base::log(base::LogLevel::kError, "the store is not released: " + released.error().message);
    }
  }

 private:
  DropInStore& store_;
  const bool rejects_locality_4_;
  const bool releases_;
};

class Service {
 public:
  explicit Service(ServiceSetup setup, vtpm::engine::Engine& engine)
      : setup_(std::move(setup)),
        device_(engine, {.shut_down_in_order = setup_.shuts_down_in_order}),
        blobs_(clone_of(setup_.file_key), clone_of(setup_.migration_key)),
        commands_(device_, *setup_.store, setup_,
                  {.closed = [this] { data_channel_closed(); },
                   .lost = [this](const base::Error& error) { lost(error); }}),
        signals_(io_, SIGTERM, SIGINT) {}

  base::Result<void> serve(const std::function<base::Result<void>()>& ready) {
    TRY(power_on_at_start());
    auto data_channel = setup_.data ? std::move(*setup_.data) : Channel();
    TRY_ASSIGN(data, DataServer::start(commands_, std::move(data_channel.listening),
                                       {.one_command = data_channel.disconnect}));
    if (data_channel.connected.is_open()) {
      TRY(data->adopt(std::move(data_channel.connected)));
    }
    DropInControl control(device_, *data, blobs_, *setup_.store, setup_,
                          {.powered_on = [](const base::Result<void>& done) { powered_on(done); },
                           .shut_down = [this] { return close(); }});
    auto control_channel = setup_.control ? std::move(*setup_.control) : Channel();
    ControlServer server(io_, std::move(control_channel.listening), control, {},
                         {.shut_down = [this] { io_.stop(); },
                          .client_gone =
                              [this, ends = control_channel.terminate] {
                                if (ends) {
                                  io_.stop();
                                }
                              }});
    if (control_channel.connected.is_open()) {
      server.serve(std::move(control_channel.connected));
    }
    signals_.async_wait([this](boost::system::error_code error, int) {
      if (!error) {
        io_.stop();
      }
    });
    TRY(ready());
    io_.run();
    return close();
  }

 private:
  static std::optional<vmgs::format::SwtpmKey> clone_of(
      const std::optional<vmgs::format::SwtpmKey>& key) {
    return key ? std::optional(key->clone()) : std::nullopt;
  }

  static void powered_on(const base::Result<void>& done) {
    if (!done) {
      base::log(base::LogLevel::kError,
                "Error: Could not initialize the TPM: " + done.error().message);
    }
  }

  base::Result<void> power_on_at_start() {
    if (!setup_.on_at_start) {
      return {};
    }
    TRY(device_.init());
    if (setup_.startup) {
      auto command = vtpm::protocol::startup(*setup_.startup);
      const auto answer = device_.process(command);
      const auto header = vtpm::protocol::decode_response_header(answer);
      if (!header || header->code != vtpm::protocol::ResponseCode::kSuccess) {
        base::log(base::LogLevel::kWarning, "the TPM has refused its Startup");
      }
    }
    return {};
  }

  // These two come on the data server's thread.
  void data_channel_closed() {
    if (setup_.ends_with_data_channel) {
      asio::post(io_, [this] { io_.stop(); });
    }
  }

  void lost(const base::Error& error) {
    base::log(base::LogLevel::kError, error.message);
    asio::post(io_, [this] {
      lost_ = true;
      io_.stop();
    });
  }

  base::Result<void> close() {
    if (!closed_) {
      device_.retire();
      closed_ = setup_.store->close();
    }
    if (lost_) {
      return base::fail(base::ErrorCode::kDenied, "the TPM was handed over and is used elsewhere");
    }
    return *closed_;
  }

  ServiceSetup setup_;
  asio::io_context io_{1};
  vtpm::device::Device device_;
  vtpm_instance::SwtpmStateBlobs blobs_;
  DropInCommands commands_;
  asio::signal_set signals_;
  std::optional<base::Result<void>> closed_;
  bool lost_ = false;
};

}  // namespace

base::Result<void> serve(ServiceSetup setup, const std::function<base::Result<void>()>& ready) {
  auto& store = *setup.store;
  TRY_ASSIGN(engine, vtpm::engine::Engine::create(store));
  Service service(std::move(setup), *engine);
  return service.serve(ready);
}

}  // namespace tools::swtpm
