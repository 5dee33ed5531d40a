// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/uefi_change.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "tools/cli/terminal.h"
#include "tools/vmgs/uefi_forecast.h"

namespace tools::vmgs {

namespace edit = ::vmgs::edit;
namespace format = ::vmgs::format;
namespace uefi = ::vmgs::uefi;
namespace volume = ::vmgs::volume;
using base::ErrorCode;
using format::FileId;

namespace {

// What a change came to.
struct Outcome {
  FileId file{};
  std::vector<edit::VariableDifference> differences;
  uefi::Room room;
  UefiForecast before;
  UefiForecast after;
};

base::Result<void> commit(OpenStore& store, FileId id, base::ByteView content) {
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  const bool stays_plaintext = store.volume.encrypted() && !store.volume.current().is_encrypted(id);
  transaction.put(id, content,
                  stays_plaintext ? volume::Protection::kPlaintext : volume::Protection::kAsStore);
  return store.volume.commit(transaction);
}

base::Result<Outcome> carry_out(
    OpenStore& store, const std::optional<keybroker::evidence::EventLog>& log,
    const std::function<base::Result<void>(uefi::VariableStore&)>& change) {
  TRY_ASSIGN(found, open_variables(store));
  const auto before = found.store.variables();
  Outcome outcome;
  outcome.file = found.from;
  TRY_ASSIGN(forecast_before, forecast(found.store, log));
  outcome.before = std::move(forecast_before);
  TRY(change(found.store));
  TRY_ASSIGN(forecast_after, forecast(found.store, log));
  outcome.after = std::move(forecast_after);
  outcome.differences = edit::compare_variables(before, found.store.variables());
  outcome.room = found.store.room();
  if (!outcome.differences.empty()) {
    TRY(commit(store, found.from, found.store.content()));
  }
  return outcome;
}

std::string to_text(const Outcome& outcome) {
  std::string text;
  for (const auto& each : outcome.differences) {
    text += std::string(name(each.change)) + " " + cli::printable(uefi::text_of(each.name)) + ": " +
            std::to_string(each.bytes_before) + " -> " + std::to_string(each.bytes_after) +
            " bytes\n";
  }
  if (outcome.differences.empty()) {
    return "nothing changes\n";
  }
  return text + std::to_string(outcome.room.available()) + " of " +
         std::to_string(outcome.room.capacity) + " bytes are left for variables\n" +
         to_text(outcome.before, outcome.after);
}

}  // namespace

void add_uefi_change_arguments(CLI::App& app, UefiChangeArguments& arguments) {
  add_change_arguments(app, arguments.change, Writing::kOnApply);
  app.add_option("--event-log", arguments.event_log,
                 "The log of an earlier boot, binary_bios_measurements: to forecast all of PCR 7")
      ->type_name("FROM");
}

base::Result<StoredVariables> open_variables(const OpenStore& store) {
  for (const auto& [id, form] : {std::pair(FileId::kUefiFlash, uefi::StoreForm::kFlash),
                                 std::pair(FileId::kBiosNvram, uefi::StoreForm::kBiosNvram)}) {
    if (!store.volume.contains(id)) {
      continue;
    }
    auto content = store.volume.read(id);
    if (!content) {
      return base::fail(std::move(content).error().context(format::describe(id)));
    }
    auto opened = uefi::VariableStore::open(form, base::copy_of(content->expose()));
    if (!opened) {
      return base::fail(std::move(opened).error().context(format::describe(id)));
    }
    return StoredVariables{id, *std::move(opened)};
  }
  return base::fail(ErrorCode::kNotFound, "the store holds no UEFI variables");
}

base::Result<void> change_variables(
    const UefiChangeArguments& arguments, cli::Output& output, boost::json::object& fields,
    std::string& text, const std::function<base::Result<void>(uefi::VariableStore&)>& change) {
  TRY_ASSIGN(log, read_event_log(arguments.event_log));
  Outcome outcome;
  TRY_ASSIGN(changed,
             change_store(arguments.change, output, [&](OpenStore& store) -> base::Result<void> {
               TRY_ASSIGN(done, carry_out(store, log, change));
               outcome = std::move(done);
               return {};
             }));
  fields["variables_in"] = format::index(outcome.file);
  fields["changes"] = to_json(outcome.differences);
  fields["room"] = {{"capacity_bytes", outcome.room.capacity},
                    {"used_bytes", outcome.room.used},
                    {"available_bytes", outcome.room.available()}};
  fields["forecast"] = to_json(outcome.before, outcome.after);
  return answer_change(output, arguments.change, "strongroom.vmgs.uefi-change/1", std::move(fields),
                       changed, text + to_text(outcome));
}

boost::json::array to_json(const std::vector<edit::VariableDifference>& differences) {
  boost::json::array array;
  for (const auto& each : differences) {
    array.push_back({{"name", uefi::text_of(each.name)},
                     {"vendor", uefi::to_string(each.vendor)},
                     {"change", name(each.change)},
                     {"bytes_before", each.bytes_before},
                     {"bytes_after", each.bytes_after}});
  }
  return array;
}

base::Result<const uefi::Variable*> find_variable(const uefi::VariableStore& store,
                                                  const std::string& text,
                                                  const std::string& vendor) {
  TRY_ASSIGN(name, uefi::parse_name(text));
  std::optional<uefi::Guid> wanted;
  if (!vendor.empty()) {
    TRY_ASSIGN(guid, uefi::parse_guid(vendor));
    wanted = guid;
  }
  const uefi::Variable* found = nullptr;
  for (const auto& each : store.variables()) {
    if (each.name != name || (wanted && each.vendor != *wanted)) {
      continue;
    }
    if (found != nullptr) {
      return base::fail(ErrorCode::kInvalidArgument,
                        "several vendors have a variable " + text + ": say with --vendor which");
    }
    found = &each;
  }
  if (found == nullptr) {
    return base::fail(ErrorCode::kNotFound, "there is no variable " + text);
  }
  return found;
}

}  // namespace tools::vmgs
