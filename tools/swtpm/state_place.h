// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "vmgs/base/result.h"
#include "vtpm/boot/swtpm_import.h"

namespace tools::swtpm {

// StatePlace is where a drop-in keeps a TPM's state: a folder, as swtpm's default backend has it,
// or a single file or block device.
struct StatePlace {
  std::optional<vtpm::boot::SwtpmFolder> folder;  // none for a single file
  std::filesystem::path store;                    // absolute
  std::optional<mode_t> mode = std::nullopt;      // of the store's file

  // at() reads "dir://PATH", "file://PATH", or a bare path of a folder. kInvalidArgument for
  // another kind of place.
  static base::Result<StatePlace> at(std::string_view uri);

  // owner() is owner_of() of what is there, but that nobody has a single file or device of nothing
  // but zeros: volumes are made so for a TPM to come. kDenied for what swtpm keeps in a single
  // file, with the way out; kIo.
  [[nodiscard]] base::Result<vtpm::boot::StateOwner> owner() const;
};

}  // namespace tools::swtpm
