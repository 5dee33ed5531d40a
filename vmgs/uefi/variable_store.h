// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable.h"

namespace vmgs::uefi {

// In which form a VM's variables are kept.
enum class StoreForm {
  kFlash,      // UEFI_FLASH (51): the image of a flash
  kBiosNvram,  // BIOS_NVRAM (1): the records of OpenVMM and Hyper-V
};

// How full a variable store is, in bytes.
struct Room {
  std::uint64_t capacity = 0;
  std::uint64_t used = 0;    // now, deleted variables included
  std::uint64_t packed = 0;  // once firmware, or an edit, has packed it

  [[nodiscard]] std::uint64_t available() const { return capacity - packed; }
};

// VariableStore is the variables of one VM, open for changes in memory. Changes are what firmware
// itself would have written; content() is what goes back into the file. One owner.
class VariableStore {
 public:
  // open() takes the content of the file. Errors of decode_flash() and decode_bios_nvram().
  static base::Result<VariableStore> open(StoreForm form, base::Bytes content);

  [[nodiscard]] StoreForm form() const { return form_; }

  // variables() are those that firmware finds, in the order of the store.
  [[nodiscard]] const std::vector<Variable>& variables() const { return variables_; }

  // find() is one of them, valid until the next change; none if there is no such variable.
  [[nodiscard]] const Variable* find(const Guid& vendor, std::u16string_view name) const;

  // set() adds the variable or replaces the one of its name. kInvalidArgument for a variable that
  // is volatile, or has no name or no content; kDenied if there is no room, and then nothing
  // changes.
  base::Result<void> set(Variable variable);

  // remove() is kNotFound if there is no such variable.
  base::Result<void> remove(const Guid& vendor, std::u16string_view name);

  // pack() takes back the room of what is deleted, as firmware does when it finds none. Variables
  // stay as they are. kDenied if a write of firmware's own is pending.
  base::Result<void> pack();

  [[nodiscard]] const Room& room() const { return room_; }

  [[nodiscard]] const base::Bytes& content() const { return content_; }

 private:
  explicit VariableStore(StoreForm form) : form_(form) {}

  base::Result<void> take(base::Bytes content);

  StoreForm form_;
  base::Bytes content_;
  std::vector<Variable> variables_;
  Room room_;
};

}  // namespace vmgs::uefi
