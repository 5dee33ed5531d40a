// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/esys.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace vtpm::provision {

namespace {

// The part of a response code that says what is wrong (TPM 2.0 Part 1, 39.4): of format one without
// the number of the handle, session or parameter.
constexpr TSS2_RC error_of(TSS2_RC code) {
  constexpr TSS2_RC kFormatOneError = TPM2_RC_FMT1 | 0x3F;
  return (code & TPM2_RC_FMT1) != 0 ? code & kFormatOneError : code;
}

base::ErrorCode meaning(TSS2_RC code) {
  if ((code & TSS2_RC_LAYER_MASK) != TSS2_TPM_RC_LAYER) {
    return base::ErrorCode::kUnavailable;
  }
  switch (error_of(code)) {
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_LOCKOUT:
    case TPM2_RC_DISABLED:
    case TPM2_RC_HIERARCHY:
      return base::ErrorCode::kDenied;
    case TPM2_RC_HANDLE:
      return base::ErrorCode::kNotFound;
    default:
      return base::ErrorCode::kUnavailable;
  }
}

// What a TPM refuses is for us to judge; tpm2-tss would print it.
void silence_library() { ::setenv("TSS2_LOG", "all+NONE", 0); }

}  // namespace

base::Result<void> checked(TSS2_RC code, std::string_view what) {
  if (code == TSS2_RC_SUCCESS) {
    return {};
  }
  std::array<char, 16> number{};
  std::snprintf(number.data(), number.size(), "0x%x", static_cast<unsigned>(code));
  return base::fail(meaning(code), std::string(what) + ": TPM_RC " + number.data());
}

Esys::~Esys() {
  if (context_ != nullptr) {
    Esys_Finalize(&context_);
  }
}

base::Result<void> Esys::open() {
  silence_library();
  return checked(Esys_Initialize(&context_, tcti_.context(), nullptr), "opening the TPM");
}

}  // namespace vtpm::provision
