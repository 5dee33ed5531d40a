// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/state_place.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <system_error>

namespace tools::swtpm {

using vtpm::boot::StateOwner;

namespace {

// How swtpm's single-file form begins: its magic number, little-endian (swtpm_nvstore_linear.h).
constexpr std::string_view kSingleFileMagic = "nilmptws";

// A volume of more than this was not made for a TPM.
constexpr std::size_t kMostBlankBytes = std::size_t{64} << 20U;

base::Result<StateOwner> owner_of_single(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 64 * 1024> piece{};
  bool is_blank = true;
  std::size_t size = 0;
  while (is_blank && size <= kMostBlankBytes &&
         (file.read(piece.data(), piece.size()), file.gcount() > 0)) {
    const std::string_view read(piece.data(), static_cast<std::size_t>(file.gcount()));
    if (size == 0 && read.starts_with(kSingleFileMagic)) {
      return base::fail(
          base::ErrorCode::kDenied,
          path.string() +
              ": a TPM in swtpm's single-file form, which is not read here. It moves as a state "
              "blob: `swtpm_ioctl --save permanent BLOB` where swtpm runs on it, then `swtpm_ioctl "
              "--load permanent BLOB` and `-i` where this program runs on an empty place");
    }
    is_blank = std::all_of(read.begin(), read.end(), [](char byte) { return byte == 0; });
    size += read.size();
  }
  return is_blank && !file.bad() && size <= kMostBlankBytes ? StateOwner::kNobody
                                                            : StateOwner::kOurs;
}

}  // namespace

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

base::Result<StateOwner> StatePlace::owner() const {
  TRY_ASSIGN(owner, vtpm::boot::owner_of(store));
  return !folder && owner == StateOwner::kOurs ? owner_of_single(store)
                                               : base::Result<StateOwner>(owner);
}

}  // namespace tools::swtpm
