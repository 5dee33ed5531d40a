// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/state_place.h"

#include <string>
#include <system_error>

namespace tools::swtpm {

base::Result<StatePlace> StatePlace::at(std::string_view uri) {
  constexpr std::string_view kFolder = "dir://";
  constexpr std::string_view kFile = "file://";
  const bool is_file = uri.starts_with(kFile);
  if (is_file) {
    uri.remove_prefix(kFile.size());
  } else if (uri.starts_with(kFolder)) {
    uri.remove_prefix(kFolder.size());
  }
  if (uri.empty() || uri.find("://") != std::string_view::npos) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "Unsupported place for a TPM's state '" + std::string(uri) +
                          "'; there are dir://PATH and file://PATH");
  }
  std::error_code error;
  const auto path = std::filesystem::absolute(uri, error).lexically_normal();
  if (is_file) {
    return StatePlace{.folder = std::nullopt, .store = path};
  }
  const vtpm::boot::SwtpmFolder folder{path};
  return StatePlace{.folder = folder, .store = folder.store()};
}

}  // namespace tools::swtpm
