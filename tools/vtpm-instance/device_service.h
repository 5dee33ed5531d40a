// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "tools/vtpm-instance/state_blob_codec.h"
#include "transport/tpm_socket/control_handler.h"
#include "transport/tpm_socket/data_server.h"
#include "vtpm/device/device.h"

namespace tools::vtpm_instance {

// CommandsOfDevice runs TPM commands on a device.
class CommandsOfDevice final : public transport::tpm_socket::CommandHandler {
 public:
  explicit CommandsOfDevice(vtpm::device::Device& device) : device_(device) {}

  base::Bytes run(std::span<std::byte> command, transport::tpm_socket::DataRoad road,
                  std::optional<std::uint8_t> locality) override;

  void rest() override;

 private:
  vtpm::device::Device& device_;
};

// ControlOfDevice carries control requests out on a device.
class ControlOfDevice : public transport::tpm_socket::ControlHandler {
 public:
  struct Events {
    // After each INIT.
    std::function<void(const base::Result<void>&)> powered_on;
    // SHUTDOWN: the TPM is off, and its store is to be closed.
    std::function<base::Result<void>()> shut_down;
    // A client has taken the TPM's whole state, as one does that migrates it away.
    std::function<void()> state_taken = [] {};
    // A TPM was powered on from a state that a client has put in.
    std::function<void()> state_put_in = [] {};
  };

  // Blobs leave and enter in the form of `codec`; where it is null none do.
  ControlOfDevice(vtpm::device::Device& device, transport::tpm_socket::DataServer& data,
                  StateBlobCodec* codec, Events events)
      : device_(device), data_(data), codec_(codec), events_(std::move(events)) {}

  base::Result<void> init(bool delete_volatile) override;
  base::Result<void> stop() override;
  base::Result<void> shutdown() override;
  base::Result<void> set_locality(std::uint8_t locality) override;
  base::Result<bool> established() override;
  base::Result<void> reset_established(std::uint8_t locality) override;
  base::Result<void> hash_start() override;
  base::Result<void> hash_data(base::ByteView data) override;
  base::Result<void> hash_end() override;
  base::Result<void> cancel() override;
  base::Result<void> store_volatile() override;

  [[nodiscard]] bool offers_state_blobs() const override { return codec_ != nullptr; }

  base::Result<transport::tpm_socket::OutgoingStateBlob> state_blob(
      transport::tpm_socket::StateBlob which, bool file_key_off) override;
  base::Result<void> set_state_blob(transport::tpm_socket::StateBlob which, base::ByteView blob,
                                    bool under_file_key) override;

  void state_is_taken() override { events_.state_taken(); }

  [[nodiscard]] transport::tpm_socket::KeysInUse keys_in_use() const override;
  base::Result<transport::tpm_socket::BufferSizes> buffer_sizes(std::uint32_t wanted) override;
  base::Result<std::string> info(std::uint64_t flags) override;
  base::Result<void> lock_storage(std::uint32_t retries) override;
  base::Result<void> set_data_channel(base::Descriptor channel) override;

 private:
  vtpm::device::Device& device_;
  transport::tpm_socket::DataServer& data_;
  StateBlobCodec* const codec_;
  const Events events_;
  bool awaits_start_ = false;  // what a client has put in
};

}  // namespace tools::vtpm_instance
