// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/estate.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <string>
#include <utility>

namespace vtpm::handover {

namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;

constexpr std::uint32_t kVersion = 1;

// Of the secrets, those that come before what each connection has.
constexpr std::size_t kFixedSecrets = 8;

tl::unexpected<base::Error> corrupt(const std::string& what) {
  return base::fail(ErrorCode::kCorrupt, "the estate of the instance before: " + what);
}

template <std::size_t N>
base::Result<std::array<std::byte, N>> sized(const std::string& field) {
  std::array<std::byte, N> bytes{};
  if (field.size() != N) {
    return corrupt("an id has another size");
  }
  const auto view = base::bytes_of(field);
  std::copy(view.begin(), view.end(), bytes.begin());
  return bytes;
}

template <std::size_t N>
std::string text_of(const std::array<std::byte, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The secrets of a parcel, one after the other.
class Secrets {
 public:
  explicit Secrets(base::ByteView all) : left_(all) {}

  // Nothing if there are not so many bytes.
  std::optional<base::SecretBytes> next(std::size_t bytes) {
    if (bytes > left_.size()) {
      return std::nullopt;
    }
    base::SecretBytes secret(bytes);
    std::copy_n(left_.begin(), bytes, secret.fill().begin());
    left_ = left_.subspan(bytes);
    return secret;
  }

  [[nodiscard]] bool empty() const { return left_.empty(); }

 private:
  base::ByteView left_;
};

void put_tpm(const device::Running& tpm, instance::Estate& out) {
  out.set_powered(tpm.powered);
  out.set_platform_has_power(tpm.platform_has_power);
  out.set_locality(tpm.locality);
  out.set_buffer_bytes(tpm.buffer_bytes);
  if (tpm.last_command) {
    out.set_last_command(static_cast<std::uint32_t>(*tpm.last_command));
  }
  out.set_locked_out(tpm.locked_out);
}

base::Result<device::Running> take_tpm(const instance::Estate& in) {
  if (in.locality() > std::numeric_limits<std::uint8_t>::max()) {
    return corrupt("there is no such locality");
  }
  device::Running tpm;
  tpm.powered = in.powered();
  tpm.platform_has_power = in.platform_has_power();
  tpm.locality = static_cast<std::uint8_t>(in.locality());
  tpm.buffer_bytes = in.buffer_bytes();
  if (in.has_last_command()) {
    tpm.last_command = static_cast<protocol::CommandCode>(in.last_command());
  }
  tpm.locked_out = in.locked_out();
  return tpm;
}

// The descriptors that belong to an estate, before those of its connections.
std::size_t fixed_descriptors(const instance::Estate& estate) {
  return 3U + (estate.has_store() ? 1U : 0U) + (estate.has_flash_client() ? 1U : 0U);
}

base::Result<void> check_counts(const instance::Estate& estate, const Parcel& parcel) {
  const auto connections = static_cast<std::size_t>(estate.control_clients_size()) +
                           static_cast<std::size_t>(estate.data_channels_size());
  if (static_cast<std::size_t>(estate.secret_bytes_size()) != kFixedSecrets + connections ||
      parcel.descriptors.size() != fixed_descriptors(estate) + connections) {
    return corrupt("something is missing");
  }
  return {};
}

}  // namespace

Parcel pack(Estate estate) {
  Parcel parcel;
  auto& out = *parcel.message.mutable_estate();
  out.set_version(kVersion);
  out.set_stopped_at(std::chrono::nanoseconds(estate.stopped_at.time_since_epoch()).count());
  out.set_vm_id(text_of(estate.vm_id.bytes));
  out.set_boot_id(text_of(estate.boot_id));
  put_tpm(estate.tpm, out);
  parcel.descriptors.push_back(std::move(estate.decision));
  parcel.descriptors.push_back(std::move(estate.lease));
  parcel.descriptors.push_back(std::move(estate.door));
  if (estate.store) {
    out.set_has_store(true);
    out.set_header_sequence(estate.store->header_sequence);
    parcel.descriptors.push_back(std::move(estate.store->file));
  }
  FlashClient of_flash;
  if (estate.flash_client) {
    of_flash = *std::move(estate.flash_client);
    out.set_has_flash_client(true);
    parcel.descriptors.push_back(std::move(of_flash.socket));
  }
  *out.mutable_attestation() = std::move(estate.attestation);

  std::vector<const base::SecretBytes*> secrets = {
      &estate.tpm.permanent,    &estate.tpm.volatile_state,
      &estate.memory_permanent, &estate.memory_volatile,
      &estate.index_password,   &estate.memory_flash,
      &of_flash.unused,         &of_flash.unsent};
  for (auto& client : estate.control_clients) {
    auto& described = *out.add_control_clients();
    described.set_owns_data_channel(client.owns_data_channel);
    described.set_padding_owed(client.padding_owed);
    parcel.descriptors.push_back(std::move(client.socket));
    secrets.push_back(&client.unused);
  }
  for (auto& channel : estate.data_channels) {
    out.add_data_channels()->set_passed(channel.passed);
    parcel.descriptors.push_back(std::move(channel.socket));
    secrets.push_back(&channel.part);
  }
  std::size_t total = 0;
  for (const auto* secret : secrets) {
    out.add_secret_bytes(static_cast<std::uint32_t>(secret->size()));
    total += secret->size();
  }
  parcel.secrets = base::SecretBytes(total);
  auto at = parcel.secrets.fill().begin();
  for (const auto* secret : secrets) {
    at = std::copy(secret->expose().begin(), secret->expose().end(), at);
  }
  return parcel;
}

base::Result<Estate> unpack(Parcel parcel) {
  if (!parcel.message.has_estate()) {
    return corrupt("there is none");
  }
  auto& in = *parcel.message.mutable_estate();
  if (in.version() != kVersion) {
    return base::fail(ErrorCode::kUnavailable,
                      "the instance before is of another version, whose "
                      "estate this one does not know: restart the VM");
  }
  TRY(check_counts(in, parcel));
  Estate estate;
  estate.stopped_at = std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(
          std::chrono::nanoseconds(in.stopped_at())));
  TRY_ASSIGN(tpm, take_tpm(in));
  estate.tpm = std::move(tpm);
  auto descriptor = parcel.descriptors.begin();
  estate.decision = std::move(*descriptor++);
  estate.lease = std::move(*descriptor++);
  estate.door = std::move(*descriptor++);
  TRY_ASSIGN(vm_id, sized<16>(in.vm_id()));
  TRY_ASSIGN(boot_id, sized<16>(in.boot_id()));
  estate.vm_id = {vm_id};
  estate.boot_id = boot_id;
  if (in.has_store()) {
    estate.store = boot::StateStore::HandedOver{.file = std::move(*descriptor++),
                                                .header_sequence = in.header_sequence(),
                                                .vm_id = estate.vm_id,
                                                .boot_id = boot_id};
  }
  FlashClient of_flash;
  if (in.has_flash_client()) {
    of_flash.socket = std::move(*descriptor++);
  }
  estate.attestation = std::move(*in.mutable_attestation());

  Secrets secrets(parcel.secrets.expose());
  std::vector<base::SecretBytes> taken;
  for (const auto bytes : in.secret_bytes()) {
    auto secret = secrets.next(bytes);
    if (!secret) {
      return corrupt("its secrets are cut short");
    }
    taken.push_back(*std::move(secret));
  }
  if (!secrets.empty()) {
    return corrupt("it has more secrets than it says");
  }
  auto secret = taken.begin();
  for (auto* slot : {&estate.tpm.permanent, &estate.tpm.volatile_state, &estate.memory_permanent,
                     &estate.memory_volatile, &estate.index_password, &estate.memory_flash,
                     &of_flash.unused, &of_flash.unsent}) {
    *slot = std::move(*secret++);
  }
  if (in.has_flash_client()) {
    estate.flash_client = std::move(of_flash);
  }
  for (const auto& client : in.control_clients()) {
    estate.control_clients.push_back({.socket = std::move(*descriptor++),
                                      .owns_data_channel = client.owns_data_channel(),
                                      .padding_owed = client.padding_owed(),
                                      .unused = std::move(*secret++)});
  }
  for (const auto& channel : in.data_channels()) {
    estate.data_channels.push_back({.socket = std::move(*descriptor++),
                                    .passed = channel.passed(),
                                    .part = std::move(*secret++)});
  }
  return estate;
}

}  // namespace vtpm::handover
