// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/tpm_life.h"

#include <utility>

namespace vtpm::provision {

using engine::BlobKind;

base::Result<std::unique_ptr<TpmLife>> TpmLife::begin(base::ByteView permanent_state) {
  std::unique_ptr<TpmLife> life(new TpmLife());
  TRY(life->memory_.store(BlobKind::kPermanent, permanent_state));
  TRY_ASSIGN(engine, engine::Engine::create(life->memory_));
  life->engine_ = std::move(engine);
  TRY(life->engine_->start(engine::Origin::kExisting));
  life->esys_.emplace(*life->engine_);
  TRY(life->esys_->open());

  // Only a TPM that was put to sleep wakes up.
  if (Esys_Startup(life->esys(), TPM2_SU_STATE) == TSS2_RC_SUCCESS) {
    return base::fail(base::ErrorCode::kDenied,
                      "the guest's last command was Shutdown(STATE): what it saved is for its own "
                      "Startup");
  }
  TRY(checked(Esys_Startup(life->esys(), TPM2_SU_CLEAR), "starting the TPM up"));
  return life;
}

base::Result<base::SecretBytes> TpmLife::end() {
  TRY(checked(Esys_Shutdown(esys(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_SU_CLEAR),
              "shutting the TPM down"));
  engine_->terminate();
  TRY_ASSIGN(permanent, memory_.load(BlobKind::kPermanent));
  return *std::move(permanent);
}

}  // namespace vtpm::provision
