// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <utility>

#include "tools/cli/stream.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"
#include "tools/vmgs/undo_option.h"
#include "tools/vmgs/whole_file.h"
#include "vmgs/repair/plan.h"

namespace tools::vmgs {

namespace {

namespace repair = ::vmgs::repair;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

struct RepairArguments {
  StoreArguments store;
  bool apply = false;
  std::vector<std::string> accepted;
  std::vector<std::string> dropped;
  std::optional<std::uint32_t> file_table;
  UndoArguments undo;
};

base::Result<repair::Wishes> wishes_of(const RepairArguments& arguments) {
  repair::Wishes wishes;
  wishes.accepted.insert(arguments.accepted.begin(), arguments.accepted.end());
  for (const auto& text : arguments.dropped) {
    TRY_ASSIGN(id, parse_content_id(text));
    wishes.dropped.insert(id);
  }
  wishes.file_table = arguments.file_table;
  return wishes;
}

bool all_well(const repair::Plan& plan) {
  const auto has_error = [](const std::vector<volume::Finding>& findings) {
    return std::any_of(findings.begin(), findings.end(), [](const volume::Finding& finding) {
      return finding.severity == volume::Severity::kError;
    });
  };
  return !has_error(plan.open) && !has_error(plan.after);
}

base::Result<void> answer(cli::Output& output, const RepairArguments& arguments,
                          const repair::Plan& plan, const std::optional<std::string>& undo_file) {
  if (output.json()) {
    boost::json::array steps;
    for (const auto& step : plan.steps) {
      steps.push_back({{"code", step.code}, {"where", step.where}, {"message", step.message}});
    }
    return output.document(
        "strongroom.vmgs.repair/1",
        {{"file", arguments.store.path},
         {"steps", std::move(steps)},
         {"open", to_json(plan.open)},
         {"applied", arguments.apply && !plan.steps.empty()},
         {"clean", all_well(plan)},
         {"findings", to_json(plan.after)},
         {"undo_file", undo_file ? boost::json::value(*undo_file) : boost::json::value()}});
  }
  std::string text;
  for (const auto& step : plan.steps) {
    text += (arguments.apply ? "done " : "step ") + step.code + ": " + step.where + ": " +
            step.message + "\n";
  }
  for (const auto& open : plan.open) {
    text += "open " + open.code + ": " + open.where + ": " + open.message + "\n";
  }
  if (plan.steps.empty()) {
    text += plan.open.empty() ? "nothing to repair\n" : "nothing was repaired\n";
  } else if (!arguments.apply) {
    text += "nothing was written: say --apply to carry this out\n";
  }
  return output.text(text);
}

base::Result<cli::ExitStatus> run(const RepairArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(wishes, wishes_of(arguments));
  TRY_ASSIGN(key, read_key_of(arguments.store));
  TRY_ASSIGN(file, open_whole_file(arguments.store, arguments.apply, arguments.undo));
  TRY_ASSIGN(plan, repair::plan_repair(*file.device, file.patient, key ? &*key : nullptr, wishes));
  std::optional<std::string> undo_file;
  if (arguments.apply) {
    TRY_ASSIGN(undo, carry_out(file, arguments.store, plan.steps, output));
    undo_file = undo;
    // What counts is what the file says now, not what the plan hoped for.
    TRY_ASSIGN(after, repair::examine_whole(*file.device, file.patient, key ? &*key : nullptr));
    plan.after = std::move(after);
  }
  TRY(answer(output, arguments, plan, undo_file));
  return all_well(plan) ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

}  // namespace

cli::Command repair_command() {
  return {.name = "repair",
          .summary = "Say how a damaged store can be repaired, and with --apply do it",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<RepairArguments>();
            add_store_arguments(app, arguments->store);
            app.add_flag("--apply", arguments->apply,
                         "Do it; otherwise only say what would be done");
            app.add_option("--accept", arguments->accepted,
                           "A word that the plan asks for, where a repair changes what reads")
                ->type_name("CODE");
            app.add_option("--drop", arguments->dropped,
                           "A file that does not read and may be taken out")
                ->type_name("ID");
            app.add_option("--table", arguments->file_table,
                           "The block of the file table to take, where several could be the state")
                ->type_name("BLOCK");
            add_undo_arguments(app, arguments->undo);
            return [arguments](cli::Output& output) { return run(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
