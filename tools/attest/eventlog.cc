// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <memory>

#include "keybroker/evidence/replay.h"
#include "keybroker/evidence/secure_boot.h"
#include "keybroker/evidence/signature_database.h"
#include "tools/attest/commands.h"
#include "tools/attest/verdict_text.h"
#include "tools/collateral/read.h"

namespace tools::attest {

namespace {

namespace json = boost::json;
using namespace keybroker::evidence;

struct Arguments {
  std::string log;
  std::string bank;
  bool rtmrs = false;
  bool whole = false;
};

// What an event is about, where its data say so; text of a log is shown as far as it is printable.
std::string about(const LogEvent& event) {
  constexpr std::size_t kMostText = 100;
  if (event.type == EventType::kEfiVariableDriverConfig ||
      event.type == EventType::kEfiVariableBoot || event.type == EventType::kEfiVariableAuthority) {
    constexpr std::size_t kShimStray = 8;
    const auto variable = decode_efi_variable(event.data, kShimStray);
    return variable ? variable->plain_name() + " (" + std::to_string(variable->content.size()) +
                          " bytes)"
                    : variable.error().message;
  }
  std::string text;
  for (const auto byte : event.data) {
    const auto c = std::to_integer<char>(byte);
    if (c == '\0') {
      continue;
    }
    if (c < ' ' || c > '~' || text.size() == kMostText) {
      return std::to_string(event.data.size()) + " bytes";
    }
    text.push_back(c);
  }
  return text;
}

// The bank that is asked for, or the strongest that the log has.
base::Result<keybroker::crypto::Hash> bank_of(const Arguments& arguments, const EventLog& log) {
  using keybroker::crypto::Hash;
  if (!arguments.bank.empty()) {
    const auto bank = parse_bank(arguments.bank);
    if (!bank || !log.has_bank(tpm_of_hash(*bank))) {
      return base::fail(base::ErrorCode::kNotFound, "the log has no bank '" + arguments.bank + "'");
    }
    return *bank;
  }
  for (const auto bank : {Hash::kSha256, Hash::kSha384, Hash::kSha512, Hash::kSha1}) {
    if (log.has_bank(tpm_of_hash(bank))) {
      return bank;
    }
  }
  return base::fail(base::ErrorCode::kNotFound, "the log has no bank that is known here");
}

std::string register_name(const Arguments& arguments, std::uint32_t index) {
  if (!arguments.rtmrs) {
    return "pcr" + std::to_string(index);
  }
  return index == 0 ? "mrtd" : "rtmr" + std::to_string(index - 1);
}

json::object to_json(const LogEvent& event, keybroker::crypto::Hash bank,
                     const Arguments& arguments) {
  json::object object{{"number", event.number},
                      {"register", register_name(arguments, event.index)},
                      {"type", event_type_name(event.type)},
                      {"about", about(event)}};
  if (const auto* digest = event.digest(tpm_of_hash(bank))) {
    object["digest"] = base::to_hex(*digest);
  }
  if (const auto covered = data_matches(event, bank)) {
    object["digest_covers_data"] = *covered;
  }
  if (arguments.whole) {
    object["data"] = base::to_hex(event.data);
  }
  return object;
}

std::string line_of(const json::object& event) {
  const auto text = [&](const char* name) {
    const auto* value = event.if_contains(name);
    return value == nullptr ? std::string() : std::string(value->get_string());
  };
  auto line = std::to_string(event.at("number").to_number<std::size_t>()) + " " + text("register") +
              " " + text("type") + " " + text("digest").substr(0, 16) + " " + text("about");
  if (const auto* covers = event.if_contains("digest_covers_data");
      covers != nullptr && !covers->get_bool()) {
    line += " (its digest does not cover its data)";
  }
  return line + "\n" + (event.contains("data") ? "  " + text("data") + "\n" : "");
}

json::object registers_json(const Replay& replayed, const Arguments& arguments) {
  json::object registers;
  for (const auto& [index, value] : replayed) {
    registers[register_name(arguments, index)] =
        json::object{{"value", base::to_hex(value.value)}, {"events", value.events.size()}};
  }
  return registers;
}

base::Result<cli::ExitStatus> show(Arguments arguments, cli::Output& output) {
  TRY_ASSIGN(bytes, collateral::read_bytes(arguments.log, kMaxLogBytes));
  TRY_ASSIGN(log, decode_event_log(bytes));
  // The header of a CC log stands in a register of its own count, which begins at one.
  arguments.rtmrs = arguments.rtmrs || log.header_index != 0;
  TRY_ASSIGN(bank, bank_of(arguments, log));
  const auto registers = arguments.rtmrs ? Registers::kRtmrs : Registers::kPcrs;
  TRY_ASSIGN(replayed, replay(log, bank, registers));
  const auto boot = keybroker::evidence::to_json(read_secure_boot(log, bank, registers));
  json::array events;
  for (const auto& event : log.events) {
    events.push_back(to_json(event, bank, arguments));
  }
  if (output.json()) {
    TRY(output.document("strongroom.attest.eventlog/1",
                        {{"bank", bank_name(bank)},
                         {"events", std::move(events)},
                         {"registers", registers_json(replayed, arguments)},
                         {"boot", boot}}));
    return cli::ExitStatus::kDone;
  }
  std::string text;
  for (const auto& event : events) {
    text += line_of(event.get_object());
  }
  text += "\nwhat the registers hold if this log is the truth (" + bank_name(bank) + ")\n";
  for (const auto& [index, value] : replayed) {
    if (!value.events.empty()) {
      text += register_name(arguments, index) + ": " + base::to_hex(value.value) + "\n";
    }
  }
  text += "\nboot\n" + lines_of(boot);
  TRY(output.text(text));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command eventlog_command() {
  return {.name = "eventlog",
          .summary = "Show a firmware event log, what it leads to and the boot that it tells of",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.add_option("LOG", arguments->log, "binary_bios_measurements or CCEL; - for stdin")
                ->required();
            app.add_option("--bank", arguments->bank, "sha256, sha384, sha512 or sha1");
            app.add_flag("--rtmr", arguments->rtmrs,
                         "The log is of a TD's RTMRs and does not say so itself");
            app.add_flag("--data", arguments->whole, "Show each event's data as well");
            return [arguments](cli::Output& output) { return show(*arguments, output); };
          }};
}

}  // namespace tools::attest
