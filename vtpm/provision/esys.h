// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_esys.h>

#include <string_view>

#include "vmgs/base/result.h"
#include "vtpm/engine/engine.h"
#include "vtpm/provision/engine_tcti.h"

namespace vtpm::provision {

// checked() is the error of a call of tpm2-tss that did not succeed: kDenied where the TPM refuses
// an authorization, kNotFound where a handle names nothing, else kUnavailable. The message says
// `what` was being done and the response code.
base::Result<void> checked(TSS2_RC code, std::string_view what);

// Esys is tpm2-tss over the TPM of this process, for as long as it lives.
class Esys {
 public:
  // `engine` outlives this.
  explicit Esys(engine::Engine& engine) : tcti_(engine) {}

  ~Esys();

  Esys(const Esys&) = delete;
  Esys& operator=(const Esys&) = delete;

  // open() comes first. kUnavailable if tpm2-tss refuses.
  base::Result<void> open();

  [[nodiscard]] ESYS_CONTEXT* context() const { return context_; }

 private:
  EngineTcti tcti_;
  ESYS_CONTEXT* context_ = nullptr;
};

}  // namespace vtpm::provision
