// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/response_code.h"

#include <cstdio>

namespace vtpm::protocol {

namespace {

const char* name(ResponseCode code) {
  switch (code) {
    case ResponseCode::kSuccess:
      return "TPM_RC_SUCCESS";
    case ResponseCode::kInitialize:
      return "TPM_RC_INITIALIZE";
    case ResponseCode::kFailure:
      return "TPM_RC_FAILURE";
    case ResponseCode::kCommandSize:
      return "TPM_RC_COMMAND_SIZE";
    case ResponseCode::kNvUninitialized:
      return "TPM_RC_NV_UNINITIALIZED";
    case ResponseCode::kLocality:
      return "TPM_RC_LOCALITY";
    case ResponseCode::kCanceled:
      return "TPM_RC_CANCELED";
    case ResponseCode::kLockout:
      return "TPM_RC_LOCKOUT";
    case ResponseCode::kRetry:
      return "TPM_RC_RETRY";
  }
  return nullptr;
}

}  // namespace

std::string describe(ResponseCode code) {
  char text[48];
  const auto number = static_cast<unsigned>(code);
  if (const char* known = name(code)) {
    std::snprintf(text, sizeof text, "%s (0x%03x)", known, number);
  } else {
    std::snprintf(text, sizeof text, "TPM_RC 0x%03x", number);
  }
  return text;
}

}  // namespace vtpm::protocol
