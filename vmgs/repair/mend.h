// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/header_spacing.h"
#include "vmgs/repair/plan.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/finding.h"
#include "vmgs/volume/volume.h"

namespace vmgs::repair {

// Case is the store that a mending looks at: it may write to the device, which is an overlay.
struct Case {
  storage::BlockDevice& device;
  format::HeaderSpacing spacing;
  const volume::DatastoreKey* key;
  const Wishes& wishes;
  const std::vector<volume::Finding>& findings;

  // found() is the first finding of that code.
  [[nodiscard]] const volume::Finding* found(std::string_view code) const;

  [[nodiscard]] bool accepts(const std::string& word) const {
    return wishes.accepted.contains(word);
  }
};

// Outcome is what a mending did, or what it would need.
struct Outcome {
  bool done = false;
  std::string code;
  std::string where;
  std::string message;
  // Files that a person has said may read otherwise from now on; all of them with
  // `anything_changes`.
  std::set<format::FileId> changed = {};
  bool anything_changes = false;
};

// A mending cures one kind of finding, or says what it would take, or has nothing to do with what
// was found. kIo from the device; any other error means that it did not work out.
using Mended = base::Result<std::optional<Outcome>>;
using Mending = Mended (*)(const Case&);

// The mendings by what they touch, in the order in which they are tried.
Mended mend_spacing(const Case& patient);
Mended mend_lone_header(const Case& patient);
Mended mend_lost_headers(const Case& patient);
Mended mend_sequence_gap(const Case& patient);
Mended mend_downgrade(const Case& patient);
Mended mend_torn_commit(const Case& patient);
Mended mend_lost_table(const Case& patient);
Mended mend_self_entry(const Case& patient);
Mended mend_entries(const Case& patient);
Mended mend_extended_entry(const Case& patient);
Mended mend_overlap(const Case& patient);
Mended mend_changes_without_key(const Case& patient);
Mended mend_zero_key(const Case& patient);
Mended mend_keys(const Case& patient);
Mended mend_tpm_size(const Case& patient);
Mended mend_empty_files(const Case& patient);
Mended mend_full_variables(const Case& patient);
Mended mend_dropped_files(const Case& patient);

// mend_packaging() does the same for the whole file, before there is a store to look at.
Mended mend_packaging(storage::Overlay& whole, const Patient& patient, const Wishes& wishes);

// open_with_key() is the store as it opens, unlocked; nothing if it does not. kIo.
base::Result<std::optional<volume::Volume>> open_with_key(const Case& patient);

inline Outcome done(std::string code, std::string where, std::string message) {
  return {true, std::move(code), std::move(where), std::move(message)};
}

inline std::string slot_name(std::size_t slot) { return "header slot " + std::to_string(slot); }

inline Outcome not_done(std::string code, std::string where, std::string message) {
  return {false, std::move(code), std::move(where), std::move(message)};
}

}  // namespace vmgs::repair
