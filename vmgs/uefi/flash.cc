// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/flash.h"

#include <algorithm>
#include <string>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/uefi/flash_layout.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

Guid guid_of(std::string_view text) { return format::guid_bytes(*format::parse_vm_id(text)); }

bool is_erased(base::ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte each) { return each == std::byte{kErased}; });
}

tl::unexpected<base::Error> corrupt(const std::string& what) {
  return base::fail(ErrorCode::kCorrupt, "the variable flash " + what);
}

// All 16-bit words of the header together are zero.
bool has_right_sum(base::ByteView header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < header.size(); i += 2) {
    sum += std::to_integer<std::uint32_t>(header[i]) | std::to_integer<std::uint32_t>(header[i + 1])
                                                           << 8;
  }
  return (sum & 0xffff) == 0;
}

Timestamp timestamp_of(const TimeLayout& raw) {
  const auto at = [&](std::size_t i) {
    return std::to_integer<std::uint8_t>(raw.month_to_second[i]);
  };
  return {raw.year.value(), at(0), at(1), at(2), at(3), at(4)};
}

State state_of(std::uint8_t state) {
  if ((state & kHeaderIsValid) != 0 || (state & kAdded) != 0) {
    return State::kIncomplete;
  }
  if ((state & kIsDeleted) == 0) {
    return State::kDeleted;
  }
  return (state & kInDeletedTransition) == 0 ? State::kBeingReplaced : State::kCurrent;
}

// The volume's content behind its header.
base::Result<base::ByteView> content_of_volume(base::ByteView image) {
  static const Guid kVariableVolume = guid_of("fff12b8d-7696-4c8b-a985-2747075b4f50");
  base::Reader reader(image);
  TRY_ASSIGN(header, reader.layout<VolumeHeaderLayout>());
  if (header.signature.value() != kVolumeSignature) {
    return corrupt("does not begin with a firmware volume");
  }
  if (header.file_system != kVariableVolume) {
    return corrupt("begins with a firmware volume that is not for variables, but of " +
                   to_string(header.file_system));
  }
  const std::uint64_t header_bytes = header.header_bytes.value();
  const std::uint64_t volume_bytes = header.volume_bytes.value();
  if (volume_bytes > image.size() || header_bytes < sizeof(VolumeHeaderLayout) ||
      header_bytes > volume_bytes || header_bytes % 2 != 0) {
    return corrupt("has a firmware volume that does not fit into it");
  }
  if (!has_right_sum(image.first(header_bytes))) {
    return corrupt("has a firmware volume whose checksum is wrong");
  }
  return image.subspan(header_bytes, volume_bytes - header_bytes);
}

// The store's content behind its header.
base::Result<base::ByteView> content_of_store(base::ByteView volume, Flash& flash) {
  static const Guid kAuthenticated = guid_of("aaf32c78-947b-439a-a180-2e144ec37792");
  static const Guid kPlain = guid_of("ddcf3616-3275-4164-98b6-fe85707ffe7d");
  base::Reader reader(volume);
  TRY_ASSIGN(header, reader.layout<StoreHeaderLayout>());
  if (header.signature != kAuthenticated && header.signature != kPlain) {
    return corrupt("has a variable store of a kind that nobody knows, " +
                   to_string(header.signature));
  }
  const std::uint64_t store_bytes = header.store_bytes.value();
  if (store_bytes < sizeof(StoreHeaderLayout) || store_bytes > volume.size()) {
    return corrupt("has a variable store that does not fit into it");
  }
  if (header.format[0] != std::byte{kFormatted} || header.state[0] != std::byte{kHealthy}) {
    return corrupt("has a variable store that says it is not formatted, or not healthy");
  }
  flash.is_authenticated = header.signature == kAuthenticated;
  flash.store_bytes = store_bytes;
  return volume.subspan(sizeof(StoreHeaderLayout), store_bytes - sizeof(StoreHeaderLayout));
}

base::Result<Variable> decode_variable(base::Reader& reader, bool is_authenticated) {
  Variable variable;
  TRY_ASSIGN(start, reader.layout<VariableStartLayout>());
  const auto state = std::to_integer<std::uint8_t>(start.state[0]);
  variable.attributes = start.attributes.value();
  variable.state = state_of(state);
  if (is_authenticated) {
    TRY_ASSIGN(authentication, reader.layout<AuthenticationLayout>());
    variable.timestamp = timestamp_of(authentication.timestamp);
  }
  TRY_ASSIGN(end, reader.layout<VariableEndLayout>());
  variable.vendor = end.vendor;
  if ((state & kHeaderIsValid) != 0) {
    return variable;  // its sizes mean nothing: firmware goes on right behind this header
  }
  TRY_ASSIGN(name_bytes, reader.bytes(end.name_bytes.value()));
  TRY_ASSIGN(data, reader.bytes(end.data_bytes.value()));
  auto decoded = decode_name(name_bytes);
  if (!decoded && variable.state != State::kIncomplete) {
    return base::fail(std::move(decoded).error());
  }
  variable.name = decoded ? *std::move(decoded) : std::u16string();
  variable.data = base::copy_of(data);
  return variable;
}

}  // namespace

base::Result<Flash> decode_flash(base::ByteView image) {
  if (is_erased(image)) {
    return base::fail(ErrorCode::kNotFound,
                      "the variable flash is blank: no firmware has made its store in it yet");
  }
  Flash flash;
  TRY_ASSIGN(volume, content_of_volume(image));
  TRY_ASSIGN(store, content_of_store(volume, flash));
  flash.store_at = static_cast<std::size_t>(volume.data() - image.data());
  base::Reader reader(store);
  while (reader.remaining() >= sizeof(VariableStartLayout)) {
    const auto next = store.subspan(reader.offset(), sizeof(base::U16Le));
    if (base::load<base::U16Le>(next.first<sizeof(base::U16Le)>()).value() != kVariableStart) {
      break;
    }
    const auto at = reader.offset();
    auto variable = decode_variable(reader, flash.is_authenticated);
    if (!variable) {
      return base::fail(std::move(variable).error().context(
          "the variable at " + std::to_string(at) + " of the variable store"));
    }
    flash.variables.push_back(*std::move(variable));
    flash.variables_at.push_back(flash.store_at + sizeof(StoreHeaderLayout) + at);
    const auto padding = (kAlignment - reader.offset() % kAlignment) % kAlignment;
    if (padding > reader.remaining()) {
      break;
    }
    TRY(reader.bytes(padding));
  }
  flash.used_bytes = sizeof(StoreHeaderLayout) + reader.offset();
  return flash;
}

}  // namespace vmgs::uefi
