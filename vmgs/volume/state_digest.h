// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmgs/base/result.h"
#include "vmgs/format/extended_table.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/volume/volume.h"

namespace vmgs::volume {

using StateDigest = std::array<std::byte, 32>;

// state_digest() names the whole state of an encrypted store of VM `vm_id` at commit sequence S,
// D(S): SHA-256 of
//   "vtpm-anchor-1", the vm_id in network byte order, S (u64), then
//   for each file id 1..62 but the protectors (6, 11, 48), in order:
//     size in bytes (u64; all ones if the file is not there), nonce 12, tag 16, attributes (u32) of
//     the file table (zero if the file is not there), key 32 and reserved 28 of the extended table,
// numbers little-endian. Two states with one digest have the same files with the same content: the
// digest covers the key beside the tag, since GCM alone does not commit to a key, and the digests
// that stand for plaintext files. Where files lie and under what key the store opens is left out,
// so that packing it or changing its key leaves the digest alone.
StateDigest state_digest(const format::VmId& vm_id, std::uint64_t sequence,
                         const format::FileTable& table, const format::ExtendedTable& extended);

// The same of what is open. kDenied for a store that is locked, not encrypted, or edited, which has
// no sequence.
base::Result<StateDigest> state_digest(const format::VmId& vm_id, const Volume& volume);

}  // namespace vmgs::volume
