// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli/terminal.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"
#include "tools/vmgs/uefi_change.h"
#include "tools/vmgs/uefi_report.h"
#include "vmgs/edit/difference.h"
#include "vmgs/volume/headers.h"

namespace tools::vmgs {

namespace {

namespace edit = ::vmgs::edit;
namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;
namespace uefi = ::vmgs::uefi;
namespace volume = ::vmgs::volume;

struct DiffArguments {
  StoreArguments before;
  StoreArguments after;  // no path: the newest generation of the first
};

struct Differences {
  std::vector<edit::FileDifference> files;
  std::vector<edit::VariableDifference> variables;

  [[nodiscard]] bool none() const { return files.empty() && variables.empty(); }
};

// The variables of a generation; none where there are none, or none that can be read.
std::vector<uefi::Variable> variables_of(const edit::Compared& compared) {
  const auto found = read_uefi_variables([&](format::FileId id) {
    const auto& table = compared.generation.table();
    return table && (*table)[id] ? compared.generation.read_file(compared.device, id)
                                 : base::Result<base::SecretBytes>(
                                       base::fail(base::ErrorCode::kNotFound, "it is not there"));
  });
  std::vector<uefi::Variable> variables;
  if (found) {
    for (const auto* each : uefi::current(found->all)) {
      variables.push_back(*each);
    }
  }
  return variables;
}

base::Result<Differences> compare(const edit::Compared& before, const edit::Compared& after) {
  Differences differences;
  TRY_ASSIGN(files, edit::compare_files(before, after));
  differences.files = std::move(files);
  differences.variables = edit::compare_variables(variables_of(before), variables_of(after));
  return differences;
}

// The generation before the newest, unlocked if there is a key that opens it.
base::Result<volume::Generation> older_of(const OpenStore& store, const std::string& key_from) {
  auto& device = *store.container.device;
  TRY_ASSIGN(slots, volume::read_header_slots(device, store.container.spacing));
  TRY_ASSIGN(order, volume::order_headers(slots));
  if (!order.older) {
    return base::fail(base::ErrorCode::kNotFound,
                      "the store has one generation only: there is nothing to compare with");
  }
  TRY_ASSIGN(older, volume::Generation::read(device, *order.older, *slots[*order.older].header));
  if (!key_from.empty() && older.header().encrypted) {
    TRY_ASSIGN(key, read_store_key(key_from));
    TRY(older.unlock(device, key));
  }
  return older;
}

std::string size_text(const edit::FileDifference& file) {
  const auto of = [](const std::optional<std::uint64_t>& bytes) {
    return bytes ? std::to_string(*bytes) : std::string("-");
  };
  return of(file.bytes_before) + " -> " + of(file.bytes_after) + " bytes";
}

std::string to_text(const Differences& differences) {
  std::string text;
  for (const auto& file : differences.files) {
    text += std::string(name(file.change)) + " " + format::describe(file.id) + ": " +
            size_text(file) + (file.protection_differs ? ", encrypted in one only" : "") +
            (file.trouble.empty() ? "" : " (" + file.trouble + ")") + "\n";
  }
  for (const auto& variable : differences.variables) {
    text += std::string(name(variable.change)) + " variable " +
            cli::printable(uefi::text_of(variable.name)) + " of " +
            uefi::to_string(variable.vendor) + ": " + std::to_string(variable.bytes_before) +
            " -> " + std::to_string(variable.bytes_after) + " bytes\n";
  }
  return differences.none() ? "no difference\n" : text;
}

boost::json::object to_json(const Differences& differences) {
  boost::json::array files;
  for (const auto& file : differences.files) {
    const auto bytes = [](const std::optional<std::uint64_t>& count) {
      return count ? boost::json::value(*count) : boost::json::value();
    };
    files.push_back({{"id", format::index(file.id)},
                     {"change", name(file.change)},
                     {"bytes_before", bytes(file.bytes_before)},
                     {"bytes_after", bytes(file.bytes_after)},
                     {"protection_differs", file.protection_differs},
                     {"trouble", file.trouble}});
  }
  return {{"same", differences.none()},
          {"files", std::move(files)},
          {"variables", tools::vmgs::to_json(differences.variables)}};
}

base::Result<Differences> compare_stores(const DiffArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(before, open_store(arguments.before, storage::Access::kReadOnly, output));
  if (arguments.after.path.empty()) {
    TRY_ASSIGN(older, older_of(before, arguments.before.key));
    auto& device = *before.container.device;
    return compare({device, older}, {device, before.volume.current()});
  }
  TRY_ASSIGN(after, open_store(arguments.after, storage::Access::kReadOnly, output));
  return compare({*before.container.device, before.volume.current()},
                 {*after.container.device, after.volume.current()});
}

base::Result<cli::ExitStatus> diff(const DiffArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(differences, compare_stores(arguments, output));
  if (output.json()) {
    auto fields = to_json(differences);
    fields["file"] = arguments.before.path;
    fields["other"] = arguments.after.path;
    TRY(output.document("strongroom.vmgs.diff/1", std::move(fields)));
  } else {
    TRY(output.text(to_text(differences)));
  }
  return differences.none() ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

}  // namespace

cli::Command diff_command() {
  return {.name = "diff",
          .summary = "Compare two stores, or the two generations of one, by file and UEFI variable",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<DiffArguments>();
            add_store_arguments(app, arguments->before);
            app.add_option("OTHER", arguments->after.path,
                           "The other store; without it the last two generations of FILE");
            app.add_option("--other-key", arguments->after.key, "Datastore key of OTHER, as --key")
                ->type_name("FROM");
            app.add_option("--other-sector-size", arguments->after.sector_bytes,
                           "Sector size that a raw OTHER was formatted with")
                ->check(CLI::IsMember({512, 4096}));
            return [arguments](cli::Output& output) { return diff(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
