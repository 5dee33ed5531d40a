// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "vmgs/base/bytes.h"
#include "vtpm/engine/engine.h"
#include "vtpm/provision/keys.h"
#include "vtpm/provision/provision.h"

namespace vtpm::provision {

// may_remove_aks() tells whether a command of the guest can take an attestation key from its
// handle: TPM2_Clear, TPM2_EvictControl, TPM2_ChangeEPS. may_make_room() tells whether it can end
// what keeps us from putting one back: the change of an authorization, a flush, and those.
bool may_remove_aks(base::ByteView command);
bool may_make_room(base::ByteView command);

// AkPresence is how the attestation keys stand while a guest runs.
struct AkPresence {
  Obstacle obstacle = Obstacle::kNone;
  std::string reason;  // for people

  friend bool operator==(const AkPresence&, const AkPresence&) = default;
};

// restore_aks() looks at the handles of the attestation keys in a running TPM, and puts back what
// is gone, by the guest's empty authorizations and no others: the same key, or none. It may take a
// second, in which primes are looked for. What is in its way is seen to at the next start. Nothing
// where the TPM does not say, as before its Startup.
std::optional<AkPresence> restore_aks(engine::Engine& engine,
                                      const std::optional<PublicKey>& rsa_ak,
                                      const std::optional<PublicKey>& ecc_ak);

}  // namespace vtpm::provision
