// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tools::vmgs {

// file_holders() names the processes that have a file open, as "vtpm-instance (process 4711)". Only
// those that this user may look into: all of them for root. Empty where none was found.
std::vector<std::string> file_holders(const std::filesystem::path& path);

}  // namespace tools::vmgs
