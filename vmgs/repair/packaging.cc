// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/packaging.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "vmgs/crypto/random.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/vhd_footer.h"
#include "vmgs/repair/candidates.h"
#include "vmgs/repair/mend.h"

namespace vmgs::repair {

namespace {

using format::kVhdFooterBytes;
using Sector = std::array<std::byte, kVhdFooterBytes>;

// What the deployed tools open at most; a table that asks for more was not cut, but is wrong.
constexpr std::uint64_t kMostStoreToRestore = std::uint64_t{4} << 30;
// A store that was cut lacks no more than this, or than 15 times what is left of it: an entry that
// leads farther is taken for a damaged one, and gigabytes are not filled for it.
constexpr std::uint64_t kMostLackingBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMostTimesLonger = 16;
// How far from the end a footer is looked for.
constexpr std::uint64_t kMostAppendedBytes = std::uint64_t{64} << 20;

base::Result<Sector> read_sector(storage::BlockDevice& whole, std::uint64_t offset) {
  Sector sector{};
  TRY(whole.read(offset, sector));
  return sector;
}

// Where a whole footer stands with more behind it: 0 if nowhere.
base::Result<std::uint64_t> earlier_footer(storage::BlockDevice& whole) {
  const auto size = whole.size_bytes();
  const auto lowest = size > kMostAppendedBytes ? size - kMostAppendedBytes : 0;
  for (auto at = (size - 1) / kVhdFooterBytes * kVhdFooterBytes;
       at >= std::max<std::uint64_t>(lowest, format::kHeaderAreaBytes); at -= kVhdFooterBytes) {
    if (at + kVhdFooterBytes >= size) {
      continue;
    }
    TRY_ASSIGN(sector, read_sector(whole, at));
    const auto footer = format::decode_vhd_footer(sector, at + kVhdFooterBytes);
    if (footer && footer->disk_bytes() == at) {
      return at;
    }
  }
  return 0;
}

std::uint64_t most_bytes_before_a_cut(std::uint64_t size) {
  return std::min(kMostStoreToRestore, std::max(size + kMostLackingBytes, size * kMostTimesLonger));
}

// What the tables speak of.
struct Spoken {
  bool any_table = false;      // one at least could be read
  bool damaged_table = false;  // one at least could not, so that `at_most` may be too little
  // Where the last block ends, by the headers that count here and within a cut's reach.
  std::uint64_t bytes = 0;
  std::uint64_t at_most = 0;  // the same by every header that may lie anywhere
};

base::Result<Spoken> bytes_spoken_of(storage::BlockDevice& whole, format::HeaderSpacing spacing) {
  TRY_ASSIGN(area, read_area(whole));
  Spoken spoken;
  const auto raw_blocks = whole.size_bytes() / format::kBlockBytes;
  for (const std::size_t at : {std::size_t{0}, std::size_t{512}, std::size_t{4096}}) {
    const auto raw = std::span(area).subspan(at).first<format::kHeaderBytes>();
    const auto header = mended_header(raw);
    if (!header) {
      continue;
    }
    if (header->file_table_block >= raw_blocks) {
      spoken.damaged_table = true;
      continue;
    }
    format::Block block{};
    TRY(whole.read(std::uint64_t{header->file_table_block} * format::kBlockBytes, block));
    constexpr auto kMostBlocks = kMostStoreToRestore / format::kBlockBytes;
    // Entry by entry: where one is damaged, the files of the others still lie where they say.
    std::uint64_t most = 0;
    std::uint64_t most_in_reach = 0;
    for (std::size_t id = 0; id < format::kFileIds; ++id) {
      const auto entry =
          format::decode_file_entry(block, static_cast<format::FileId>(id), kMostBlocks);
      if (entry && *entry) {
        const auto end = std::uint64_t{(*entry)->end_block()} * format::kBlockBytes;
        most = std::max(most, end);
        most_in_reach = end <= most_bytes_before_a_cut(whole.size_bytes())
                            ? std::max(most_in_reach, end)
                            : most_in_reach;
      }
    }
    spoken.at_most = std::max(spoken.at_most, most);
    if (!format::decode_file_table(block, header->file_table_block, kMostBlocks)) {
      spoken.damaged_table = true;
      continue;
    }
    spoken.any_table = true;
    if (format::decode_header(raw) && (at == 0 || at == format::bytes(spacing))) {
      spoken.bytes = std::max(spoken.bytes, most_in_reach);
    }
  }
  return spoken;
}

base::Result<format::VhdFooter> footer_for(const Sector& damaged, std::uint64_t disk_bytes) {
  std::array<std::byte, 16> id{};
  TRY(crypto::random_bytes(id));
  TRY_ASSIGN(fresh, format::make_vhd_footer(disk_bytes, id));
  const auto old = base::load<format::VhdFooterLayout>(damaged);
  if (old.cookie == fresh.raw.cookie) {
    // Who made it and what it is called is kept.
    fresh.raw.unique_id = old.unique_id;
    fresh.raw.time_stamp = old.time_stamp;
    fresh.raw.creator_application = old.creator_application;
    fresh.raw.creator_version = old.creator_version;
    fresh.raw.creator_host = old.creator_host;
    fresh.raw.geometry = old.geometry;
    return format::resize_vhd_footer(fresh, disk_bytes);
  }
  return fresh;
}

bool lacks_footer(std::uint64_t size) { return size % format::kBlockBytes == kVhdFooterBytes; }

Mended write_footer(storage::Overlay& whole, const Sector& damaged, std::uint64_t disk_bytes,
                    std::string message) {
  TRY_ASSIGN(footer, footer_for(damaged, disk_bytes));
  if (whole.size_bytes() != disk_bytes + kVhdFooterBytes) {
    TRY(whole.resize(disk_bytes + kVhdFooterBytes));
  }
  TRY(whole.write(disk_bytes, base::view(footer.raw)));
  TRY(whole.flush());
  return std::optional(done("bad-container", "VHD footer", std::move(message)));
}

// Why nothing is written at, or cut behind, `end` without a word; nothing if it may be.
std::optional<Outcome> asks_first(const Spoken& spoken, std::uint64_t end, const Wishes& wishes) {
  if ((!spoken.any_table || spoken.damaged_table) && !wishes.accepted.contains("bad-container")) {
    return not_done(
        "bad-container", "container",
        std::string(spoken.any_table ? "a header leads to a file table that is damaged, so nothing "
                                       "says where all files end. If byte "
                                     : "no file table could be read that says how long the store "
                                       "is. If byte ") +
            std::to_string(end) + " is behind all its files, say --accept bad-container");
  }
  return std::nullopt;
}

// A file that is no whole number of sectors, or shorter than its tables say.
Mended mend_cut_file(storage::Overlay& whole, std::uint64_t spoken_of, const Wishes& wishes) {
  const auto size = whole.size_bytes();
  const auto whole_blocks = (size + format::kBlockBytes - 1) / format::kBlockBytes;
  const auto store_bytes = std::max(whole_blocks * format::kBlockBytes, spoken_of);
  if (spoken_of > size && !wishes.accepted.contains("truncated")) {
    return std::optional(
        not_done("truncated", "container",
                 "the file ends at byte " + std::to_string(size) + ", but its tables speak of " +
                     std::to_string(spoken_of) +
                     ": what lay behind is lost. Say --accept truncated to fill that with zeros, "
                     "so that the rest opens; then take the damaged files out with --drop. An "
                     "entry that leads behind byte " +
                     std::to_string(most_bytes_before_a_cut(size)) +
                     " is taken for a damaged one, and nothing is filled for it"));
  }
  auto outcome = write_footer(whole, {}, store_bytes,
                              "fill the file up to whole blocks and give it a VHD footer again");
  if (outcome && *outcome) {
    (*outcome)->anything_changes = spoken_of > size;
  }
  return outcome;
}

// What a person says of the sectors only counts where nothing else tells.
base::Result<format::HeaderSpacing> agreed(format::HeaderSpacing known, const Patient& patient) {
  if (patient.spacing.value_or(known) != known) {
    return base::fail(base::ErrorCode::kDenied, "its sectors have " +
                                                    std::to_string(format::bytes(known)) +
                                                    " bytes: leave --sector-size out, or say that");
  }
  return known;
}

}  // namespace

base::Result<Packaging> find_packaging(storage::BlockDevice& whole, const Patient& patient) {
  const auto size = whole.size_bytes();
  Packaging result;
  result.store_bytes = size;
  if (size < format::kHeaderAreaBytes) {
    return base::fail(
        base::ErrorCode::kCorrupt,
        "it is " + std::to_string(size) + " bytes long, too short for a guest state: was it cut?");
  }
  if (patient.is_block_device) {
    TRY_ASSIGN(spacing, format::header_spacing_of(patient.sector_bytes));
    TRY_ASSIGN(own, agreed(spacing, patient));
    result.spacing = own;
    return result;
  }
  if (size % format::kVhdSectorBytes != 0) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "it is " + std::to_string(size) +
                          " bytes long, no whole number of sectors: was it cut, or added to?");
  }
  TRY_ASSIGN(first, read_sector(whole, 0));
  TRY_ASSIGN(last, read_sector(whole, size - kVhdFooterBytes));
  if (format::has_vhdx_signature(std::span(first).first<8>())) {
    return base::fail(base::ErrorCode::kDenied, "this is a VHDX file, another format");
  }
  if (format::has_vhd_cookie(last)) {
    TRY_ASSIGN(footer, format::decode_vhd_footer(last, size));
    TRY_ASSIGN(spacing, agreed(format::HeaderSpacing::k512, patient));
    result.spacing = spacing;
    result.is_fixed_vhd = true;
    result.store_bytes = footer.disk_bytes();
    if (result.store_bytes < format::kHeaderAreaBytes) {
      return base::fail(base::ErrorCode::kCorrupt, "its VHD footer speaks of a disk of " +
                                                       std::to_string(result.store_bytes) +
                                                       " bytes, too short for a guest state");
    }
    if (size - kVhdFooterBytes != result.store_bytes) {
      result.findings.push_back({"vhd-slack", volume::Severity::kWarning, "VHD footer",
                                 "the disk ends " +
                                     std::to_string(size - kVhdFooterBytes - result.store_bytes) +
                                     " bytes before the footer: the file was resized by halves"});
    }
    return result;
  }
  if (format::has_vhd_cookie(first)) {
    return base::fail(base::ErrorCode::kDenied,
                      "this begins like a dynamic or differencing VHD, and only fixed ones hold a "
                      "guest state");
  }
  if (lacks_footer(size)) {
    result.findings.push_back(
        {"missing-footer", volume::Severity::kWarning, "VHD footer",
         "the file is as long as one with a VHD footer and has none: most deployed tools refuse "
         "it. `vmgs repair` gives it one"});
  }
  if (patient.spacing) {
    result.spacing = *patient.spacing;
    return result;
  }
  base::Bytes area(format::kHeaderAreaBytes);
  TRY(whole.read(0, area));
  TRY_ASSIGN(spacing, format::detect_header_spacing(format::HeaderArea(area)));
  result.spacing = spacing;
  return result;
}

Mended mend_packaging(storage::Overlay& whole, const Patient& patient, const Wishes& wishes) {
  const auto size = whole.size_bytes();
  if (patient.is_block_device || size < format::kHeaderAreaBytes) {
    return std::optional<Outcome>();
  }
  const auto packaging = find_packaging(whole, patient);
  if (!packaging && packaging.error().code == base::ErrorCode::kIo) {
    return base::fail(packaging.error());
  }
  if (packaging && packaging->is_fixed_vhd) {
    if (packaging->findings.empty()) {
      return std::optional<Outcome>();
    }
    // Sizes that disagree lose nothing if the disk is as long as the file has room for.
    TRY_ASSIGN(spoken, bytes_spoken_of(whole, packaging->spacing));
    if (auto asks = asks_first(spoken, size - kVhdFooterBytes, wishes)) {
      return asks;
    }
    if (spoken.at_most > size - kVhdFooterBytes) {
      return std::optional(not_done("vhd-slack", "VHD footer",
                                    "a file table speaks of blocks where the footer is, so it may "
                                    "be the content of a file. Copy the store into a new one"));
    }
    TRY_ASSIGN(last, read_sector(whole, size - kVhdFooterBytes));
    return write_footer(whole, last, size - kVhdFooterBytes,
                        "let the disk reach as far as the footer");
  }
  if (!packaging && packaging.error().code == base::ErrorCode::kDenied) {
    return std::optional(not_done("bad-container", "container", packaging.error().message));
  }
  TRY_ASSIGN(spoken,
             bytes_spoken_of(whole, packaging ? packaging->spacing : format::HeaderSpacing::k512));
  TRY_ASSIGN(footer_at, earlier_footer(whole));
  // What looks like a footer in front of blocks in use is the content of some file.
  if (footer_at != 0 && footer_at >= spoken.at_most) {
    if (auto asks = asks_first(spoken, footer_at, wishes)) {
      return asks;
    }
    TRY(whole.resize(footer_at + kVhdFooterBytes));
    TRY(whole.flush());
    return std::optional(done("bad-container", "container",
                              "cut off the " + std::to_string(size - footer_at - kVhdFooterBytes) +
                                  " bytes that were added behind the VHD footer"));
  }
  const bool is_whole_sectors = size % format::kVhdSectorBytes == 0;
  const bool footer_is_damaged =
      is_whole_sectors && (lacks_footer(size) || (!packaging && size % format::kBlockBytes == 0));
  if (!footer_is_damaged && packaging && spoken.bytes <= size) {
    return std::optional<Outcome>();
  }
  // The last sector is a footer only if no file lies there.
  const bool has_room = footer_is_damaged && spoken.at_most <= size - kVhdFooterBytes;
  if (auto asks = asks_first(spoken, has_room ? size - kVhdFooterBytes : size, wishes)) {
    return asks;
  }
  if (!has_room) {
    return mend_cut_file(whole, std::max(spoken.bytes, std::min(spoken.at_most, size)), wishes);
  }
  TRY_ASSIGN(last, read_sector(whole, size - kVhdFooterBytes));
  return write_footer(whole, last, size - kVhdFooterBytes, "write the VHD footer anew");
}

}  // namespace vmgs::repair
