// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/flash_edit.h"

#include <algorithm>
#include <optional>
#include <string>

#include "vmgs/base/cursor.h"
#include "vmgs/uefi/fault_tolerant_write.h"
#include "vmgs/uefi/flash_layout.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

constexpr std::size_t kStateAt = offsetof(VariableStartLayout, state);
constexpr std::uint8_t kWritten = 0x3f;  // header valid and content there: both bits cleared
constexpr std::uint8_t kGoneMask = static_cast<std::uint8_t>(~(kIsDeleted | kInDeletedTransition));

// An image in which a change lasts.
base::Result<Flash> decode_to_change(base::ByteView image) {
  TRY_ASSIGN(flash, decode_flash(image));
  const auto end = flash.store_at + static_cast<std::size_t>(flash.store_bytes);
  if (has_pending_write(image.subspan(end))) {
    return base::fail(ErrorCode::kDenied,
                      "firmware was cut off while it rewrote the variable store, and will write it "
                      "anew when it boots next, over any change made now: boot the VM once, then "
                      "edit");
  }
  return flash;
}

// The place in `flash.variables` of the variable that firmware finds under a name.
std::optional<std::size_t> find_current(const Flash& flash, const Guid& vendor,
                                        std::u16string_view name) {
  for (const auto* each : current(flash.variables)) {
    if (each->vendor == vendor && each->name == name) {
      return static_cast<std::size_t>(each - flash.variables.data());
    }
  }
  return std::nullopt;
}

// Where the record at `place` ends, padding included.
std::size_t end_of(const Flash& flash, std::size_t place) {
  return place + 1 < flash.variables_at.size() ? flash.variables_at[place + 1]
                                               : flash.store_at + flash.used_bytes;
}

void mark_deleted(base::Bytes& image, const Flash& flash, std::size_t place) {
  image[flash.variables_at[place] + kStateAt] &= std::byte{kGoneMask};
}

AuthenticationLayout authentication_of(const Timestamp& time) {
  AuthenticationLayout raw{};
  raw.timestamp.year = time.year;
  raw.timestamp.month_to_second = {std::byte{time.month}, std::byte{time.day}, std::byte{time.hour},
                                   std::byte{time.minute}, std::byte{time.second}};
  return raw;
}

base::Bytes encode_record(const Variable& variable, bool is_authenticated) {
  const auto name = encode_name(variable.name);
  base::Writer writer;
  VariableStartLayout start{};
  start.start = kVariableStart;
  start.state = {std::byte{kWritten}};
  start.attributes = variable.attributes;
  writer.layout(start);
  if (is_authenticated) {
    writer.layout(authentication_of(variable.timestamp));
  }
  VariableEndLayout end{};
  end.name_bytes = static_cast<std::uint32_t>(name.size());
  end.data_bytes = static_cast<std::uint32_t>(variable.data.size());
  end.vendor = variable.vendor;
  writer.layout(end);
  writer.bytes(name);
  writer.bytes(variable.data);
  while (writer.size() % kAlignment != 0) {
    writer.u8(kErased);
  }
  return std::move(writer).take();
}

// The image with a store that holds what firmware finds, but for the variable at `left_out`, and
// erased bytes behind it.
base::Bytes packed(base::ByteView image, const Flash& flash, std::optional<std::size_t> left_out) {
  auto result = base::copy_of(image);
  const auto begin = flash.store_at + sizeof(StoreHeaderLayout);
  auto at = begin;
  for (const auto* each : current(flash.variables)) {
    const auto place = static_cast<std::size_t>(each - flash.variables.data());
    if (left_out == place) {
      continue;
    }
    const auto from = flash.variables_at[place];
    const auto record = image.subspan(from, end_of(flash, place) - from);
    std::copy(record.begin(), record.end(), result.begin() + static_cast<std::ptrdiff_t>(at));
    result[at + kStateAt] = std::byte{kWritten};
    at += record.size();
  }
  const auto end = flash.store_at + static_cast<std::size_t>(flash.store_bytes);
  std::fill(result.begin() + static_cast<std::ptrdiff_t>(at),
            result.begin() + static_cast<std::ptrdiff_t>(end), std::byte{kErased});
  return result;
}

tl::unexpected<base::Error> no_room(const Flash& flash, const Variable& variable,
                                    std::size_t needed, std::uint64_t taken) {
  return base::fail(ErrorCode::kDenied,
                    text_of(variable.name) + " would take " + std::to_string(needed) +
                        " bytes of the variable store, which has " +
                        std::to_string(flash.store_bytes - taken) + " of " +
                        std::to_string(flash.store_bytes) +
                        " left when packed: delete variables that nobody needs");
}

}  // namespace

std::uint64_t packed_bytes(const Flash& flash) {
  std::uint64_t bytes = sizeof(StoreHeaderLayout);
  for (const auto* each : current(flash.variables)) {
    const auto place = static_cast<std::size_t>(each - flash.variables.data());
    bytes += end_of(flash, place) - flash.variables_at[place];
  }
  return bytes;
}

base::Result<base::Bytes> with_variable(base::ByteView image, const Variable& variable) {
  if (variable.name.empty() || variable.data.empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a variable has a name and content: one without content is deleted instead");
  }
  TRY_ASSIGN(flash, decode_to_change(image));
  const auto record = encode_record(variable, flash.is_authenticated);
  const auto replaced = find_current(flash, variable.vendor, variable.name);
  base::Bytes result;
  // Whatever lies behind the variables must not be taken for more of them.
  const auto behind = image.subspan(flash.store_at + static_cast<std::size_t>(flash.used_bytes),
                                    static_cast<std::size_t>(flash.store_bytes - flash.used_bytes));
  const bool is_free = std::all_of(behind.begin(), behind.end(),
                                   [](std::byte each) { return each == std::byte{kErased}; });
  if (is_free && record.size() <= behind.size()) {
    result = base::copy_of(image);
    if (replaced) {
      mark_deleted(result, flash, *replaced);
    }
  } else {
    result = packed(image, flash, replaced);
    TRY_ASSIGN(repacked, decode_flash(result));
    if (record.size() > repacked.store_bytes - repacked.used_bytes) {
      return no_room(repacked, variable, record.size(), repacked.used_bytes);
    }
    flash = std::move(repacked);
  }
  const auto at = flash.store_at + static_cast<std::size_t>(flash.used_bytes);
  std::copy(record.begin(), record.end(), result.begin() + static_cast<std::ptrdiff_t>(at));
  return result;
}

base::Result<base::Bytes> without_variable(base::ByteView image, const Guid& vendor,
                                           std::u16string_view name) {
  TRY_ASSIGN(flash, decode_to_change(image));
  const auto found = find_current(flash, vendor, name);
  if (!found) {
    return base::fail(ErrorCode::kNotFound, "there is no variable " + text_of(name));
  }
  auto result = base::copy_of(image);
  // What it replaced may still be marked as being replaced, and would come back.
  for (std::size_t place = 0; place < flash.variables.size(); ++place) {
    const auto& each = flash.variables[place];
    if (each.vendor == vendor && each.name == name && each.state != State::kIncomplete) {
      mark_deleted(result, flash, place);
    }
  }
  return result;
}

base::Result<base::Bytes> packed_image(base::ByteView image) {
  TRY_ASSIGN(flash, decode_to_change(image));
  return packed(image, flash, std::nullopt);
}

}  // namespace vmgs::uefi
