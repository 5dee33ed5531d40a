// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/uefi_exchange.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/vmgs/uefi_change.h"
#include "tools/vmgs/uefi_commands.h"
#include "vmgs/base/cursor.h"
#include "vmgs/storage/private_file.h"

namespace tools::vmgs {

namespace json = boost::json;
namespace uefi = ::vmgs::uefi;
using base::ErrorCode;

namespace {

constexpr std::size_t kMostExchangeBytes = 16 * 1024 * 1024;

struct ExportArguments {
  StoreArguments store;
  std::string output = "-";
};

struct ImportArguments {
  UefiChangeArguments change;
  std::string input;
  bool replace_all = false;
};

tl::unexpected<base::Error> malformed(const std::string& what) {
  return base::fail(ErrorCode::kCorrupt, "the variables to import: " + what);
}

base::Bytes encode(const uefi::Timestamp& time) {
  base::Writer writer;
  writer.u16_le(time.year);
  for (const auto part : {time.month, time.day, time.hour, time.minute, time.second}) {
    writer.u8(part);
  }
  writer.bytes(base::Bytes(9));
  return std::move(writer).take();
}

base::Result<uefi::Timestamp> decode_time(base::ByteView bytes) {
  base::Reader reader(bytes);
  uefi::Timestamp time;
  TRY_ASSIGN(year, reader.u16_le());
  time.year = year;
  for (auto* part : {&time.month, &time.day, &time.hour, &time.minute, &time.second}) {
    TRY_ASSIGN(value, reader.u8());
    *part = value;
  }
  return time;
}

// A member that is a string of hexadecimal digits.
base::Result<base::Bytes> hex_of(const json::object& object, std::string_view member) {
  const auto* const found = object.if_contains(member);
  if (found == nullptr || !found->is_string()) {
    return malformed("\"" + std::string(member) + "\" is no string");
  }
  return base::from_hex(std::string_view(found->get_string()));
}

base::Result<uefi::Variable> decode(const json::value& value) {
  const auto* const object = value.if_object();
  if (object == nullptr) {
    return malformed("one of them is no object");
  }
  const auto* const name = object->if_contains("name");
  const auto* const guid = object->if_contains("guid");
  const auto* const attributes = object->if_contains("attr");
  if (name == nullptr || !name->is_string() || guid == nullptr || !guid->is_string() ||
      attributes == nullptr || !attributes->is_int64() || attributes->get_int64() < 0 ||
      attributes->get_int64() > UINT32_MAX) {
    return malformed("each has a \"name\", a \"guid\" and a number \"attr\"");
  }
  uefi::Variable variable;
  TRY_ASSIGN(parsed_name, uefi::parse_name(std::string_view(name->get_string())));
  TRY_ASSIGN(vendor, uefi::parse_guid(std::string_view(guid->get_string())));
  TRY_ASSIGN(data, hex_of(*object, "data"));
  variable.name = std::move(parsed_name);
  variable.vendor = vendor;
  variable.attributes = static_cast<std::uint32_t>(attributes->get_int64());
  variable.data = std::move(data);
  if (object->contains("time")) {
    TRY_ASSIGN(raw, hex_of(*object, "time"));
    TRY_ASSIGN(time, decode_time(raw));
    variable.timestamp = time;
  }
  return variable;
}

base::Result<cli::ExitStatus> export_variables(const ExportArguments& arguments,
                                               cli::Output& output) {
  TRY_ASSIGN(store, open_store(arguments.store, ::vmgs::storage::Access::kReadOnly, output));
  TRY_ASSIGN(variables, open_variables(store));
  const auto text = to_exchange(variables.store.variables());
  if (arguments.output == "-") {
    TRY(output.text(text));
    return cli::ExitStatus::kDone;
  }
  TRY(::vmgs::storage::create_private_file(arguments.output, base::bytes_of(text)));
  if (output.json()) {
    TRY(output.document("strongroom.vmgs.uefi-export/1",
                        {{"file", arguments.store.path},
                         {"output", arguments.output},
                         {"variables", variables.store.variables().size()}}));
  }
  return cli::ExitStatus::kDone;
}

base::Result<void> take_in(uefi::VariableStore& store, const std::vector<uefi::Variable>& wanted,
                           bool replace_all) {
  if (replace_all) {
    const auto present = store.variables();
    for (const auto& each : present) {
      TRY(store.remove(each.vendor, each.name));
    }
  }
  for (const auto& each : wanted) {
    const auto* const present = store.find(each.vendor, each.name);
    const bool is_same = present != nullptr && present->data == each.data &&
                         present->attributes == each.attributes &&
                         present->timestamp == each.timestamp;
    // Firmware keeps volatile ones nowhere, and virt-fw-vars writes those too.
    if (!is_same && (each.attributes & uefi::kNonVolatile) != 0) {
      TRY(store.set(each));
    }
  }
  return {};
}

base::Result<cli::ExitStatus> import_variables(const ImportArguments& arguments,
                                               cli::Output& output) {
  TRY_ASSIGN(text, cli::read_input(arguments.input, kMostExchangeBytes));
  const auto bytes = text.expose();
  TRY_ASSIGN(wanted, from_exchange({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  json::object fields;
  std::string talk;
  TRY(change_variables(arguments.change, output, fields, talk, [&](uefi::VariableStore& store) {
    return take_in(store, wanted, arguments.replace_all);
  }));
  return cli::ExitStatus::kDone;
}

}  // namespace

std::string to_exchange(const std::vector<uefi::Variable>& variables) {
  json::array array;
  for (const auto& each : variables) {
    json::object object = {{"name", uefi::text_of(each.name)},
                           {"guid", uefi::to_string(each.vendor)},
                           {"attr", each.attributes},
                           {"data", base::to_hex(each.data)}};
    if (each.timestamp != uefi::Timestamp{}) {
      object["time"] = base::to_hex(encode(each.timestamp));
    }
    array.push_back(std::move(object));
  }
  return json::serialize(json::object{{"version", 2}, {"variables", std::move(array)}}) + "\n";
}

base::Result<std::vector<uefi::Variable>> from_exchange(std::string_view text) {
  json::error_code error;
  const auto document = json::parse({text.data(), text.size()}, error);
  const auto* const object = error ? nullptr : document.if_object();
  const auto* const listed = object == nullptr ? nullptr : object->if_contains("variables");
  if (listed == nullptr || !listed->is_array()) {
    return malformed("this is no JSON of virt-fw-vars or `vmgs uefi export`");
  }
  std::vector<uefi::Variable> variables;
  for (const auto& value : listed->get_array()) {
    TRY_ASSIGN(variable, decode(value));
    variables.push_back(std::move(variable));
  }
  return variables;
}

cli::Command uefi_export_command() {
  return {.name = "export",
          .summary = "Write every UEFI variable as the JSON of virt-fw-vars",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<ExportArguments>();
            add_store_arguments(app, arguments->store);
            app.add_option("--output", arguments->output,
                           "Where it goes: a new file, made for its owner alone, or - for stdout")
                ->type_name("TO");
            return
                [arguments](cli::Output& output) { return export_variables(*arguments, output); };
          }};
}

cli::Command uefi_import_command() {
  return {
      .name = "import",
      .summary = "Set UEFI variables as a JSON of `export` or virt-fw-vars has them",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<ImportArguments>();
        add_uefi_change_arguments(app, arguments->change);
        app.add_option("INPUT", arguments->input, "The JSON: a file, or - for stdin")->required();
        app.add_flag("--replace-all", arguments->replace_all,
                     "Delete every variable that it does not have");
        return [arguments](cli::Output& output) { return import_variables(*arguments, output); };
      }};
}

}  // namespace tools::vmgs
