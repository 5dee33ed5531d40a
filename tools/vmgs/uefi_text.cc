// SPDX-License-Identifier: Apache-2.0
#include <boost/json/array.hpp>
#include <iomanip>
#include <set>
#include <sstream>

#include "tools/vmgs/uefi_report.h"
#include "vmgs/base/bytes.h"

namespace tools::vmgs {

namespace uefi = ::vmgs::uefi;
namespace json = boost::json;
using uefi::Variable;

namespace {

// More hashes than anybody reads; the JSON has them all.
constexpr std::size_t kMaxHashesInText = 4;

std::vector<const Variable*> listed(const UefiVariables& variables, bool all) {
  if (!all) {
    return uefi::current(variables.all);
  }
  std::vector<const Variable*> every;
  for (const auto& each : variables.all) {
    every.push_back(&each);
  }
  return every;
}

std::string time_text(const uefi::Timestamp& time) {
  if (time == uefi::Timestamp()) {
    return "";
  }
  std::ostringstream text;
  text << std::setfill('0') << std::setw(4) << time.year << '-' << std::setw(2) << int{time.month}
       << '-' << std::setw(2) << int{time.day} << 'T' << std::setw(2) << int{time.hour} << ':'
       << std::setw(2) << int{time.minute} << ':' << std::setw(2) << int{time.second} << 'Z';
  return text.str();
}

// Whoever writes variables does not write to the terminal of whoever reads them.
std::string printable(std::string text) {
  for (auto& each : text) {
    if (static_cast<unsigned char>(each) < 0x20 || each == 0x7f) {
      each = '?';
    }
  }
  return text;
}

std::string vendor_text(const uefi::Guid& vendor) {
  const auto known = uefi::known_name(vendor);
  return known.empty() ? uefi::to_string(vendor) : std::string(known);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

json::value or_null(const std::string& text) {
  return text.empty() ? json::value() : json::value(text);
}

json::object json_of(const Variable& variable) {
  const auto known = uefi::known_name(variable.vendor);
  json::array attributes;
  for (const auto& each : uefi::attribute_names(variable.attributes)) {
    attributes.emplace_back(each);
  }
  return {{"name", uefi::text_of(variable.name)},
          {"vendor", uefi::to_string(variable.vendor)},
          {"vendor_name", or_null(std::string(known))},
          {"attributes", std::move(attributes)},
          {"size_bytes", variable.data.size()},
          {"state", uefi::name(variable.state)},
          {"time", or_null(time_text(variable.timestamp))}};
}

json::object json_of(const EnrolledSignature& signature) {
  json::object object = {{"type", signature.type}, {"owner", signature.owner}};
  const std::pair<const char*, const std::string*> fields[] = {
      {"subject", &signature.subject},       {"issuer", &signature.issuer},
      {"not_before", &signature.not_before}, {"not_after", &signature.not_after},
      {"sha256", &signature.sha256},         {"trouble", &signature.trouble}};
  for (const auto& [name, text] : fields) {
    if (!text->empty()) {
      object[name] = *text;
    }
  }
  return object;
}

void put_variables(std::ostream& text, const UefiVariables& variables, bool all) {
  text << "variables   " << uefi::current(variables.all).size() << " in "
       << ::vmgs::format::describe(variables.from) << ", " << variables.used_bytes << " of "
       << variables.store_bytes << " bytes used\n\n"
       << "     SIZE  NAME\n";
  for (const auto* each : listed(variables, all)) {
    text << std::setw(9) << each->data.size() << "  " << printable(uefi::text_of(each->name))
         << "  " << vendor_text(each->vendor) << "  "
         << joined(uefi::attribute_names(each->attributes));
    if (each->state != uefi::State::kCurrent) {
      text << "  " << uefi::name(each->state);
    }
    text << "\n";
  }
}

void put_database(std::ostream& text, const SignatureDatabase& database) {
  text << "  " << database.name << ": ";
  if (!database.trouble.empty()) {
    text << "cannot be read: " << database.trouble << "\n";
    return;
  }
  text << database.signatures.size()
       << (database.signatures.size() == 1 ? " entry\n" : " entries\n");
  std::size_t hashes = 0;
  for (const auto& each : database.signatures) {
    if (each.type == "x509" && each.trouble.empty()) {
      text << "    certificate " << printable(each.subject) << "\n      issuer "
           << printable(each.issuer) << "\n      from " << each.not_before << " to "
           << each.not_after << "\n      sha256 " << each.sha256 << "\n";
    } else if (each.type == "sha256") {
      if (++hashes <= kMaxHashesInText) {
        text << "    sha256 " << each.sha256 << "\n";
      }
    } else {
      text << "    " << each.type << (each.trouble.empty() ? "" : ": " + each.trouble) << "\n";
    }
  }
  if (hashes > kMaxHashesInText) {
    text << "    and " << hashes - kMaxHashesInText << " more hashes\n";
  }
}

const char* secure_boot_text(const std::string& state) {
  if (state == "on") {
    return "on";
  }
  return state == "off" ? "off, though a platform key is enrolled"
                        : "in setup mode: no platform key is enrolled, and anything boots";
}

}  // namespace

json::object to_json(const UefiVariables& variables, const UefiReport& report, bool all) {
  json::array list;
  for (const auto* each : listed(variables, all)) {
    list.push_back(json_of(*each));
  }
  json::array databases;
  for (const auto& each : report.databases) {
    json::array signatures;
    for (const auto& signature : each.signatures) {
      signatures.push_back(json_of(signature));
    }
    databases.push_back({{"name", each.name},
                         {"signatures", std::move(signatures)},
                         {"trouble", or_null(each.trouble)}});
  }
  json::array boot;
  for (const auto& each : report.boot) {
    boot.push_back({{"name", each.name},
                    {"description", each.description},
                    {"active", each.is_active},
                    {"in_order", each.is_in_order},
                    {"trouble", or_null(each.trouble)}});
  }
  return {{"from", ::vmgs::format::name(variables.from)},
          {"store_bytes", variables.store_bytes},
          {"used_bytes", variables.used_bytes},
          {"variables", std::move(list)},
          {"secure_boot", {{"state", report.secure_boot}, {"databases", std::move(databases)}}},
          {"boot", {{"entries", std::move(boot)}, {"trouble", or_null(report.boot_trouble)}}}};
}

std::string to_text(const UefiVariables& variables, const UefiReport& report, bool all) {
  std::ostringstream text;
  put_variables(text, variables, all);
  text << "\nSecure Boot is " << secure_boot_text(report.secure_boot) << "\n";
  for (const auto& each : report.databases) {
    put_database(text, each);
  }
  text << "\nboot order\n";
  if (!report.boot_trouble.empty()) {
    text << "  " << report.boot_trouble << "\n";
  }
  for (const auto& each : report.boot) {
    text << "  " << each.name << "  "
         << (each.trouble.empty() ? printable(each.description) : each.trouble)
         << (each.is_active || !each.trouble.empty() ? "" : "  (inactive)")
         << (each.is_in_order ? "" : "  (not in the order)") << "\n";
  }
  return text.str();
}

}  // namespace tools::vmgs
