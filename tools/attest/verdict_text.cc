// SPDX-License-Identifier: Apache-2.0
#include "tools/attest/verdict_text.h"

#include <boost/json/serialize.hpp>

namespace tools::attest {

namespace {

namespace json = boost::json;
using namespace keybroker::evidence;

void append(const json::value& value, const std::string& name, std::string& out) {
  if (value.is_object()) {
    for (const auto& member : value.get_object()) {
      append(member.value(), (name.empty() ? "" : name + ".") + std::string(member.key()), out);
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.get_array().size(); ++i) {
      append(value.get_array()[i], name + "." + std::to_string(i + 1), out);
    }
  } else {
    out += name + ": " +
           (value.is_string() ? std::string(value.get_string()) : json::serialize(value)) + "\n";
  }
}

std::string_view mark(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPass:
      return "pass     ";
    case Outcome::kFail:
      return "FAIL     ";
    case Outcome::kNotRun:
      return "NOT RUN  ";
    case Outcome::kNotAsked:
      return "not asked";
  }
  return "";
}

std::string line_of(const Check& check) {
  auto line = std::string(mark(check.outcome)) + " " + check.name;
  if (check.reason) {
    line += " [" + std::string(card(*check.reason).code) + "]";
  }
  return line + (check.detail.empty() ? "" : ": " + check.detail) + "\n";
}

std::string first_line(const Verdict& verdict) {
  if (verdict.accepted) {
    return "accepted";
  }
  if (!verdict.reason) {
    return "refused: not everything could be checked";
  }
  const auto& known = card(*verdict.reason);
  return "refused: " + std::string(known.code) + " (" + std::string(name(known.stage)) +
         "): " + verdict.detail;
}

}  // namespace

std::string lines_of(const json::object& object) {
  std::string text;
  append(object, "", text);
  return text;
}

std::string text_of(const Verdict& verdict, RootClass root_class, Identifiers identifiers) {
  std::string text = root_class == RootClass::kSimulated
                         ? "SIMULATED, worth nothing outside tests: " + first_line(verdict) + "\n"
                         : first_line(verdict) + "\n";
  if (verdict.reason) {
    text += std::string(card(*verdict.reason).remedy) + "\n";
  }
  text += "\nchecks\n";
  for (const auto& check : verdict.checks) {
    text += line_of(check);
  }
  if (verdict.claims) {
    text += "\nclaims\n" + lines_of(to_json(*verdict.claims, identifiers));
  }
  return text;
}

}  // namespace tools::attest
