// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/variable_store.h"

#include <algorithm>
#include <utility>

#include "vmgs/uefi/bios_nvram.h"
#include "vmgs/uefi/flash.h"
#include "vmgs/uefi/flash_edit.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

auto is_named(const Guid& vendor, std::u16string_view name) {
  return
      [&vendor, name](const Variable& each) { return each.vendor == vendor && each.name == name; };
}

std::vector<Variable> copies_of(const std::vector<const Variable*>& found) {
  std::vector<Variable> copies;
  copies.reserve(found.size());
  for (const auto* each : found) {
    copies.push_back(*each);
  }
  return copies;
}

}  // namespace

base::Result<VariableStore> VariableStore::open(StoreForm form, base::Bytes content) {
  VariableStore store(form);
  TRY(store.take(std::move(content)));
  return store;
}

base::Result<void> VariableStore::take(base::Bytes content) {
  if (form_ == StoreForm::kFlash) {
    TRY_ASSIGN(flash, decode_flash(content));
    room_ = {flash.store_bytes, flash.used_bytes, packed_bytes(flash)};
    variables_ = copies_of(current(flash.variables));
  } else {
    TRY_ASSIGN(records, decode_bios_nvram(content));
    room_ = {kMaxBiosNvramBytes, content.size(), content.size()};
    variables_ = copies_of(current(records));
  }
  content_ = std::move(content);
  return {};
}

const Variable* VariableStore::find(const Guid& vendor, std::u16string_view name) const {
  const auto found = std::find_if(variables_.begin(), variables_.end(), is_named(vendor, name));
  return found == variables_.end() ? nullptr : &*found;
}

base::Result<void> VariableStore::set(Variable variable) {
  if (variable.name.empty() || variable.data.empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a variable has a name and content: one without content is deleted instead");
  }
  if ((variable.attributes & kNonVolatile) == 0) {
    return base::fail(ErrorCode::kInvalidArgument,
                      text_of(variable.name) +
                          " would be volatile: firmware keeps such variables nowhere. Its "
                          "attributes want NON_VOLATILE (1)");
  }
  // How a variable is written is no property of what lies there.
  variable.attributes &= ~kAppendWrite;
  variable.state = State::kCurrent;
  if (form_ == StoreForm::kFlash) {
    TRY_ASSIGN(image, with_variable(content_, variable));
    return take(std::move(image));
  }
  auto changed = variables_;
  const auto same = is_named(variable.vendor, variable.name);
  const auto place = std::find_if(changed.begin(), changed.end(), same);
  if (place == changed.end()) {
    changed.push_back(std::move(variable));
  } else {
    *place = std::move(variable);
  }
  TRY_ASSIGN(records, encode_bios_nvram(changed));
  return take(std::move(records));
}

base::Result<void> VariableStore::remove(const Guid& vendor, std::u16string_view name) {
  if (find(vendor, name) == nullptr) {
    return base::fail(ErrorCode::kNotFound,
                      "there is no variable " + text_of(name) + " of " + to_string(vendor));
  }
  if (form_ == StoreForm::kFlash) {
    TRY_ASSIGN(image, without_variable(content_, vendor, name));
    return take(std::move(image));
  }
  auto changed = variables_;
  std::erase_if(changed, is_named(vendor, name));
  TRY_ASSIGN(records, encode_bios_nvram(changed));
  return take(std::move(records));
}

base::Result<void> VariableStore::pack() {
  if (form_ == StoreForm::kFlash) {
    TRY_ASSIGN(image, packed_image(content_));
    return take(std::move(image));
  }
  TRY_ASSIGN(records, encode_bios_nvram(variables_));
  return take(std::move(records));
}

}  // namespace vmgs::uefi
