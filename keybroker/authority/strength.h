// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/protocol/launch_document.h"

namespace keybroker::authority {

// strength() orders protections by who can open the state: everybody, the host, nobody but the VM.
inline int strength(protocol::Protection protection) {
  switch (protection) {
    case protocol::Protection::kNone:
      return 0;
    case protocol::Protection::kHost:
      return 1;
    default:
      return 2;
  }
}

}  // namespace keybroker::authority
