// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/sealed_keys.h"
#include "vtpm/tee/tee.h"

namespace vtpm::sealing {

// Why an entry of SEALED_KEYS did not open.
enum class Refusal : std::uint8_t {
  kNone,
  kOtherContext,   // what it records is not what this VM on this machine is; nothing was derived
  kOlderTcb,       // the TEE does not derive a key for its SVN
  kDoesNotVerify,  // all that is recorded fits, and its tag does not verify
};

// explain() makes the error for entries of which none opened: for each what is stored, what is
// here, which of them differ, and what would open it. `here` is the entry that this VM on this
// machine would make. kAuthentication if an entry was opened in vain, else kDenied.
base::Error explain(const std::vector<vmgs::format::SealedKey>& entries,
                    const std::vector<Refusal>& refusals, const tee::OwnReport& report,
                    const vmgs::format::SealedKey& here);

}  // namespace vtpm::sealing
