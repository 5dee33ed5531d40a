// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/volume/datastore_key.h"

namespace tools::cli {

// hold_standard_streams() fills the places of stdin, stdout and stderr that came closed, so that no
// file opened later gets one of their numbers and has a message written over it. Reads and writes
// of a stream that was closed go on failing. The first call of a program's main(). kIo if it
// cannot.
base::Result<void> hold_standard_streams();

// read_input() reads all of a file, or of stdin for "-". Guest state may be secret, so what was
// read is. kInvalidArgument if there are more than `most_bytes`; errors of system_error()
// otherwise.
base::Result<base::SecretBytes> read_input(const std::string& from, std::size_t most_bytes);

// read_key() reads a datastore key as parse_datastore_key() takes it: from a file that is closed to
// others (read_private_file()), from stdin for "-", or from an open descriptor N for "fd:N".
base::Result<::vmgs::volume::DatastoreKey> read_key(const std::string& from);

// write_file() puts a file of the caller's bytes in its place, with the folders above it: whoever
// reads it meanwhile sees the old one or the new one, and so does who reads it after a crash; the
// new one once this has returned. What is private is for its owner alone, whatever the umask, and
// not for keys, which create_private_file() never overwrites. Errors of system_error(), and kIo.
enum class Privacy { kAsUmaskHasIt, kPrivate };

base::Result<void> write_file(const std::filesystem::path& file, base::ByteView bytes,
                              Privacy privacy = Privacy::kAsUmaskHasIt);

}  // namespace tools::cli
