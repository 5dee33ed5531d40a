// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "transport/tpm_socket/control_handler.h"
#include "transport/tpm_socket/control_request.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

// Result codes of the control channel: TPM 1.2 numbers.
enum class ControlResult : std::uint32_t {
  kSuccess = 0,
  kBadParameter = 3,
  kFail = 9,
  kBadOrdinal = 10,  // no such request, or not while the TPM is on, or off
  kKeyNotFound = 13,
  kSize = 23,
  kIoError = 31,
  kDecryptError = 33,
  kBadKeyProperty = 40,
  kBadLocality = 61,
  kTpmFailure = 0x101,  // TPM_RC_FAILURE: the TPM does not start from the state it has
  kRetry = 0x800,       // there is no such state
};

// result_of() is how a failure looks on the wire.
ControlResult result_of(const base::Error& error);

// The largest state blob that SET_STATEBLOB may bring.
inline constexpr std::uint32_t kMaxStateBlobBytes = 512 * 1024;

// The largest piece of text in one answer to GET_INFO; clients have a buffer of this size.
inline constexpr std::uint32_t kMaxInfoPieceBytes = 3072;

// What a client may ask for: bits 0 to 16.
inline constexpr std::uint32_t kAllCapabilities = 0x0001FFFF;
inline constexpr std::uint32_t kStateBlobCapabilities = 0x00000300;

// Answers, byte for byte. Most failures are the result alone, since clients read no further. Two
// answers always have their full length, as clients read that much before they look at the result:
// GET_TPMESTABLISHED and GET_STATEBLOB.
base::Bytes plain_answer(ControlResult result);
base::Bytes capability_answer(std::uint32_t bits);
base::Bytes established_answer(const base::Result<bool>& bit);
base::Bytes config_answer(const KeysInUse& keys);
base::Bytes buffer_size_answer(const BufferSizes& sizes);

// info_answer() gives the piece of `text`, with its terminating zero, that begins at `offset`.
// kBadParameter past the end.
base::Bytes info_answer(std::string_view text, std::uint32_t offset);

// state_blob_answer() gives the blob from `offset` to its end: both lengths in the header are that
// of what follows, since QEMU insists that they are equal.
base::SecretBytes state_blob_answer(const OutgoingStateBlob& blob, std::uint32_t offset);
base::Bytes no_state_blob_answer(ControlResult result);

}  // namespace transport::tpm_socket
