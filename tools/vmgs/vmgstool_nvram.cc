// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <sstream>

#include "tools/vmgs/uefi_change.h"
#include "tools/vmgs/vmgstool_commands.h"
#include "vmgs/storage/new_file.h"
#include "vmgs/uefi/boot_option.h"
#include "vmgs/uefi/signature_list.h"

namespace tools::vmgs::vmgstool {

namespace storage = ::vmgs::storage;
namespace uefi = ::vmgs::uefi;
namespace volume = ::vmgs::volume;

namespace {

constexpr std::size_t kLineWidth = 80;

// With `truncate` about as much as has room on a line behind `prefix`.
std::string data_line(const std::string& prefix, base::ByteView data, bool truncate) {
  const auto room = prefix.size() + 3 < kLineWidth ? (kLineWidth - prefix.size() - 3) / 2 : 0;
  if (!truncate || data.size() <= room) {
    return prefix + base::to_hex(data) + "\n";
  }
  return prefix + base::to_hex(data.first(room)) + "...\n";
}

std::string hex(std::uint64_t value) {
  std::ostringstream text;
  text << "0x" << std::hex << value;
  return text.str();
}

bool is_boot_option(const uefi::Variable& variable) {
  constexpr std::u16string_view kDigits = u"0123456789ABCDEFabcdef";
  return variable.name.size() == 8 && variable.name.starts_with(u"Boot") &&
         variable.name.find_first_not_of(kDigits, 4) == std::u16string::npos;
}

std::string option_text(const uefi::BootOption& option) {
  return "Load Option: attributes: " + std::string(option.is_active ? "1" : "0") +
         ", description: " + uefi::text_of(option.description) + "\n";
}

std::string signatures_text(const std::vector<uefi::SignatureList>& lists, bool truncate) {
  std::string text = "Signature Lists:\n";
  for (const auto& list : lists) {
    const bool is_hash = list.type == uefi::kSha256Signature;
    if (is_hash) {
      text += "  - [Sha256]\n";
    }
    for (const auto& signature : list.signatures) {
      const auto bytes = base::ByteView(signature);
      uefi::Guid owner{};
      std::ranges::copy(bytes.first(owner.size()), owner.begin());
      const std::string kind = is_hash                             ? "      - "
                               : list.type == uefi::kX509Signature ? "  - [X509] "
                                                                   : "  - [other] ";
      text += data_line(kind + "Signature Owner: " + uefi::to_string(owner) + " Data: ",
                        bytes.subspan(owner.size()), truncate);
    }
  }
  return text;
}

// What a variable means, as far as it can be read; its bytes otherwise.
std::string content_text(const uefi::Variable& variable, bool truncate) {
  const bool is_global = variable.vendor == uefi::kGlobalVariable;
  if (is_global && variable.name == u"BootOrder") {
    if (const auto order = uefi::decode_boot_order(variable.data)) {
      std::string text = "Boot Order:";
      for (const auto number : *order) {
        text += " " + std::to_string(number);
      }
      return text + "\n";
    }
  }
  if (is_global && is_boot_option(variable)) {
    if (const auto option = uefi::decode_boot_option(variable.data)) {
      return option_text(*option);
    }
  }
  for (const auto* const name :
       {u"PK", u"KEK", u"db", u"dbx", u"dbDefault", u"MokList", u"MokListX"}) {
    if (variable.name == name) {
      if (const auto lists = uefi::decode_signature_lists(variable.data)) {
        return signatures_text(*lists, truncate);
      }
    }
  }
  return data_line("data: ", variable.data, truncate);
}

std::string time_text(const uefi::Timestamp& time) {
  std::ostringstream text;
  const auto two = [](unsigned value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  text << time.year << "-" << two(time.month) << "-" << two(time.day) << " " << two(time.hour)
       << ":" << two(time.minute) << ":" << two(time.second);
  return text.str();
}

std::string text_of(const uefi::Variable& variable, bool truncate) {
  return "Vendor: \"" + uefi::to_string(variable.vendor) + "\"\nName: \"" +
         uefi::text_of(variable.name) + "\"\nAttributes: " + hex(variable.attributes) +
         "\nSize: " + hex(variable.data.size()) + "\nTimestamp: " + time_text(variable.timestamp) +
         "\n" + content_text(variable, truncate) + "\n";
}

// One commit for all of an edit: a crash leaves the old variables or the new ones.
Outcome<void> put_back(OpenStore& store, const StoredVariables& variables,
                       const UndoArguments& undo) {
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  transaction.put(variables.from, variables.store.content(),
                  store.volume.current().is_encrypted(variables.from) || !store.volume.encrypted()
                      ? volume::Protection::kAsStore
                      : volume::Protection::kPlaintext);
  return commit(store, std::move(transaction), undo);
}

Outcome<void> remove_boot_entries_of(OpenStore& store, const Arguments& arguments) {
  TOOL_TRY_ASSIGN(variables, open_variables(store));
  const auto* const order = variables.store.find(uefi::kGlobalVariable, u"BootOrder");
  if (order == nullptr) {
    return fail(Exit::kError, "NVRAM entry not found: BootOrder");
  }
  TOOL_TRY_ASSIGN(numbers, uefi::decode_boot_order(order->data));
  TOOL_TRY(variables.store.remove(uefi::kGlobalVariable, u"BootOrder"));
  std::string text;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto name = uefi::boot_option_name(numbers[i]);
    const auto* const option = variables.store.find(uefi::kGlobalVariable, name);
    if (option == nullptr) {
      // A number that leads nowhere is one more reason to clear the list.
      say("Warning: BootOrder names " + uefi::text_of(name) + ", which is not there");
      continue;
    }
    const auto decoded = uefi::decode_boot_option(option->data);
    text += std::to_string(i) + ": " + uefi::text_of(name) + ": " +
            (decoded ? option_text(*decoded) : decoded.error().message + "\n");
    TOOL_TRY(variables.store.remove(uefi::kGlobalVariable, name));
  }
  TOOL_TRY(print(text));
  return arguments.dry_run ? Outcome<void>() : put_back(store, variables, arguments.undo);
}

}  // namespace

Outcome<void> dump_variables(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(store, open(arguments.file_path, arguments.key_path, storage::Access::kReadOnly,
                              Locked::kAllowed));
  TOOL_TRY_ASSIGN(variables, open_variables(store));
  std::string text;
  for (const auto& variable : variables.store.variables()) {
    text += text_of(variable, arguments.truncate);
  }
  if (arguments.output_path.empty()) {
    return print(text);
  }
  return write_private(arguments.output_path, base::bytes_of(text));
}

Outcome<void> remove_boot_entries(const Arguments& arguments) {
  TOOL_TRY(change(arguments, Locked::kRefused,
                  [&](OpenStore& store) { return remove_boot_entries_of(store, arguments); }));
  return {};
}

Outcome<void> remove_variable(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(name, uefi::parse_name(arguments.name));
  TOOL_TRY_ASSIGN(vendor, uefi::parse_guid(arguments.vendor));
  const auto make = [&](OpenStore& store) -> Outcome<void> {
    TOOL_TRY_ASSIGN(variables, open_variables(store));
    TOOL_TRY(variables.store.remove(vendor, name));
    return put_back(store, variables, arguments.undo);
  };
  TOOL_TRY(change(arguments, Locked::kRefused, make));
  return {};
}

}  // namespace tools::vmgs::vmgstool
