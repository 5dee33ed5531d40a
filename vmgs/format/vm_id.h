// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <span>
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

// guid_bytes() is the same id as a GUID in memory, as VM_UNIQUE_ID (7) and others of the format
// keep it: the first three fields little-endian. vm_id_of_guid() is its inverse.
std::array<std::byte, 16> guid_bytes(const VmId& id);
VmId vm_id_of_guid(std::span<const std::byte, 16> guid);

// parse_vm_id() reads that form in either case. kInvalidArgument otherwise.
base::Result<VmId> parse_vm_id(std::string_view text);

}  // namespace vmgs::format
