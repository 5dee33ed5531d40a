// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/uefi_forecast.h"

#include <boost/json/array.hpp>
#include <utility>

#include "keybroker/evidence/secure_boot_forecast.h"
#include "tools/cli/stream.h"
#include "tools/vmgs/uefi_report.h"

namespace tools::vmgs {

namespace evidence = keybroker::evidence;
namespace uefi = ::vmgs::uefi;

namespace {

constexpr auto kBank = keybroker::crypto::Hash::kSha256;

// In the order in which EDK2 measures them (SecurityPkg/Tcg/Tcg2Dxe).
std::vector<evidence::EfiVariable> measured_variables(const uefi::VariableStore& store,
                                                      bool is_on) {
  std::vector<evidence::EfiVariable> measured;
  measured.push_back({.guid = uefi::kGlobalVariable,
                      .name = u"SecureBoot",
                      .content = {is_on ? std::byte{1} : std::byte{0}}});
  const std::pair<uefi::Guid, std::u16string> keys[] = {{uefi::kGlobalVariable, u"PK"},
                                                        {uefi::kGlobalVariable, u"KEK"},
                                                        {uefi::kImageSecurityDatabase, u"db"},
                                                        {uefi::kImageSecurityDatabase, u"dbx"}};
  for (const auto& [vendor, name] : keys) {
    const auto* const variable = store.find(vendor, name);
    measured.push_back({.guid = vendor,
                        .name = name,
                        .content = variable == nullptr ? base::Bytes() : variable->data});
  }
  return measured;
}

}  // namespace

base::Result<std::optional<evidence::EventLog>> read_event_log(const std::string& path) {
  if (path.empty()) {
    return std::optional<evidence::EventLog>();
  }
  TRY_ASSIGN(bytes, cli::read_input(path, evidence::kMaxLogBytes));
  auto log = evidence::decode_event_log(bytes.expose());
  if (!log) {
    return base::fail(std::move(log).error().context(path));
  }
  return std::optional(*std::move(log));
}

base::Result<UefiForecast> forecast(const uefi::VariableStore& store,
                                    const std::optional<evidence::EventLog>& log) {
  UefiVariables variables;
  variables.all = store.variables();
  UefiForecast told;
  told.secure_boot = report_on(variables).secure_boot;
  const auto measured = measured_variables(store, told.secure_boot == "on");
  if (!log) {
    auto without = evidence::forecast_secure_boot(measured, kBank);
    told.pcr7 = std::move(without.pcr7);
    told.notes = std::move(without.notes);
    return told;
  }
  TRY_ASSIGN(with, evidence::forecast_secure_boot(measured, kBank, *log));
  told.pcr7 = std::move(with.pcr7);
  told.notes = std::move(with.notes);
  return told;
}

boost::json::object to_json(const UefiForecast& before, const UefiForecast& after) {
  boost::json::array notes(after.notes.begin(), after.notes.end());
  return {{"secure_boot_before", before.secure_boot},
          {"secure_boot_after", after.secure_boot},
          {"pcr7_sha256_before", base::to_hex(before.pcr7)},
          {"pcr7_sha256_after", base::to_hex(after.pcr7)},
          {"notes", std::move(notes)}};
}

std::string to_text(const UefiForecast& before, const UefiForecast& after) {
  std::string text;
  if (before.secure_boot != after.secure_boot) {
    text += "Secure Boot: " + before.secure_boot + " -> " + after.secure_boot + "\n";
  }
  if (before.pcr7 == after.pcr7) {
    return text + "PCR 7 stays\n";
  }
  text += "PCR 7 (sha256) changes, and with it what is sealed to it:\n  before " +
          base::to_hex(before.pcr7) + "\n  after  " + base::to_hex(after.pcr7) + "\n";
  for (const auto& note : after.notes) {
    text += "  " + note + "\n";
  }
  return text;
}

}  // namespace tools::vmgs
