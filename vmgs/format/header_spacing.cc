// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/header_spacing.h"

#include <string>

namespace vmgs::format {

base::Result<HeaderSpacing> header_spacing_of(std::uint64_t sector_bytes) {
  if (sector_bytes == bytes(HeaderSpacing::k512)) {
    return HeaderSpacing::k512;
  }
  if (sector_bytes == bytes(HeaderSpacing::k4096)) {
    return HeaderSpacing::k4096;
  }
  return base::fail(base::ErrorCode::kDenied, "a sector size of " + std::to_string(sector_bytes) +
                                                  " bytes: the format knows 512 and 4096 only");
}

HeaderBytes header_at(HeaderArea area, HeaderSpacing spacing, std::size_t slot) {
  return slot == 0 ? area.first<kHeaderBytes>()
                   : HeaderBytes(area.subspan(bytes(spacing), kHeaderBytes));
}

SpacingEvidence spacing_evidence(HeaderArea area) {
  const auto at_512 = header_at(area, HeaderSpacing::k512, 1);
  const auto at_4096 = header_at(area, HeaderSpacing::k4096, 1);
  const bool valid_at_512 = decode_header(at_512).has_value();
  const bool valid_at_4096 = decode_header(at_4096).has_value();
  if (valid_at_512 && valid_at_4096) {
    return SpacingEvidence::kBoth;
  }
  if (valid_at_512) {
    return SpacingEvidence::k512;
  }
  if (valid_at_4096) {
    return SpacingEvidence::k4096;
  }
  if (has_header_signature(at_512)) {
    return SpacingEvidence::k512;
  }
  return has_header_signature(at_4096) ? SpacingEvidence::k4096 : SpacingEvidence::kNone;
}

base::Result<HeaderSpacing> detect_header_spacing(HeaderArea area) {
  switch (spacing_evidence(area)) {
    case SpacingEvidence::kBoth:
      return base::fail(base::ErrorCode::kDenied,
                        "valid headers lie at byte 512 and at byte 4096, so the header spacing "
                        "cannot be told: say which sector size the store was formatted with");
    case SpacingEvidence::k4096:
      return HeaderSpacing::k4096;
    case SpacingEvidence::k512:
    case SpacingEvidence::kNone:
      break;
  }
  return HeaderSpacing::k512;
}

}  // namespace vmgs::format
