// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/libtpms_object.h"

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
  std::uint16_t data_bytes = 0;  // its size, wherever the content is
  std::uint16_t name_algorithm = 0;
  bool has_policy = false;
  bool has_authorization = false;  // an authorization value that is not empty
};

// TpmPersistentObject is a key or sealed object behind a handle that outlives the power.
struct TpmPersistentObject {
  std::uint32_t handle = 0;
  TpmObject object;
};

// TpmNvMemory is the user's NV memory of a TPM at rest.
struct TpmNvMemory {
  std::uint64_t room_bytes = 0;  // what the writer had room for, in the form of its own memory
  std::uint64_t used_bytes = 0;  // of that
  std::vector<TpmNvIndex> indices;
  std::vector<TpmPersistentObject> objects;
  std::uint64_t largest_counter = 0;  // a new counter begins above it
};

// decode_tpm_nv_memory() reads the user's NV memory out of the permanent state that libtpms writes
// (`blob` of TpmState), of version 2 of its parts, as libtpms 0.8 and later write them. It looks at
// the last part only and finds its beginning by trying: the parts before it have another shape in
// each version, and this one ends where the state ends. A guest can write bytes into an earlier
// part that look like a beginning and swallow all that follows: then it has lied about its own
// indices, and about nothing else. kCorrupt where there is no such part.
base::Result<TpmNvMemory> decode_tpm_nv_memory(base::ByteView permanent_state);

// decode_tpm_nv_indices() is the indices of it.
base::Result<std::vector<TpmNvIndex>> decode_tpm_nv_indices(base::ByteView permanent_state);

}  // namespace vmgs::format
