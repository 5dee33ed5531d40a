// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/file_id.h"

namespace vmgs::volume {

// DatastoreKey is the root key of an encrypted store: it opens a metadata key slot of the header.
// It comes from outside and is never all zero.
struct DatastoreKey {
  base::Secret<32> bytes;

  [[nodiscard]] DatastoreKey clone() const { return {base::Secret<32>::copy_of(bytes.expose())}; }
};

// The longest file that parse_datastore_key() takes: digits and a line end.
inline constexpr std::size_t kMostKeyFileBytes = 66;

// parse_datastore_key() reads a key in the two forms in which people keep one in a file: 32 raw
// bytes, or 64 hexadecimal digits with an optional line end. kInvalidArgument for anything else and
// for 32 zero bytes; the message repeats nothing of the content.
base::Result<DatastoreKey> parse_datastore_key(base::ByteView content);

// ProtectorReader gives a plaintext file of one generation, before any key is known. Whoever owns
// the storage wrote those bytes. kNotFound if that generation has no such file.
using ProtectorReader = std::function<base::Result<base::Bytes>(format::FileId)>;

// KeySource finds the datastore key of one generation from its protectors. It is asked once for the
// newest generation and, if need be, once for the one before, since a rotation may lie between
// them. Its error is what the caller of unlock() sees when no key was found.
using KeySource = std::function<base::Result<DatastoreKey>(const ProtectorReader&)>;

// fixed_key() is the source of one key that is known already.
inline KeySource fixed_key(DatastoreKey key) {
  // std::function wants a copyable target; the key itself is never copied but on request.
  return [held = std::make_shared<DatastoreKey>(std::move(key))](const ProtectorReader&) {
    return base::Result<DatastoreKey>(held->clone());
  };
}

}  // namespace vmgs::volume
