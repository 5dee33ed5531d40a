// SPDX-License-Identifier: Apache-2.0
#include "tools/config/schema.h"

#include <algorithm>
#include <utility>

namespace tools::config {

namespace {

using Complaint = std::optional<std::string>;

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) {
    out += (out.empty() ? "" : ", ") + in_quotes(word);
  }
  return out;
}

}  // namespace

void Schema::text(std::string section, std::string name, std::string& variable,
                  std::string summary) {
  const auto set = [&variable](const Value& value) -> Complaint {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
      return "a text in quotes is expected";
    }
    variable = *text;
    return {};
  };
  keys_.push_back({std::move(section), std::move(name), std::move(summary), set,
                   [&variable] { return in_quotes(variable); }});
}

void Schema::texts(std::string section, std::string name, std::vector<std::string>& variable,
                   std::string summary) {
  const auto set = [&variable](const Value& value) -> Complaint {
    const auto* texts = std::get_if<std::vector<std::string>>(&value);
    if (texts == nullptr) {
      return "a list of texts in quotes is expected";
    }
    variable = *texts;
    return {};
  };
  keys_.push_back({std::move(section), std::move(name), std::move(summary), set,
                   [&variable] { return "[" + listed(variable) + "]"; }});
}

void Schema::path(std::string section, std::string name, std::filesystem::path& variable,
                  std::string summary) {
  const auto set = [&variable](const Value& value) -> Complaint {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr || !std::filesystem::path(*text).is_absolute()) {
      return "an absolute path in quotes is expected";
    }
    variable = *text;
    return {};
  };
  keys_.push_back({std::move(section), std::move(name), std::move(summary), set,
                   [&variable] { return in_quotes(variable.string()); }});
}

void Schema::word(std::string section, std::string name, std::string& variable,
                  std::vector<std::string> words, std::string summary) {
  const auto set = [&variable, words](const Value& value) -> Complaint {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr || std::find(words.begin(), words.end(), *text) == words.end()) {
      return "one of " + listed(words) + " is expected";
    }
    variable = *text;
    return {};
  };
  keys_.push_back({std::move(section), std::move(name), std::move(summary), set,
                   [&variable] { return in_quotes(variable); }});
}

void Schema::number(std::string section, std::string name, std::int64_t& variable,
                    std::int64_t least, std::int64_t most, std::string summary) {
  const auto set = [&variable, least, most](const Value& value) -> Complaint {
    const auto* number = std::get_if<std::int64_t>(&value);
    if (number == nullptr || *number < least || *number > most) {
      return "a number from " + std::to_string(least) + " to " + std::to_string(most) +
             " is expected";
    }
    variable = *number;
    return {};
  };
  keys_.push_back({std::move(section), std::move(name), std::move(summary), set,
                   [&variable] { return std::to_string(variable); }});
}

void Schema::flag(std::string section, std::string name, bool& variable, std::string summary) {
  const auto set = [&variable](const Value& value) -> Complaint {
    const auto* flag = std::get_if<bool>(&value);
    if (flag == nullptr) {
      return "true or false is expected";
    }
    variable = *flag;
    return {};
  };
  keys_.push_back({std::move(section), std::move(name), std::move(summary), set,
                   [&variable] { return std::string(variable ? "true" : "false"); }});
}

const Key* Schema::find(std::string_view section, std::string_view name) const {
  for (const auto& key : keys_) {
    if (key.section == section && key.name == name) {
      return &key;
    }
  }
  return nullptr;
}

bool Schema::has_section(std::string_view section) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const Key& key) { return key.section == section; });
}

std::string to_string(const Fault& fault) {
  std::string where = fault.file.string();
  if (fault.line != 0) {
    where += ":" + std::to_string(fault.line) + ":" + std::to_string(fault.column);
  }
  return where + ": " + fault.what;
}

}  // namespace tools::config
