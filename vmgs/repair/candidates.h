// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/header_spacing.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/generation.h"
#include "vmgs/volume/headers.h"

namespace vmgs::repair {

// mended_header() is the header that stood in 168 damaged bytes, if enough of it is left to know
// one by: its fixed fields and its checksum are made good, the rest is taken as it lies. Nothing of
// it is proven until its tables are looked at.
std::optional<format::Header> mended_header(format::HeaderBytes raw);

// had_sequence() tells whether the checksum in 168 damaged bytes is that of a header with this
// sequence. Then nothing but the fixed fields and the sequence is damaged, if anything.
bool had_sequence(format::HeaderBytes raw, std::uint32_t sequence);

// has_key_slots() tells whether a header's bytes may hold any wrapped key, however damaged the rest
// is. 168 times the same byte, as an erased sector has, hold none.
bool has_key_slots(format::HeaderBytes raw);

// opens_key_slot() tells whether the key opens one of them.
bool opens_key_slot(format::HeaderBytes raw, const volume::DatastoreKey& key);

// is_opened_by() tells whether one of them is what the generation was unlocked through.
bool is_opened_by(const volume::Generation& generation, format::HeaderBytes raw);

// commit_sequence() is the sealed commit counter of an unlocked generation; 0 if it is locked or
// no writer of ours made it.
std::uint64_t commit_sequence(const volume::Generation& generation);

// read_area() reads the header area. kIo.
base::Result<base::Bytes> read_area(storage::BlockDevice& device);

// tables_found() scans a store for blocks that are a file table: all 64 entries keep the format's
// rules, entry 0 names the block itself, and no two overlap. Most are of generations long past.
base::Result<std::vector<std::uint32_t>> tables_found(storage::BlockDevice& device);

// is_sound() tells whether a plaintext generation keeps every rule: its table decodes, nothing
// overlaps, nothing in it is encrypted.
bool is_sound(const volume::Generation& generation);

// is_whole() tells whether the unlocked generation is all there: tables, digests, every file.
bool is_whole(storage::BlockDevice& device, const volume::Generation& generation);

// generations_opened() tries every key slot that is left of any header, at either spacing, with
// every table that a header names or a scan finds, and returns the generations that the key opens,
// each with a header that could be written. With a header of its own in a slot a generation has
// that header's sequence, else 0. A file table alone proves nothing; here the sealed table does.
base::Result<std::vector<volume::Generation>> generations_opened(storage::BlockDevice& device,
                                                                 const volume::DatastoreKey& key);

}  // namespace vmgs::repair
