// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable.h"

namespace vmgs::uefi {

inline constexpr std::size_t kMaxBiosNvramBytes = 131072;

// decode_bios_nvram() reads BIOS_NVRAM (1), the variables as OpenVMM and Hyper-V keep them: records
// one behind the other. All of them are current; of two of one name the later counts. kCorrupt for
// a record whose lengths do not fit, or more than the format has room for.
base::Result<std::vector<Variable>> decode_bios_nvram(base::ByteView bytes);

// encode_bios_nvram() is its inverse, one record for each of `variables` whatever its state says.
// kDenied for a name or content that is larger than the format takes, or all of them together.
base::Result<base::Bytes> encode_bios_nvram(const std::vector<Variable>& variables);

}  // namespace vmgs::uefi
