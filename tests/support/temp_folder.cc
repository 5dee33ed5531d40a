// SPDX-License-Identifier: Apache-2.0
#include "tests/support/temp_folder.h"

#include <cstdio>
#include <cstdlib>

namespace tests::support {

TempFolder::TempFolder() {
  auto name = (std::filesystem::temp_directory_path() / "strongroom-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    std::perror("cannot make a temporary folder");
    std::abort();
  }
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tests::support
