// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vmgs::uefi {

// BootOption is an EFI_LOAD_OPTION (UEFI 3.1.3), the content of a variable Boot####.
struct BootOption {
  bool is_active = false;
  std::u16string description;
  std::size_t device_path_nodes = 0;
  std::size_t optional_bytes = 0;
};

// decode_boot_option() reads one. kCorrupt for a description without an end, and a list of device
// paths that does not fit into it or into itself.
base::Result<BootOption> decode_boot_option(base::ByteView bytes);

// decode_boot_order() reads BootOrder, the numbers of options in the order in which firmware tries
// them. kCorrupt for an odd size.
base::Result<std::vector<std::uint16_t>> decode_boot_order(base::ByteView bytes);

// boot_option_name() is "Boot000A" for 10.
std::u16string boot_option_name(std::uint16_t number);

}  // namespace vmgs::uefi
