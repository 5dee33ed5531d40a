// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/uefi/variable.h"
#include "vmgs/volume/generation.h"

namespace vmgs::edit {

// One of two things that are compared: a generation of a store, unlocked if its files are to be
// read.
struct Compared {
  storage::BlockDevice& device;
  const volume::Generation& generation;
};

enum class Change {
  kAdded,    // the second has it, the first has not
  kRemoved,  // the first has it, the second has not
  kChanged,  // both have it, and it differs
  kUnknown,  // one of them cannot be read, so nobody knows
};

// name() is "added", "removed", "changed" or "unknown".
std::string_view name(Change change);

struct FileDifference {
  format::FileId id{};
  Change change = Change::kChanged;
  std::optional<std::uint64_t> bytes_before{};
  std::optional<std::uint64_t> bytes_after{};
  bool protection_differs = false;  // encrypted in one, plaintext in the other
  std::string trouble{};            // why nobody knows
};

// compare_files() lists the files that differ, in order of id; one that is the same but for where
// it lies and under which key does not. kCorrupt if either has no usable file table.
base::Result<std::vector<FileDifference>> compare_files(const Compared& before,
                                                        const Compared& after);

struct VariableDifference {
  uefi::Guid vendor{};
  std::u16string name{};
  Change change = Change::kChanged;
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
};

// compare_variables() does the same for the UEFI variables that firmware finds.
std::vector<VariableDifference> compare_variables(const std::vector<uefi::Variable>& before,
                                                  const std::vector<uefi::Variable>& after);

}  // namespace vmgs::edit
