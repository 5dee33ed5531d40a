// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/vm_id.h"

namespace vmgs::format {

// What stands in front of a libtpms blob in TPM_NVRAM (3) and TPM_VOLATILE (50), byte for byte. The
// format of the container does not say whose TPM a file holds; this does.
struct TpmStateLayout {
  std::array<std::byte, 4> magic;
  base::U16Le version;
  std::uint8_t kind;
  std::uint8_t seed_protection;  // zero in version 1, and not zero since version 2
  base::U32Le libtpms_version;   // major << 16 | minor << 8 | micro
  std::array<std::byte, 16> vm_id;
  base::U64Le length;                // of the blob that follows
  std::array<std::byte, 32> digest;  // SHA-256 of all before this field, and of the blob
};

static_assert(sizeof(TpmStateLayout) == 68);
static_assert(offsetof(TpmStateLayout, version) == 4);
static_assert(offsetof(TpmStateLayout, kind) == 6);
static_assert(offsetof(TpmStateLayout, libtpms_version) == 8);
static_assert(offsetof(TpmStateLayout, vm_id) == 12);
static_assert(offsetof(TpmStateLayout, length) == 28);
static_assert(offsetof(TpmStateLayout, digest) == 36);

// Which state of a TPM the blob is.
enum class TpmStateKind : std::uint8_t {
  kPermanent = 1,
  kVolatile = 2,
};

// The strongest protection at rest that the seeds in a state have lived under, in the order of
// strength: whoever could read a later, weaker one knows seeds that certificates have vouched for.
enum class SeedProtection : std::uint8_t {
  kUnknown = 0,  // the state is older than this note
  kNone = 1,     // plaintext
  kHost = 2,     // a key of the host
  kTee = 3,      // a key that only the TEE has, or that is released to it alone
};

// A TPM state of ours. `blob` is what libtpms wrote; when decoded, a view of the input.
struct TpmState {
  TpmStateKind kind = TpmStateKind::kPermanent;
  std::uint32_t libtpms_version = 0;
  VmId vm_id;
  base::ByteView blob;
  SeedProtection seed_protection = SeedProtection::kUnknown;

  // Another program made or kept this TPM before us, so others may have its seeds. Version 3 of the
  // envelope says so, and nothing else.
  bool imported = false;
};

// encode_tpm_state() gives the whole file. The blob holds seeds, so the result is a secret.
base::SecretBytes encode_tpm_state(const TpmState& state);

// decode_tpm_state() accepts exactly what encode_tpm_state() gives. Otherwise kCorrupt for bytes
// that are damaged or nothing that we know, kDenied for a state in somebody else's form or from a
// later version of ours; the message names what the bytes are.
base::Result<TpmState> decode_tpm_state(base::ByteView bytes);

// What bytes that should be a TPM state look like.
enum class TpmStateForm {
  kOurs,               // our envelope, whole or not
  kLibtpmsPermanent,   // a bare permanent blob of libtpms
  kLibtpmsVolatile,    // a bare volatile blob of libtpms
  kSwtpm,              // a file or migration blob of swtpm
  kSwtpmEncrypted,     // the same under a key of swtpm's
  kReferenceImage,     // the NV image of OpenHCL or another user of ms-tpm-20-ref
  kReferenceImageCut,  // the same, with its last records cut off by an old defect of its makers
  kEmpty,
  kAllZero,
  kUnknown,
};

// recognise_tpm_state() looks for the marks of each form. It proves nothing about the content.
TpmStateForm recognise_tpm_state(base::ByteView bytes);

// describe() completes "this is ...": "a bare permanent state of libtpms, without an envelope".
std::string_view describe(TpmStateForm form);

}  // namespace vmgs::format
