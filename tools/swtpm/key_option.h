// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "vmgs/base/result.h"
#include "vmgs/format/swtpm_key.h"
#include "vmgs/volume/datastore_key.h"

namespace tools::swtpm {

// read_key_option() reads the key that --key or --migration-key names: from a file or a descriptor,
// as digits, bytes or a passphrase. The descriptor is closed, and the file removed if the option
// says so. kInvalidArgument for a wrong option or no key; kNotFound, kIo.
base::Result<::vmgs::format::SwtpmKey> read_key_option(std::string_view option,
                                                       std::string_view value);

// store_key_of() is the root key of a store whose host keeps only a key of swtpm's.
base::Result<::vmgs::volume::DatastoreKey> store_key_of(const ::vmgs::format::SwtpmKey& key);

}  // namespace tools::swtpm
