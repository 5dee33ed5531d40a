// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

// The small files that a migration leaves beside its ticket: on the disk when a function has
// returned, and whole. Errors name the file, and what could not be done with it.
namespace vtpm::handover {

// failed() is errno said of a file: kNotFound where it is not there, else kIo.
tl::unexpected<base::Error> failed(const std::filesystem::path& path, const char* what);

// write_from() has `bytes` be all that is in the open file from `offset` on. kIo.
base::Result<void> write_from(int file, const std::filesystem::path& path, std::size_t offset,
                              base::ByteView bytes);

// sync_folder_of() makes durable which files are in the folder of `path`. kIo.
base::Result<void> sync_folder_of(const std::filesystem::path& path);

// publish() makes or replaces a file, which is there as a whole or not at all. kIo.
base::Result<void> publish(const std::filesystem::path& path, mode_t mode, base::ByteView bytes);

// read_all() and read_file() give what is in a file, one byte more than `most` if there is more
// than that. Secrets, too: what was read does not stay. kNotFound, kIo.
base::Result<base::SecretBytes> read_all(int file, const std::filesystem::path& path,
                                         std::size_t most);
base::Result<base::SecretBytes> read_file(const std::filesystem::path& path, std::size_t most);

// remove_file() warns if it cannot.
void remove_file(const std::filesystem::path& path);

}  // namespace vtpm::handover
