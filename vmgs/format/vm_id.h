// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace vmgs::format {

// VmId names one VM for its whole life: a UUID (RFC 4122) in its network byte order, 16 bytes.
struct VmId {
  std::array<std::byte, 16> bytes{};

  friend auto operator<=>(const VmId&, const VmId&) = default;
};

// to_string() is the usual form, 36 lower-case characters.
std::string to_string(const VmId& id);

// parse_vm_id() reads that form in either case. kInvalidArgument otherwise.
base::Result<VmId> parse_vm_id(std::string_view text);

}  // namespace vmgs::format
