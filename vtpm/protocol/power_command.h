// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "vmgs/base/bytes.h"
#include "vtpm/protocol/command_code.h"

namespace vtpm::protocol {

// The few whole commands that a power cycle needs. All others that we send go through tpm2-tss.

// startup() is TPM2_Startup (TPM 2.0 Part 3, 9.3).
base::Bytes startup(StartupType type);

// shutdown() is TPM2_Shutdown (TPM 2.0 Part 3, 9.4).
base::Bytes shutdown(StartupType type);

// stir_random() is TPM2_StirRandom (TPM 2.0 Part 3, 16.2) with 32 bytes of fresh entropy.
base::Bytes stir_random(std::span<const std::byte, 32> entropy);

}  // namespace vtpm::protocol
