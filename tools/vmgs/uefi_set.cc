// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/vmgs/uefi_change.h"
#include "tools/vmgs/uefi_commands.h"

namespace tools::vmgs {

namespace {

namespace uefi = ::vmgs::uefi;
using base::ErrorCode;

constexpr std::size_t kMostVariableBytes = 1024 * 1024;

struct SetArguments {
  UefiChangeArguments change;
  std::string name;
  std::string vendor;
  std::string input = "-";
  std::uint32_t attributes = 0;  // 0: those it has, else NV, BS and RT
};

struct DeleteArguments {
  UefiChangeArguments change;
  std::vector<std::string> names;
  std::string vendor;
};

base::Result<void> set_variable(uefi::VariableStore& store, const SetArguments& arguments,
                                base::ByteView data) {
  uefi::Variable variable;
  if (const auto present = find_variable(store, arguments.name, arguments.vendor)) {
    variable = **present;
  } else if (present.error().code != ErrorCode::kNotFound) {
    return base::fail(present.error());
  } else if (arguments.vendor.empty()) {
    return base::fail(ErrorCode::kInvalidArgument, "there is no variable " + arguments.name +
                                                       " yet: say with --vendor whose it is to be");
  } else {
    TRY_ASSIGN(vendor, uefi::parse_guid(arguments.vendor));
    TRY_ASSIGN(name, uefi::parse_name(arguments.name));
    variable.vendor = vendor;
    variable.name = std::move(name);
    variable.attributes = uefi::kNonVolatile | uefi::kBootServiceAccess | uefi::kRuntimeAccess;
  }
  if (arguments.attributes != 0) {
    variable.attributes = arguments.attributes;
  }
  variable.data = base::copy_of(data);
  return store.set(std::move(variable));
}

base::Result<cli::ExitStatus> set(const SetArguments& arguments, cli::Output& output) {
  if (arguments.input == "-" && arguments.change.change.store.key == "-") {
    return base::fail(ErrorCode::kInvalidArgument, "stdin cannot be both the key and the content");
  }
  TRY_ASSIGN(data, cli::read_input(arguments.input, kMostVariableBytes));
  boost::json::object fields;
  std::string text;
  TRY(change_variables(arguments.change, output, fields, text, [&](uefi::VariableStore& store) {
    return set_variable(store, arguments, data.expose());
  }));
  return cli::ExitStatus::kDone;
}

base::Result<void> remove_named(uefi::VariableStore& store, const DeleteArguments& arguments) {
  for (const auto& name : arguments.names) {
    TRY_ASSIGN(found, find_variable(store, name, arguments.vendor));
    const auto variable = *found;
    TRY(store.remove(variable.vendor, variable.name));
  }
  return {};
}

base::Result<cli::ExitStatus> remove(const DeleteArguments& arguments, cli::Output& output) {
  boost::json::object fields;
  std::string text;
  TRY(change_variables(arguments.change, output, fields, text,
                       [&](uefi::VariableStore& store) { return remove_named(store, arguments); }));
  return cli::ExitStatus::kDone;
}

// "Boot" and four digits, of either case: firmware writes upper case, other tools do not.
bool is_boot_option(const uefi::Variable& variable) {
  constexpr std::u16string_view kDigits = u"0123456789ABCDEFabcdef";
  return variable.vendor == uefi::kGlobalVariable && variable.name.size() == 8 &&
         variable.name.starts_with(u"Boot") &&
         variable.name.find_first_not_of(kDigits, 4) == std::u16string::npos;
}

base::Result<void> remove_options(uefi::VariableStore& store) {
  std::vector<std::u16string> names;
  for (const auto& each : store.variables()) {
    const bool is_list = each.vendor == uefi::kGlobalVariable &&
                         (each.name == u"BootOrder" || each.name == u"BootNext");
    if (is_list || is_boot_option(each)) {
      names.push_back(each.name);
    }
  }
  if (names.empty()) {
    return base::fail(ErrorCode::kNotFound, "the store has no boot entries");
  }
  for (const auto& name : names) {
    TRY(store.remove(uefi::kGlobalVariable, name));
  }
  return {};
}

base::Result<cli::ExitStatus> remove_boot_entries(const UefiChangeArguments& arguments,
                                                  cli::Output& output) {
  boost::json::object fields;
  std::string text;
  TRY(change_variables(arguments, output, fields, text, remove_options));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command uefi_set_command() {
  return {.name = "set",
          .summary = "Give a UEFI variable content, adding it if it is not there",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<SetArguments>();
            add_uefi_change_arguments(app, arguments->change);
            app.add_option("NAME", arguments->name, "The variable")->required();
            app.add_option("--vendor", arguments->vendor,
                           "Its vendor: a GUID, or a name such as EFI_GLOBAL_VARIABLE")
                ->type_name("GUID");
            app.add_option("--attributes", arguments->attributes,
                           "Its attributes, such as 7 for non-volatile, boot and runtime access");
            app.add_option("--input", arguments->input,
                           "Where the content comes from: a file, or - for stdin")
                ->type_name("FROM");
            return [arguments](cli::Output& output) { return set(*arguments, output); };
          }};
}

cli::Command uefi_delete_command() {
  return {.name = "delete",
          .summary = "Take UEFI variables out of a store, in one commit",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<DeleteArguments>();
            add_uefi_change_arguments(app, arguments->change);
            app.add_option("NAME", arguments->names, "A variable")->required();
            app.add_option("--vendor", arguments->vendor, "Their vendor, as for set")
                ->type_name("GUID");
            return [arguments](cli::Output& output) { return remove(*arguments, output); };
          }};
}

cli::Command uefi_remove_boot_entries_command() {
  return {.name = "remove-boot-entries",
          .summary = "Make firmware look for something to boot: delete every boot entry",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<UefiChangeArguments>();
            add_uefi_change_arguments(app, *arguments);
            return [arguments](cli::Output& output) {
              return remove_boot_entries(*arguments, output);
            };
          }};
}

}  // namespace tools::vmgs
