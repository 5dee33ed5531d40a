// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/swtpm_key.h"

namespace vmgs::format {

// What swtpm puts in front of a TPM state, in its files and in the blobs of a migration, byte for
// byte. Sized records (TLVs) follow.
struct SwtpmHeaderLayout {
  std::uint8_t version;
  std::uint8_t min_version;
  base::U16Be header_bytes;
  base::U16Be flags;
  base::U32Be total_bytes;  // with this header
};

static_assert(sizeof(SwtpmHeaderLayout) == 10);
static_assert(offsetof(SwtpmHeaderLayout, header_bytes) == 2);
static_assert(offsetof(SwtpmHeaderLayout, flags) == 4);
static_assert(offsetof(SwtpmHeaderLayout, total_bytes) == 6);

struct SwtpmRecordLayout {
  base::U16Be tag;
  base::U32Be length;  // of the data that follows
};

static_assert(sizeof(SwtpmRecordLayout) == 6);
static_assert(offsetof(SwtpmRecordLayout, length) == 2);

enum class SwtpmUse {
  kFile,       // as it lies in swtpm's state folder
  kMigration,  // as it travels over the control channel
};

// A TPM state in swtpm's wrapping. `state` is what libtpms wrote, and a view of the input.
struct SwtpmBlob {
  SwtpmUse use;
  base::ByteView state;
};

// decode_swtpm_blob() takes the wrapping off what is not encrypted. kCorrupt if the bytes do not
// follow the format; kDenied for what is encrypted under a key of swtpm's, or of a version that we
// do not know.
base::Result<SwtpmBlob> decode_swtpm_blob(base::ByteView bytes);

// encode_swtpm_blob() puts it on. The state holds seeds, so the result is a secret.
base::SecretBytes encode_swtpm_blob(SwtpmUse use, base::ByteView state);

// The keys that somebody has who uses swtpm's: for state at rest, and for state that travels. Null
// where there is none. They outlive the call.
struct SwtpmKeys {
  const SwtpmKey* file = nullptr;
  const SwtpmKey* migration = nullptr;
};

// A TPM state that was in swtpm's wrapping, and what protected it there.
struct OpenedSwtpmBlob {
  SwtpmUse use;
  bool under_file_key;
  bool under_migration_key;
  base::SecretBytes state;
};

// Whether state for travel is under the file key as well as under the migration key.
enum class SwtpmTravel { kFileKeyTakenOff, kUnderFileKey };

// open_swtpm_blob() takes the wrapping off and decrypts: what is not encrypted, too, whatever keys
// there are. kNotFound where a key is needed that is not given; kInvalidArgument where the key has
// another size than the one that encrypted; kAuthentication if the MAC does not hold, so that the
// key is another or the bytes are not what was written; kCorrupt and kDenied as
// decode_swtpm_blob(), and kCorrupt for padding that is none. `is_under_file_key` is for blobs
// whose sender says so beside them.
base::Result<OpenedSwtpmBlob> open_swtpm_blob(base::ByteView bytes, const SwtpmKeys& keys,
                                              bool is_under_file_key = false);

// seal_swtpm_file() and seal_swtpm_travel() put it on: under the keys that are given, with fresh
// IVs; where none is, as encode_swtpm_blob(). kUnavailable without random bytes.
base::Result<base::SecretBytes> seal_swtpm_file(base::ByteView state, const SwtpmKeys& keys);
base::Result<base::SecretBytes> seal_swtpm_travel(base::ByteView state, const SwtpmKeys& keys,
                                                  SwtpmTravel travel);

}  // namespace vmgs::format
