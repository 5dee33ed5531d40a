// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keybroker/crypto/issue.h"
#include "keybroker/evidence/trust_store.h"

namespace vtpm::tee_sim {

// marker_extension() says that a certificate is of a simulator. Every root and intermediate that a
// mint makes carries it; production refuses a chain with it before it looks at a signature.
inline keybroker::crypto::Extension marker_extension() {
  return {std::string(keybroker::evidence::kSimulatedMarkerOid),
          false,
          {std::byte{0x05}, std::byte{0x00}}};  // NULL
}

}  // namespace vtpm::tee_sim
