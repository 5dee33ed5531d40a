// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/tpm_life.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

namespace vtpm::provision {

namespace {

using engine::BlobKind;

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

base::Result<std::unique_ptr<TpmLife>> TpmLife::begin(base::ByteView permanent_state) {
  std::unique_ptr<TpmLife> life(new TpmLife());
  TRY(life->memory_.store(BlobKind::kPermanent, permanent_state));
  TRY_ASSIGN(engine, engine::Engine::create(life->memory_));
  life->engine_ = std::move(engine);
  TRY(life->engine_->start(engine::Origin::kExisting));
  life->tcti_ = std::make_unique<EngineTcti>(*life->engine_);
  silence_library();
  TRY(checked(Esys_Initialize(&life->esys_, life->tcti_->context(), nullptr), "opening the TPM"));

  // Only a TPM that was put to sleep wakes up.
  if (Esys_Startup(life->esys_, TPM2_SU_STATE) == TSS2_RC_SUCCESS) {
    return base::fail(base::ErrorCode::kDenied,
                      "the guest's last command was Shutdown(STATE): what it saved is for its own "
                      "Startup");
  }
  TRY(checked(Esys_Startup(life->esys_, TPM2_SU_CLEAR), "starting the TPM up"));
  return life;
}

TpmLife::~TpmLife() {
  if (esys_ != nullptr) {
    Esys_Finalize(&esys_);
  }
}

base::Result<base::SecretBytes> TpmLife::end() {
  TRY(checked(Esys_Shutdown(esys_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_SU_CLEAR),
              "shutting the TPM down"));
  engine_->terminate();
  TRY_ASSIGN(permanent, memory_.load(BlobKind::kPermanent));
  return *std::move(permanent);
}

}  // namespace vtpm::provision
