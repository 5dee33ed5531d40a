// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <functional>
#include <string>
#include <vector>

#include "tools/vmgs/change.h"
#include "vmgs/base/result.h"
#include "vmgs/edit/difference.h"
#include "vmgs/uefi/variable_store.h"

namespace CLI {
class App;
}

namespace tools::vmgs {

// Where a store keeps its UEFI variables, and what they are.
struct StoredVariables {
  ::vmgs::format::FileId from = ::vmgs::format::FileId::kUefiFlash;
  ::vmgs::uefi::VariableStore store;
};

// open_variables() is kNotFound for a store that has none, or a flash in which no firmware has made
// its store yet; errors of reading it.
base::Result<StoredVariables> open_variables(const OpenStore& store);

// What a command that changes variables is told, besides what is its own.
struct UefiChangeArguments {
  ChangeArguments change;
  std::string event_log;  // of an earlier boot, for the forecast; empty: none
};

void add_uefi_change_arguments(CLI::App& app, UefiChangeArguments& arguments);

// change_variables() opens the store's variables, makes `edit` and commits the result as one change
// of one file, if it is another. The answer is document "strongroom.vmgs.uefi-change/1", or text:
// what changed, what room is left, Secure Boot and PCR 7 before and after. `fields` and `text` are
// what the command itself has to say, as `edit` left them. Errors of change_store() and of `edit`.
base::Result<void> change_variables(
    const UefiChangeArguments& arguments, cli::Output& output, boost::json::object& fields,
    std::string& text, const std::function<base::Result<void>(::vmgs::uefi::VariableStore&)>& edit);

// to_json() gives variables that differ as objects {name, vendor, change, bytes_before,
// bytes_after}.
boost::json::array to_json(const std::vector<::vmgs::edit::VariableDifference>& differences);

// find_variable() is the one variable of that name, of `vendor` (a GUID, or a name of one) unless
// that is empty. kNotFound without one; kInvalidArgument where several vendors have one.
base::Result<const ::vmgs::uefi::Variable*> find_variable(const ::vmgs::uefi::VariableStore& store,
                                                          const std::string& name,
                                                          const std::string& vendor);

}  // namespace tools::vmgs
