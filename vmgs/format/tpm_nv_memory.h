// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vmgs::format {

// TPMA_NV (TPM 2.0 Part 2, 13.4): the content has been written; it is in RAM until a Shutdown, and
// so is whether it was written.
inline constexpr std::uint32_t kTpmNvWritten = 1U << 29;
inline constexpr std::uint32_t kTpmNvOrderly = 1U << 26;

// TpmNvIndex is one NV index of a TPM at rest. `content` is a view of the state, and what it says
// is worth something only if the index is written and not orderly.
struct TpmNvIndex {
  std::uint32_t index = 0;
  std::uint32_t attributes = 0;
  base::ByteView content;
};

// decode_tpm_nv_indices() reads the NV indices out of the permanent state that libtpms writes
// (`blob` of TpmState), of version 2 of its parts, as libtpms 0.8 and later write them. It looks at
// the last part only, the user's NV memory, and finds its beginning by trying: the parts before it
// have another shape in each version, and this one ends where the state ends. A guest can write
// bytes into an earlier part that look like a beginning and swallow all that follows: then it has
// lied about its own indices, and about nothing else. kCorrupt where there is no such part.
base::Result<std::vector<TpmNvIndex>> decode_tpm_nv_indices(base::ByteView permanent_state);

}  // namespace vmgs::format
