// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/device_service.h"

#include <malloc.h>

#include <utility>

#include "vmgs/base/idle_memory.h"

namespace tools::vtpm_instance {

using transport::tpm_socket::DataRoad;
using transport::tpm_socket::OutgoingStateBlob;
using transport::tpm_socket::StateBlob;
using vtpm::engine::BlobKind;

namespace {

BlobKind kind_of(StateBlob which) {
  return which == StateBlob::kPermanent ? BlobKind::kPermanent : BlobKind::kVolatile;
}

tl::unexpected<base::Error> no_codec() {
  return base::fail(base::ErrorCode::kDenied,
                    "the state of this TPM neither leaves nor enters through the hypervisor: that "
                    "of a confidential VM never does, and that of another where its state blobs "
                    "are plain, or sealed to a ticket");
}

}  // namespace

base::Bytes CommandsOfDevice::run(std::span<std::byte> command, DataRoad road,
                                  std::optional<std::uint8_t> locality) {
  const auto sender =
      road == DataRoad::kPassed ? vtpm::device::Sender::kGuest : vtpm::device::Sender::kClient;
  return device_.process(command, sender, locality);
}

void CommandsOfDevice::rest() {
  device_.give_back_memory();
  base::give_back_stack();
  ::malloc_trim(0);
}

base::Result<void> ControlOfDevice::init(bool) {
  if (codec_ != nullptr) {
    // A guest that begins anew goes on here with what was given back. What was not is refused by
    // its store, which says why.
    (void)codec_->wanted_back(0);
  }
  // A stored volatile blob is used up by the start, so there is never one left to delete.
  auto started = device_.init();
  if (std::exchange(awaits_start_, false) && started) {
    events_.state_put_in();
  }
  events_.powered_on(started);
  return started;
}

base::Result<void> ControlOfDevice::stop() {
  device_.stop();
  return {};
}

base::Result<void> ControlOfDevice::shutdown() {
  device_.retire();
  return events_.shut_down();
}

base::Result<void> ControlOfDevice::set_locality(std::uint8_t locality) {
  return device_.set_locality(locality);
}

base::Result<bool> ControlOfDevice::established() { return device_.established(); }

base::Result<void> ControlOfDevice::reset_established(std::uint8_t locality) {
  return device_.reset_established(locality);
}

base::Result<void> ControlOfDevice::hash_start() { return device_.hash_start(); }

base::Result<void> ControlOfDevice::hash_data(base::ByteView data) {
  return device_.hash_data(data);
}

base::Result<void> ControlOfDevice::hash_end() { return device_.hash_end(); }

base::Result<void> ControlOfDevice::cancel() { return device_.cancel(); }

base::Result<void> ControlOfDevice::store_volatile() { return device_.store_volatile(); }

base::Result<OutgoingStateBlob> ControlOfDevice::state_blob(StateBlob which, bool file_key_off) {
  // There is one to take, before anything is done about it.
  TRY(device_.state_blob(kind_of(which)));
  if (codec_ == nullptr) {
    return no_codec();
  }
  TRY(codec_->leave(which));
  TRY_ASSIGN(state, device_.state_blob(kind_of(which)));
  return codec_->wrap(which, state.expose(), file_key_off);
}

base::Result<void> ControlOfDevice::set_state_blob(StateBlob which, base::ByteView blob,
                                                   bool under_file_key) {
  TRY(device_.expect_may_set());
  if (codec_ == nullptr) {
    return no_codec();
  }
  // Nothing that would have to be taken out of its wrapping: there is no such state.
  if (which == StateBlob::kVolatile && blob.empty()) {
    return device_.set_state_blob(kind_of(which), blob);
  }
  TRY_ASSIGN(state, codec_->unwrap(which, blob, under_file_key));
  auto set = device_.set_state_blob(kind_of(which), state.expose());
  awaits_start_ = awaits_start_ || set;
  return set;
}

transport::tpm_socket::KeysInUse ControlOfDevice::keys_in_use() const {
  return codec_ == nullptr ? transport::tpm_socket::KeysInUse{} : codec_->keys_in_use();
}

base::Result<transport::tpm_socket::BufferSizes> ControlOfDevice::buffer_sizes(
    std::uint32_t wanted) {
  auto sizes = device_.buffer_size();
  if (wanted != 0) {
    TRY_ASSIGN(set, device_.set_buffer_size(wanted));
    sizes = set;
  }
  return transport::tpm_socket::BufferSizes{sizes.current, sizes.min, sizes.max};
}

base::Result<std::string> ControlOfDevice::info(std::uint64_t flags) { return device_.info(flags); }

// The store is locked from its opening to the end of this process.
base::Result<void> ControlOfDevice::lock_storage(std::uint32_t retries) {
  return codec_ == nullptr ? base::Result<void>() : codec_->wanted_back(retries);
}

base::Result<void> ControlOfDevice::set_data_channel(base::Descriptor channel) {
  return data_.adopt(std::move(channel));
}

}  // namespace tools::vtpm_instance
