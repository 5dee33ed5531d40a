// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/bytes.h"

namespace vtpm::provision {

// asks_for_report() tells whether a command of the guest begins to read the report or its extended
// claims: NV_Read from the beginning (TPM 2.0 Part 3, 31.13), or NV_Certify of any part (31.16). A
// reader in pieces gets pieces of one report. Anything that is no such command is false.
bool asks_for_report(base::ByteView command);

}  // namespace vtpm::provision
