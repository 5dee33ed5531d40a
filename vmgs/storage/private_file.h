// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::storage {

// Who besides its owner may read a private file.
enum class OtherReaders {
  kNone,   // no bit for group or others
  kGroup,  // bits for the group, which is how an access list shows; none for others
};

// read_private_file() reads a small file that holds a secret, whole. kNotFound if there is none,
// kDenied if it is not a regular file, belongs to neither this user nor root, or others may read or
// write it (the message says how to mend that), kInvalidArgument if it has more than `most_bytes`.
base::Result<base::SecretBytes> read_private_file(const std::filesystem::path& path,
                                                  OtherReaders others, std::size_t most_bytes);

// create_private_file() makes a file of mode 0600 that nobody ever sees half written: whole and
// synced under another name, then renamed, then the folder synced. kDenied if `path` exists, which
// is never overwritten; errors of system_error() otherwise, with nothing left behind.
base::Result<void> create_private_file(const std::filesystem::path& path, base::ByteView content);

}  // namespace vmgs::storage
