// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/header.h"

namespace vmgs::format {

// bytes() is the spacing as a number.
constexpr std::uint32_t bytes(HeaderSpacing spacing) { return static_cast<std::uint32_t>(spacing); }

// header_spacing_of() is the spacing for a sector size. kDenied for anything but 512 and 4096.
base::Result<HeaderSpacing> header_spacing_of(std::uint64_t sector_bytes);

// The first two blocks of a store, where both headers lie whatever the spacing is.
inline constexpr std::size_t kHeaderAreaBytes = std::size_t{kFirstUsableBlock} * kBlockBytes;
using HeaderArea = std::span<const std::byte, kHeaderAreaBytes>;

// header_at() is the 168 bytes of slot 0 or 1.
HeaderBytes header_at(HeaderArea area, HeaderSpacing spacing, std::size_t slot);

// What the header area tells about the spacing.
enum class SpacingEvidence { kNone, k512, k4096, kBoth };

// spacing_evidence() looks for slot 1: a valid header at 512 or at 4096 decides; if neither place
// has one, the first of them that begins with the header signature does. A fresh store has a blank
// slot 1 and gives no evidence.
SpacingEvidence spacing_evidence(HeaderArea area);

// detect_header_spacing() is the rule for plain files, of which a 4096-spaced one can only be the
// image of a 4Kn disk: no evidence means 512. kDenied where two valid headers claim to be slot 1,
// since each choice would be a silent fork of the other.
base::Result<HeaderSpacing> detect_header_spacing(HeaderArea area);

}  // namespace vmgs::format
