// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/uefi/variable.h"

namespace tools::vmgs {

// to_exchange() writes variables in the JSON that virt-fw-vars writes and reads (virt-firmware,
// --output-json): {"version": 2, "variables": [{"name", "guid", "attr", "data", "time"}]}, data and
// time in hexadecimal digits, time only where there is one.
std::string to_exchange(const std::vector<::vmgs::uefi::Variable>& variables);

// from_exchange() reads it. kCorrupt for anything that does not have that form.
base::Result<std::vector<::vmgs::uefi::Variable>> from_exchange(std::string_view text);

}  // namespace tools::vmgs
