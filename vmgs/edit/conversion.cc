// SPDX-License-Identifier: Apache-2.0
#include "vmgs/edit/conversion.h"

#include <algorithm>
#include <array>
#include <string>

#include "vmgs/format/header_spacing.h"

namespace vmgs::edit {

base::Result<void> copy_store(storage::BlockDevice& from, format::HeaderSpacing from_spacing,
                              storage::BlockDevice& to, format::HeaderSpacing to_spacing) {
  const auto end = format::capacity_blocks(from.size_bytes()) * format::kBlockBytes;
  if (end < format::kHeaderAreaBytes || to.size_bytes() < end) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the new store has " + std::to_string(to.size_bytes()) +
                          " bytes, too few for one of " + std::to_string(end));
  }
  constexpr std::uint64_t kPieceBytes = std::uint64_t{64} * format::kBlockBytes;
  base::Bytes piece;
  for (std::uint64_t at = format::kHeaderAreaBytes; at < end; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min(kPieceBytes, end - at)));
    TRY(from.read(at, piece));
    TRY(to.write(at, piece));
  }
  TRY(to.flush());

  std::array<std::byte, format::kHeaderAreaBytes> area{};
  TRY(from.read(0, area));
  base::Bytes headers(format::kHeaderAreaBytes);
  for (const std::size_t slot : {0U, 1U}) {
    const auto header = format::header_at(format::HeaderArea(area), from_spacing, slot);
    std::ranges::copy(
        header, headers.begin() + static_cast<std::ptrdiff_t>(slot * format::bytes(to_spacing)));
  }
  TRY(to.write(0, headers));
  return to.flush();
}

}  // namespace vmgs::edit
