// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"
#include "vmgs/repair/examine.h"

namespace tools::vmgs {

namespace {

namespace repair = ::vmgs::repair;
namespace volume = ::vmgs::volume;

// What is wrong with the packaging is a finding too; a file that is missing, in use or closed to
// this user is not, so it is opened for that alone first.
base::Result<repair::Examination> examine(const StoreArguments& store,
                                          const volume::DatastoreKey* key) {
  TRY(::vmgs::storage::FileDevice::open(store.path, ::vmgs::storage::Access::kReadOnly));
  const auto container = open_container(store, ::vmgs::storage::Access::kReadOnly);
  if (container) {
    return repair::examine_container(*container, key);
  }
  const auto& error = container.error();
  if (error.code != base::ErrorCode::kCorrupt && error.code != base::ErrorCode::kDenied) {
    return base::fail(error);
  }
  return repair::Examination{
      {{"bad-container", volume::Severity::kError, "container", error.message}}};
}

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

base::Result<cli::ExitStatus> check(const StoreArguments& store, cli::Output& output) {
  std::optional<volume::DatastoreKey> key;
  if (!store.key.empty()) {
    TRY_ASSIGN(read, cli::read_key(store.key));
    key = std::move(read);
  }
  TRY_ASSIGN(examination, examine(store, key ? &*key : nullptr));
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
