// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "vmgs/base/bytes.h"

namespace vmgs::inspect {

// What a file is that somebody takes for a store.
enum class FileKind {
  kEmpty,
  kZeros,     // as far as was looked: nothing, or a store that was never formatted
  kStore,     // a header's signature where one would be
  kVersion1,  // GPT partitioned, the format before this one
  kVhdx,
  kDynamicVhd,
  kQcow2,
  kVmdk,
  kDiskImage,  // with a boot sector
  kZip,
  kCompressed,  // gzip, xz, zstd, bzip2
  kElf,
  kPem,
  kUndo,         // what a change of ours kept
  kTpmOfOurs,    // a TPM state in our envelope, out of its store
  kSwtpm,        // swtpm's state
  kSwtpmLocked,  // the same under a key of swtpm's
  kLibtpms,      // libtpms' state, bare
  kOpenHclTpm,   // an NV image of ms-tpm-20-ref
  kUefiFlash,    // a firmware volume: OVMF's variables or code
  kText,
  kUnknown,
};

// How much of a file recognise_file() wants to see: all of it, or its beginning.
inline constexpr std::size_t kMostRecognisedBytes = 1024 * 1024;

// recognise_file() looks at the beginning of a file, or at all of it if it is no longer than
// kMostRecognisedBytes. It proves nothing.
FileKind recognise_file(base::ByteView content);

// name() is a stable lower-case word, for JSON; describe() completes "this is".
std::string_view name(FileKind kind);
std::string_view describe(FileKind kind);

// advise() is what to do with such a file instead, in sentences that name the commands. Empty for
// kStore and kUnknown.
std::string_view advise(FileKind kind);

}  // namespace vmgs::inspect
