// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "vmgs/base/result.h"
#include "vmgs/volume/datastore_key.h"

namespace vtpm::sealing {

using vmgs::volume::DatastoreKey;

// Who else may read a key file.
enum class KeyFileKind {
  kFile,        // nobody: any bit for group or others is refused
  kCredential,  // of systemd, which lets the service in by an access list that shows as group bits
};

// read_host_key() reads a root key that the host keeps: 32 raw bytes, or 64 hexadecimal digits with
// an optional line end. kNotFound if there is no such file, kDenied if others may read it or it is
// not a regular file, kInvalidArgument if it holds anything else or 32 zero bytes.
base::Result<DatastoreKey> read_host_key(const std::filesystem::path& file,
                                         KeyFileKind kind = KeyFileKind::kFile);

// make_host_key() draws a key and writes it raw to a new file with mode 0600; file and folder are
// synced when it returns. kDenied if the file exists: a key is never overwritten.
base::Result<DatastoreKey> make_host_key(const std::filesystem::path& file);

}  // namespace vtpm::sealing
