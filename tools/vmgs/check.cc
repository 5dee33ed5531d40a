// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <utility>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/whole_file.h"
#include "vmgs/repair/examine.h"

namespace tools::vmgs {

namespace {

namespace repair = ::vmgs::repair;
namespace volume = ::vmgs::volume;

base::Result<void> answer(cli::Output& output, const StoreArguments& store,
                          const repair::Examination& examination) {
  if (output.json()) {
    return output.document("strongroom.vmgs.check/1",
                           {{"file", store.path},
                            {"clean", examination.clean()},
                            {"with_key", !store.key.empty()},
                            {"findings", to_json(examination.findings)}});
  }
  std::string text;
  std::size_t errors = 0;
  for (const auto& finding : examination.findings) {
    errors += finding.severity == volume::Severity::kError ? 1U : 0U;
    text += std::string(name(finding.severity)) + " " + finding.code + ": " + finding.where + ": " +
            finding.message + "\n";
  }
  text += errors == 0 ? "clean: no error was found\n"
                      : "not clean: " + std::to_string(errors) +
                            (errors == 1 ? " error was found\n" : " errors were found\n");
  return output.text(text);
}

// The whole file, packaging included, as `vmgs repair` sees it.
base::Result<cli::ExitStatus> check(const StoreArguments& store, cli::Output& output) {
  TRY_ASSIGN(key, read_key_of(store));
  TRY_ASSIGN(file, open_whole_file(store, /*to_change=*/false, {}));
  TRY_ASSIGN(findings, repair::examine_whole(*file.device, file.patient, key ? &*key : nullptr));
  const repair::Examination examination{std::move(findings)};
  TRY(answer(output, store, examination));
  return examination.clean() ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

}  // namespace

cli::Command check_command() {
  return {.name = "check",
          .summary = "Say everything that is wrong with a store, changing nothing",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto store = std::make_shared<StoreArguments>();
            add_store_arguments(app, *store);
            return [store](cli::Output& output) { return check(*store, output); };
          }};
}

}  // namespace tools::vmgs
