// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "vmgs/inspect/survey.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::inspect {

// tcb_words() is a stored TCB for people: "bootloader 3, TEE 0, SNP 8, microcode 115" for SEV-SNP,
// "TEE TCB 05..., CPU 07..." for TDX.
std::string tcb_words(bool is_snp, std::span<const std::byte, 32> svn);

// unlock_ways() says for an encrypted store what would open it, a sentence each: for every
// protector which machine, TCB, broker or key it takes, and the key itself at last. It goes by the
// plaintext files of `side`, which anybody can have written.
std::vector<std::string> unlock_ways(storage::BlockDevice& device, const Side& side);

}  // namespace vmgs::inspect
