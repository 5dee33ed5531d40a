// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/storage/resizable.h"
#include "vmgs/volume/datastore_key.h"

namespace vmgs::edit {

// check_capacity() is kInvalidArgument for what is no size of a store: not whole blocks, or outside
// the limits of the format.
base::Result<void> check_capacity(std::uint64_t store_bytes);

// vacate() moves whatever lies beyond the first `store_bytes` of a store to where it stays when the
// rest is cut off, in both generations, and gives the files that it moved. Content, keys, commit
// sequence and the digest of the state stay. Nothing is written if nothing has to move. Durable on
// return; a crash leaves a whole store of the old size.
//
// `key` is needed where the store is encrypted and anything has to move: kDenied without it, and
// where the files have no room in `store_bytes`; errors of Volume::open(), unlock() and commit().
base::Result<std::vector<format::FileId>> vacate(storage::BlockDevice& device,
                                                 format::HeaderSpacing spacing,
                                                 const volume::DatastoreKey* key,
                                                 std::uint64_t store_bytes);

// move_end() makes the file that holds a store as long as a store of `store_bytes` asks for, and
// moves the footer of a fixed VHD with it. Of a store that shrinks, vacate() has moved everything
// away from behind the new end before. Durable on return; after a crash the file opens as a store
// of the old size or the new one, or, while it grows, as one of the new length without a footer,
// with the same content. Errors of decode_vhd_footer() and resize_vhd_footer(); kIo.
base::Result<void> move_end(storage::ResizableDevice& whole, bool is_fixed_vhd,
                            std::uint64_t store_bytes);

}  // namespace vmgs::edit
