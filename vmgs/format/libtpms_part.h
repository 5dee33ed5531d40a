// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/cursor.h"
#include "vmgs/base/result.h"

// How libtpms writes a TPM's state: big-endian, in parts. A part begins with a version, a magic
// number and the oldest version of a reader that understands it, and ends with a block, which holds
// what later versions append. A block is a flag, a 16-bit size and as many bytes, so that a reader
// may pass over what it does not know. For the decoders of this room.
namespace vmgs::format::libtpms {

// What the parts are called in the bytes.
enum class Part : std::uint32_t {
  kPersistentAll = 0xAB364723,
  kVolatileState = 0x45637889,
  kCompileConstants = 0xC9EA6431,
  kPersistentData = 0x12213443,
  kOrderlyData = 0x56657887,
  kDrbgState = 0x6FE83EA1,
  kStateReset = 0x01102332,
  kStateClear = 0x98897667,
  kPcrSave = 0x7372EABC,
  kPcrAuthValues = 0x6BE82EAF,
  kPcr = 0xE95F0387,
  kOrderlyRam = 0x5346FEAB,
  kUserNvram = 0x094F22C3,
  kNvIndex = 0x2547265A,
  kAnyObject = 0xFE9A3974,
  kObject = 0x75BE73AF,
};

// begin() reads the beginning of a part and gives its version, 2 at least: version 1, which no
// release of libtpms wrote, has other blocks. kCorrupt for another part.
base::Result<std::uint16_t> begin(base::Reader& in, Part part);

// sized() is a view of what a 16-bit size in front announces (TPM2B).
base::Result<base::ByteView> sized(base::Reader& in);

// block() is what the next block holds, and nothing where the flag says that the writer had no use
// for it.
base::Result<std::optional<base::ByteView>> block(base::Reader& in);

// corrupt() is the error of these decoders, about one place.
[[nodiscard]] inline auto corrupt(const std::string& where, const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, where + ": " + why);
}

}  // namespace vmgs::format::libtpms
