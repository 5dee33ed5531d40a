// SPDX-License-Identifier: Apache-2.0
#include "vmgs/edit/difference.h"

#include <algorithm>
#include <map>
#include <utility>

namespace vmgs::edit {

namespace {

using format::FileId;

// Fills in what comparing the contents of a file that both have comes to; nothing if it is the
// same.
std::optional<FileDifference> compare_contents(const Compared& before, const Compared& after,
                                               FileDifference difference) {
  const auto id = difference.id;
  difference.protection_differs =
      before.generation.is_encrypted(id) != after.generation.is_encrypted(id);
  const auto first = before.generation.read_file(before.device, id);
  const auto second = after.generation.read_file(after.device, id);
  if (!first || !second) {
    // Equal entries of both tables lead to the same bytes, readable or not.
    if (before.generation.shares(after.generation, id) && &before.device == &after.device) {
      return std::nullopt;
    }
    difference.change = Change::kUnknown;
    difference.trouble = (first ? second : first).error().message;
    return difference;
  }
  if (std::ranges::equal(first->expose(), second->expose()) && !difference.protection_differs) {
    return std::nullopt;
  }
  return difference;
}

}  // namespace

std::string_view name(Change change) {
  switch (change) {
    case Change::kAdded:
      return "added";
    case Change::kRemoved:
      return "removed";
    case Change::kChanged:
      return "changed";
    case Change::kUnknown:
      return "unknown";
  }
  return {};
}

base::Result<std::vector<FileDifference>> compare_files(const Compared& before,
                                                        const Compared& after) {
  for (const auto* each : {&before, &after}) {
    if (!each->generation.table()) {
      return base::fail(each->generation.table().error());
    }
  }
  std::vector<FileDifference> differences;
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    const auto& first = (*before.generation.table())[id];
    const auto& second = (*after.generation.table())[id];
    if (!format::is_content(id) || (!first && !second)) {
      continue;
    }
    FileDifference difference;
    difference.id = id;
    if (first) {
      difference.bytes_before = first->valid_bytes;
    }
    if (second) {
      difference.bytes_after = second->valid_bytes;
    }
    if (first && second) {
      if (auto found = compare_contents(before, after, std::move(difference))) {
        differences.push_back(*std::move(found));
      }
      continue;
    }
    difference.change = second ? Change::kAdded : Change::kRemoved;
    differences.push_back(std::move(difference));
  }
  return differences;
}

std::vector<VariableDifference> compare_variables(const std::vector<uefi::Variable>& before,
                                                  const std::vector<uefi::Variable>& after) {
  using Name = std::pair<uefi::Guid, std::u16string>;
  std::map<Name, std::pair<const uefi::Variable*, const uefi::Variable*>> pairs;
  for (const auto& each : before) {
    pairs[{each.vendor, each.name}].first = &each;
  }
  for (const auto& each : after) {
    pairs[{each.vendor, each.name}].second = &each;
  }
  std::vector<VariableDifference> differences;
  for (const auto& [name, pair] : pairs) {
    const auto& [first, second] = pair;
    if (first != nullptr && second != nullptr && first->data == second->data &&
        first->attributes == second->attributes && first->timestamp == second->timestamp) {
      continue;
    }
    differences.push_back({name.first, name.second,
                           first == nullptr    ? Change::kAdded
                           : second == nullptr ? Change::kRemoved
                                               : Change::kChanged,
                           first == nullptr ? 0 : first->data.size(),
                           second == nullptr ? 0 : second->data.size()});
  }
  return differences;
}

}  // namespace vmgs::edit
