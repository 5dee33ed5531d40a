// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/group.h"

#include <grp.h>

#include <cerrno>
#include <system_error>
#include <vector>

namespace tools::vtpmd {

base::Result<gid_t> group_id(const std::string& name) {
  group entry{};
  group* found = nullptr;
  std::vector<char> strings(1024);
  int error = getgrnam_r(name.c_str(), &entry, strings.data(), strings.size(), &found);
  while (error == ERANGE) {
    // A group with many members.
    strings.resize(2 * strings.size());
    error = getgrnam_r(name.c_str(), &entry, strings.data(), strings.size(), &found);
  }
  if (found != nullptr) {
    return entry.gr_gid;
  }
  if (error == 0 || error == ENOENT || error == ESRCH) {
    return base::fail(base::ErrorCode::kNotFound,
                      "there is no group '" + name + "'; make it, or change the configuration");
  }
  return base::fail(base::ErrorCode::kIo, "cannot look up the group '" + name +
                                              "': " + std::generic_category().message(error));
}

}  // namespace tools::vtpmd
