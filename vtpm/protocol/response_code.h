// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace vtpm::protocol {

// ResponseCode is TPM_RC (TPM 2.0 Part 2, 6.6). Any value may come out of a TPM; the ones that we
// act on or answer ourselves have names.
enum class ResponseCode : std::uint32_t {
  kSuccess = 0x000,
  kInitialize = 0x100,       // TPM_RC_INITIALIZE: Startup is missing, or came twice.
  kFailure = 0x101,          // TPM_RC_FAILURE: the TPM is in failure mode, or not powered.
  kCommandSize = 0x142,      // TPM_RC_COMMAND_SIZE: the size field is not the size of the command.
  kNvUninitialized = 0x14A,  // TPM_RC_NV_UNINITIALIZED: the index was never written.
  kLocality = 0x907,         // TPM_RC_LOCALITY: not from this locality.
  kCanceled = 0x909,         // TPM_RC_CANCELED: the command was stopped before it changed anything.
  kLockout = 0x921,          // TPM_RC_LOCKOUT: too many authorizations failed.
  kRetry = 0x922,            // TPM_RC_RETRY: send it again.
};

// describe() is "TPM_RC_FAILURE (0x101)", or "TPM_RC 0x184" for a code without a name.
std::string describe(ResponseCode code);

}  // namespace vtpm::protocol
