// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/libtpms_part.h"

namespace vmgs::format::libtpms {

base::Result<std::uint16_t> begin(base::Reader& in, Part part) {
  TRY_ASSIGN(version, in.u16_be());
  TRY_ASSIGN(found, in.u32_be());
  if (found != static_cast<std::uint32_t>(part) || version < 2) {
    return corrupt("libtpms' state",
                   "a part is not what it should be, at byte " + std::to_string(in.offset()));
  }
  TRY(in.u16_be());  // the oldest reader that understands it
  return version;
}

base::Result<base::ByteView> sized(base::Reader& in) {
  TRY_ASSIGN(size, in.u16_be());
  return in.bytes(size);
}

base::Result<std::optional<base::ByteView>> block(base::Reader& in) {
  TRY_ASSIGN(is_there, in.u8());
  TRY_ASSIGN(content, sized(in));
  return is_there != 0 ? std::optional(content) : std::nullopt;
}

}  // namespace vmgs::format::libtpms
