// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/credential.h"

#include <string.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "vtpm/provision/esys.h"
#include "vtpm/provision/templates.h"

namespace vtpm::provision {

namespace {

// A policy session that satisfies the EK's policy: PolicySecret of the endorsement hierarchy (EK
// Credential Profile for TPM 2.0, B.6.2).
class EkSession {
 public:
  explicit EkSession(ESYS_CONTEXT* esys) : esys_(esys) {}

  EkSession(const EkSession&) = delete;
  EkSession& operator=(const EkSession&) = delete;

  ~EkSession() {
    if (session_ != ESYS_TR_NONE) {
      Esys_FlushContext(esys_, session_);
    }
  }

  base::Result<void> open() {
    const TPMT_SYM_DEF no_encryption{.algorithm = TPM2_ALG_NULL, .keyBits = {}, .mode = {}};
    TRY(checked(Esys_StartAuthSession(esys_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                      ESYS_TR_NONE, nullptr, TPM2_SE_POLICY, &no_encryption,
                                      TPM2_ALG_SHA256, &session_),
                "opening a session for the EK"));
    return checked(
        Esys_PolicySecret(esys_, ESYS_TR_RH_ENDORSEMENT, session_, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                          ESYS_TR_NONE, nullptr, nullptr, nullptr, 0, nullptr, nullptr),
        "using the EK, for which the guest's endorsement authorization would have to be empty");
  }

  [[nodiscard]] ESYS_TR number() const { return session_; }

 private:
  ESYS_CONTEXT* esys_;
  ESYS_TR session_ = ESYS_TR_NONE;
};

template <typename Buffer>
base::Result<Buffer> filled(base::ByteView content, std::string_view what) {
  Buffer buffer{};
  const auto room = std::as_writable_bytes(std::span(&buffer, 1)).subspan(sizeof buffer.size);
  if (content.size() > room.size()) {
    return base::fail(base::ErrorCode::kAuthentication,
                      "the authority's " + std::string(what) + " is too long");
  }
  buffer.size = static_cast<UINT16>(content.size());
  std::ranges::copy(content, room.begin());
  return buffer;
}

base::Result<ESYS_TR> object_at(ESYS_CONTEXT* esys, TPM2_HANDLE handle) {
  ESYS_TR object = ESYS_TR_NONE;
  TRY(checked(
      Esys_TR_FromTPMPublic(esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object),
      "looking at the keys that were to be proven"));
  return object;
}

}  // namespace

base::Result<base::SecretBytes> activate_credential(ESYS_CONTEXT* esys,
                                                    const CredentialChallenge& challenge) {
  TRY_ASSIGN(blob, filled<TPM2B_ID_OBJECT>(challenge.credential_blob, "credential"));
  TRY_ASSIGN(wrapped, filled<TPM2B_ENCRYPTED_SECRET>(challenge.encrypted_secret, "secret"));
  TRY_ASSIGN(ak, object_at(esys, kRsaAkHandle));
  TRY_ASSIGN(ek, object_at(esys, kRsaEkHandle));
  EkSession session(esys);
  TRY(session.open());
  TPM2B_DIGEST* unwrapped = nullptr;
  const auto code = Esys_ActivateCredential(esys, ak, ek, ESYS_TR_PASSWORD, session.number(),
                                            ESYS_TR_NONE, &blob, &wrapped, &unwrapped);
  Esys_TR_Close(esys, &ak);
  Esys_TR_Close(esys, &ek);
  if (auto done = checked(code, "proving the AK to the authority"); !done) {
    if (done.error().code == base::ErrorCode::kUnavailable) {
      done.error().code = base::ErrorCode::kAuthentication;
    }
    return base::fail(std::move(done).error());
  }
  base::SecretBytes secret(unwrapped->size);
  const auto bytes = std::as_writable_bytes(std::span(unwrapped->buffer, unwrapped->size));
  std::ranges::copy(bytes, secret.fill().begin());
  explicit_bzero(unwrapped, sizeof *unwrapped);
  Esys_Free(unwrapped);
  return secret;
}

}  // namespace vtpm::provision
