// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <sstream>

#include "tools/vmgs/vmgstool_commands.h"
#include "vmgs/base/layout.h"
#include "vmgs/format/header.h"
#include "vmgs/format/header_spacing.h"
#include "vmgs/volume/headers.h"

namespace tools::vmgs::vmgstool {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

namespace {

constexpr std::size_t kLabelWidth = 23;
constexpr std::size_t kValueWidth = 70;

std::string padded(std::string text, std::size_t width) {
  return text.size() < width ? text + std::string(width - text.size(), ' ') : text;
}

std::string right(const std::string& text) {
  return text.size() < kValueWidth ? std::string(kValueWidth - text.size(), ' ') + text : text;
}

std::string row(const std::string& label, const std::string& first, const std::string& second) {
  return padded(label, kLabelWidth) + " " + right(first) + " " + right(second) + "\n";
}

std::string hex(std::uint64_t value, std::size_t digits) {
  std::ostringstream text;
  text << std::hex << value;
  auto bare = text.str();
  return "0x" + (bare.size() < digits ? std::string(digits - bare.size(), '0') + bare : bare);
}

std::string version(std::uint32_t value) {
  return std::to_string(value >> 16 & 0xff) + "." + std::to_string(value & 0xff);
}

std::string bytes_of(base::ByteView bytes) { return "0x" + base::to_hex(bytes); }

std::uint64_t signature(const format::HeaderLayout& header) {
  return base::load<base::U64Le>(std::span<const std::byte, 8>(header.signature)).value();
}

// Both headers side by side, field by field.
std::string table(const format::HeaderLayout& a, const format::HeaderLayout& b) {
  const auto line = std::string(kLabelWidth, '-') + " " + std::string(kValueWidth, '-') + " " +
                    std::string(kValueWidth, '-') + "\n";
  std::string text = "FILE HEADERS\n" + row("Field", "Header 1", "Header 2") + line;
  text += row("Signature:", hex(signature(a), 16), hex(signature(b), 16));
  text += row("Version:", version(a.version.value()), version(b.version.value()));
  text += row("Checksum:", hex(a.checksum.value(), 8), hex(b.checksum.value(), 8));
  text += row("Sequence:", std::to_string(a.sequence.value()), std::to_string(b.sequence.value()));
  text += row("HeaderSize:", std::to_string(a.header_bytes.value()),
              std::to_string(b.header_bytes.value()));
  text += row("FileTableOffset:", hex(a.file_table_block.value(), 8),
              hex(b.file_table_block.value(), 8));
  text += row("FileTableSize:", std::to_string(a.file_table_blocks.value()),
              std::to_string(b.file_table_blocks.value()));
  text += row("EncryptionAlgorithm:", hex(a.encryption_algorithm.value(), 4),
              hex(b.encryption_algorithm.value(), 4));
  text += row("Markers:", hex(a.markers.value(), 4), hex(b.markers.value(), 4));
  for (const std::size_t slot : {0U, 1U}) {
    const auto& first = a.key_slots[slot];
    const auto& second = b.key_slots[slot];
    text += "MetadataKey" + std::to_string(slot + 1) + ":\n";
    text += row("    Nonce:", bytes_of(first.nonce), bytes_of(second.nonce));
    text += row("    Reserved:", hex(first.reserved.value(), 8), hex(second.reserved.value(), 8));
    text += row("    AuthenticationTag:", bytes_of(first.tag), bytes_of(second.tag));
    text += row("    EncryptionKey:", bytes_of(first.wrapped_key), bytes_of(second.wrapped_key));
  }
  return text + row("Reserved:", hex(a.reserved.value(), 8), hex(b.reserved.value(), 8)) + line +
         "\n";
}

std::string verdict(std::size_t number, const volume::HeaderSlot& slot) {
  return "Verifying header " + std::to_string(number) + "... " +
         (slot.header ? "[VALID]\n" : "[INVALID] Error: " + slot.header.error().message + "\n");
}

}  // namespace

Outcome<void> dump_headers(const Arguments& arguments) {
  TOOL_TRY(check_file(arguments.file_path));
  TOOL_TRY_ASSIGN(container, storage::open_container(arguments.file_path, {}));
  std::array<std::byte, format::kHeaderAreaBytes> area{};
  TOOL_TRY(container.device->read(0, area));
  const auto raw = [&](std::size_t slot) {
    return base::load<format::HeaderLayout>(
        format::header_at(format::HeaderArea(area), container.spacing, slot));
  };
  TOOL_TRY(print(table(raw(0), raw(1))));
  const auto slots = volume::read_header_slots(*container.device, container.spacing);
  if (!slots) {
    return slots.error().code == base::ErrorCode::kNotFound
               ? fail(Exit::kEmpty, slots.error().message)
               : passed(slots.error());
  }
  TOOL_TRY(print(verdict(1, (*slots)[0]) + verdict(2, (*slots)[1])));
  const auto order = volume::order_headers(*slots);
  if (!order) {
    TOOL_TRY(print("Unable to determine active header\n"));
    return passed(order.error());
  }
  return print("Active header is " + std::to_string(order->newest + 1) + "\n");
}

Outcome<void> dump_file_table(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(store, open(arguments.file_path, arguments.key_path, storage::Access::kReadOnly,
                              Locked::kAllowed));
  const auto& found = store.volume.current().table();
  if (!found) {
    return passed(found.error());
  }
  std::string text = "FILE TABLE\n" + padded("File ID", 32) + padded("Allocated", 12) +
                     padded("Valid", 12) + "Encrypted\n";
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<format::FileId>(i);
    if (const auto& entry = (*found)[id]) {
      text += padded(described(id), 32) + padded(std::to_string(entry->allocated_blocks), 12) +
              padded(std::to_string(entry->valid_bytes), 12) +
              (store.volume.current().is_encrypted(id) ? "true" : "false") + "\n";
    }
  }
  return print(text);
}

}  // namespace tools::vmgs::vmgstool
