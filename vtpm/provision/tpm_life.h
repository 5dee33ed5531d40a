// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_esys.h>

#include <memory>
#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/provision/esys.h"

namespace vtpm::provision {

// TpmLife is one life of a TPM that no guest sees, from power-on to power-off, on a copy of its
// permanent state: whatever happens in it, the state it was made from stays as it is until somebody
// stores what end() gives. No other Engine may live in this process. One owner, one thread.
class TpmLife {
 public:
  // begin() powers the TPM on and starts it up (TPM 2.0 Part 3, 9.3) with CLEAR, which leaves the
  // platform hierarchy enabled and its authorization empty. kDenied for a TPM whose guest went to
  // sleep: its last command was Shutdown(STATE), and only its own Startup may come next. Errors of
  // Engine::start().
  static base::Result<std::unique_ptr<TpmLife>> begin(base::ByteView permanent_state);

  TpmLife(const TpmLife&) = delete;
  TpmLife& operator=(const TpmLife&) = delete;

  // esys() is the way to send it commands. No session, transient object or PCR value survives the
  // life; what is persistent does.
  [[nodiscard]] ESYS_CONTEXT* esys() const { return esys_->context(); }

  // end() shuts the TPM down with CLEAR, powers it off and gives its permanent state.
  base::Result<base::SecretBytes> end();

 private:
  TpmLife() = default;

  engine::MemoryNvStore memory_;
  std::unique_ptr<engine::Engine> engine_;
  std::optional<Esys> esys_;
};

}  // namespace vtpm::provision
