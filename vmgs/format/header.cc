// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/header.h"

#include <algorithm>
#include <boost/crc.hpp>
#include <string>

#include "vmgs/format/blocks.h"

namespace vmgs::format {

namespace {

constexpr std::string_view kSignature = "GUESTRTS";
constexpr std::string_view kGptSignature = "EFI PART";
constexpr std::uint32_t kVersion2 = 0x00020000;
constexpr std::uint32_t kVersion3 = 0x00030000;
constexpr std::uint16_t kAlgorithmNone = 0;
constexpr std::uint16_t kAlgorithmAesGcm = 1;
constexpr std::uint16_t kMarkerReprovisioned = 1;

bool equals(base::ByteView bytes, std::string_view text) {
  return std::ranges::equal(bytes, base::bytes_of(text));
}

tl::unexpected<base::Error> corrupt(std::string message) {
  return base::fail(base::ErrorCode::kCorrupt, std::move(message));
}

std::optional<KeySlot> decode_slot(const KeySlotLayout& raw) {
  if (base::is_all_zero(raw.wrapped_key)) {
    return std::nullopt;
  }
  return KeySlot{raw.nonce, raw.tag, raw.wrapped_key};
}

}  // namespace

bool has_header_signature(HeaderBytes raw) { return equals(raw.first(8), kSignature); }

bool has_gpt_signature(std::span<const std::byte, 8> at_512) {
  return equals(at_512, kGptSignature);
}

std::uint32_t header_checksum(HeaderBytes raw) {
  auto copy = base::load<HeaderLayout>(raw);
  copy.checksum = 0;
  boost::crc_32_type crc;  // CRC-32/ISO-HDLC, the one of zlib and PNG
  crc.process_bytes(&copy, sizeof copy);
  return crc.checksum();
}

base::Result<Header> decode_header(HeaderBytes bytes) {
  const auto raw = base::load<HeaderLayout>(bytes);
  if (!has_header_signature(bytes)) {
    return corrupt("no header signature");
  }
  if (raw.version.value() == kVersion2) {
    return corrupt("version 2 header: that format is not supported");
  }
  if (raw.version.value() != kVersion3) {
    return corrupt("unknown header version " + std::to_string(raw.version.value()));
  }
  if (raw.header_bytes.value() != kHeaderBytes) {
    return corrupt("header size is " + std::to_string(raw.header_bytes.value()) + ", not 168");
  }
  if (raw.checksum.value() != header_checksum(bytes)) {
    return corrupt("header checksum does not match");
  }
  if (raw.file_table_block.value() < kFirstUsableBlock) {
    return corrupt("file table block " + std::to_string(raw.file_table_block.value()) +
                   " lies in the header area");
  }
  if (raw.file_table_blocks.value() != 1) {
    return corrupt("file table length is not one block");
  }
  if (raw.encryption_algorithm.value() > kAlgorithmAesGcm) {
    return corrupt("unknown encryption algorithm " +
                   std::to_string(raw.encryption_algorithm.value()));
  }

  Header header;
  header.sequence = raw.sequence.value();
  header.file_table_block = raw.file_table_block.value();
  header.encrypted = raw.encryption_algorithm.value() == kAlgorithmAesGcm;
  header.reprovisioned = (raw.markers.value() & kMarkerReprovisioned) != 0;
  header.unknown_markers = static_cast<std::uint16_t>(raw.markers.value() & ~kMarkerReprovisioned);
  header.reserved_nonzero = raw.reserved.value() != 0 || raw.key_slots[0].reserved.value() != 0 ||
                            raw.key_slots[1].reserved.value() != 0;
  header.key_slots = {decode_slot(raw.key_slots[0]), decode_slot(raw.key_slots[1])};
  return header;
}

HeaderLayout encode_header(const Header& header) {
  HeaderLayout raw{};
  std::ranges::copy(base::bytes_of(kSignature), raw.signature.begin());
  raw.version = kVersion3;
  raw.sequence = header.sequence;
  raw.header_bytes = kHeaderBytes;
  raw.file_table_block = header.file_table_block;
  raw.file_table_blocks = 1;
  raw.encryption_algorithm = header.encrypted ? kAlgorithmAesGcm : kAlgorithmNone;
  raw.markers = static_cast<std::uint16_t>(header.unknown_markers |
                                           (header.reprovisioned ? kMarkerReprovisioned : 0));
  for (std::size_t i = 0; i < raw.key_slots.size(); ++i) {
    if (const auto& slot = header.key_slots[i]) {
      raw.key_slots[i].nonce = slot->nonce;
      raw.key_slots[i].tag = slot->tag;
      raw.key_slots[i].wrapped_key = slot->wrapped_key;
    }
  }
  raw.checksum = header_checksum(base::view(raw));
  return raw;
}

}  // namespace vmgs::format
