// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

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

// decode_swtpm_blob() takes the wrapping off. kCorrupt if the bytes do not follow the format;
// kDenied for what is encrypted under a key of swtpm's, or of a version that we do not know.
base::Result<SwtpmBlob> decode_swtpm_blob(base::ByteView bytes);

// encode_swtpm_blob() puts it on. The state holds seeds, so the result is a secret.
base::SecretBytes encode_swtpm_blob(SwtpmUse use, base::ByteView state);

}  // namespace vmgs::format
