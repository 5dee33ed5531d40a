// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/protectors.h"

#include <array>

namespace tools::vmgs {

namespace format = ::vmgs::format;
using format::FileId;

base::Result<std::vector<FileId>> protectors_to_drop(const OpenStore& store, bool drop) {
  std::vector<FileId> found;
  for (const auto id : {FileId::kKeyProtector, FileId::kHwKeyProtector, FileId::kSealedKeys}) {
    if (!store.volume.contains(id)) {
      continue;
    }
    if (!drop) {
      return base::fail(base::ErrorCode::kDenied,
                        format::describe(id) +
                            " opens this store for a VM and would open nothing afterwards: say "
                            "--drop-protectors to remove it, and keep the new key");
    }
    found.push_back(id);
  }
  return found;
}

}  // namespace tools::vmgs
