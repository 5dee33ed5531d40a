// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/signed_data.h"
#include "tools/cli/stream.h"
#include "tools/cli/terminal.h"
#include "tools/vmgs/uefi_change.h"
#include "tools/vmgs/uefi_commands.h"
#include "vmgs/uefi/database_update.h"

namespace tools::vmgs {

namespace {

namespace uefi = ::vmgs::uefi;
using base::ErrorCode;

constexpr std::size_t kMostUpdateBytes = 1024 * 1024;

struct UpdateArguments {
  UefiChangeArguments change;
  std::string database;
  std::string update;
  bool append = false;
  bool replace = false;
  bool force = false;
};

std::string sentence(const UpdateArguments& arguments, const uefi::UpdateOutcome& outcome) {
  std::string text =
      arguments.database + ": " + std::to_string(outcome.before) + " signatures, " +
      (outcome.mode == uefi::UpdateMode::kAppend ? "of the update " : "replaced by ") +
      std::to_string(outcome.added) + (outcome.mode == uefi::UpdateMode::kAppend ? " are new" : "");
  if (outcome.known != 0) {
    text += ", " + std::to_string(outcome.known) + " are there already";
  }
  text += "; then " + std::to_string(outcome.after) + "\n";
  if (!outcome.is_signed) {
    return text + "the update is not signed\n";
  }
  return text + (outcome.signed_by.empty()
                     ? "its signature was not looked at\n"
                     : "signed by " + cli::printable(outcome.signed_by) + "\n");
}

boost::json::object describe(const UpdateArguments& arguments, const uefi::UpdateOutcome& outcome) {
  return {{"database", arguments.database},
          {"mode", outcome.mode == uefi::UpdateMode::kAppend ? "append" : "replace"},
          {"signatures_before", outcome.before},
          {"signatures_after", outcome.after},
          {"added", outcome.added},
          {"known", outcome.known},
          {"signed", outcome.is_signed},
          {"signed_by", outcome.signed_by}};
}

base::Result<cli::ExitStatus> update(const UpdateArguments& arguments, cli::Output& output) {
  uefi::DatabaseUpdate wanted;
  TRY_ASSIGN(database, uefi::find_database(arguments.database));
  wanted.database = std::move(database);
  TRY_ASSIGN(bytes, cli::read_input(arguments.update, kMostUpdateBytes));
  wanted.bytes = base::copy_of(bytes.expose());
  if (arguments.append || arguments.replace) {
    wanted.mode = arguments.append ? uefi::UpdateMode::kAppend : uefi::UpdateMode::kReplace;
  }
  if (!arguments.force) {
    wanted.check = keybroker::crypto::verify_signed_data;
  }
  wanted.certificate_check = [](base::ByteView der) -> base::Result<void> {
    TRY(keybroker::crypto::Certificate::decode(der));
    return {};
  };
  boost::json::object fields;
  std::string text;
  TRY(change_variables(arguments.change, output, fields, text,
                       [&](uefi::VariableStore& store) -> base::Result<void> {
                         TRY_ASSIGN(outcome, uefi::update_database(store, wanted));
                         text = sentence(arguments, outcome);
                         fields["update"] = describe(arguments, outcome);
                         return {};
                       }));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command uefi_update_command() {
  return {
      .name = "update",
      .summary = "Update PK, KEK, db or dbx from signature lists or a signed update",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<UpdateArguments>();
        add_uefi_change_arguments(app, arguments->change);
        app.add_option("DATABASE", arguments->database, "PK, KEK, db, dbx, dbt or dbr")->required();
        app.add_option("UPDATE", arguments->update,
                       "Signature lists (ESL), or a signed update such as dbxupdate.bin")
            ->required();
        auto* append = app.add_flag("--append", arguments->append,
                                    "Add what is not there yet (default but for PK)");
        app.add_flag("--replace", arguments->replace, "Put it in place of what is there")
            ->excludes(append);
        app.add_flag("--force", arguments->force,
                     "Take a signed update though no enrolled key signed it");
        return [arguments](cli::Output& output) { return update(*arguments, output); };
      }};
}

}  // namespace tools::vmgs
