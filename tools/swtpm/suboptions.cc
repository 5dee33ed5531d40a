// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/suboptions.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <charconv>

namespace tools::swtpm {

namespace {

tl::unexpected<base::Error> wrong(std::string_view option, const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "Error parsing " + std::string(option) + " options: " + why);
}

std::optional<std::uint32_t> number_of(std::string_view text, int base) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty()
             ? std::optional(number)
             : std::nullopt;
}

std::optional<std::uint32_t> user_of(const std::string& name) {
  if (const auto number = number_of(name, 10)) {
    return number;
  }
  const auto* const user = ::getpwnam(name.c_str());
  return user == nullptr ? std::nullopt : std::optional<std::uint32_t>(user->pw_uid);
}

std::optional<std::uint32_t> group_of(const std::string& name) {
  if (const auto number = number_of(name, 10)) {
    return number;
  }
  const auto* const group = ::getgrnam(name.c_str());
  return group == nullptr ? std::nullopt : std::optional<std::uint32_t>(group->gr_gid);
}

std::optional<std::uint32_t> octal_of(const std::string& text) {
  constexpr std::uint32_t kMostMode = 0777;
  const auto mode = number_of(text, 8);
  return mode && *mode <= kMostMode ? mode : std::nullopt;
}

std::optional<std::uint32_t> flag_of(const std::string& text) {
  if (text == "true") {
    return 1;
  }
  return text == "false" ? std::optional<std::uint32_t>(0) : std::nullopt;
}

std::optional<std::uint32_t> value_of(SuboptionKind kind, const std::string& text) {
  switch (kind) {
    case SuboptionKind::kNumber:
      return number_of(text, 10);
    case SuboptionKind::kOctal:
      return octal_of(text);
    case SuboptionKind::kUser:
      return user_of(text);
    case SuboptionKind::kGroup:
      return group_of(text);
    case SuboptionKind::kFlag:
      return flag_of(text);
    case SuboptionKind::kText:
      break;
  }
  return std::nullopt;
}

}  // namespace

base::Result<Suboptions> Suboptions::parse(std::string_view option, std::string_view value,
                                           std::initializer_list<Suboption> known) {
  Suboptions read;
  while (!value.empty()) {
    const auto comma = value.find(',');
    const auto piece = value.substr(0, comma);
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
    const auto equals = piece.find('=');
    const auto name = piece.substr(0, equals);
    const auto* const found = std::find_if(known.begin(), known.end(),
                                           [&](const Suboption& one) { return one.name == name; });
    if (found == known.end()) {
      return wrong(option, "Unknown option '" + std::string(name) + "'");
    }
    const bool has_value = equals != std::string_view::npos;
    if (!has_value && found->kind != SuboptionKind::kFlag) {
      return wrong(option, "Missing value for option '" + std::string(name) + "'");
    }
    const std::string text(has_value ? piece.substr(equals + 1) : "true");
    if (found->kind == SuboptionKind::kText) {
      read.texts_.insert_or_assign(std::string(name), text);
      continue;
    }
    const auto number = value_of(found->kind, text);
    if (!number) {
      return wrong(option, "'" + text + "' is no value for option '" + std::string(name) + "'");
    }
    read.numbers_.insert_or_assign(std::string(name), *number);
  }
  return read;
}

std::optional<std::string> Suboptions::text(std::string_view name) const {
  const auto found = texts_.find(name);
  return found == texts_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::uint32_t> Suboptions::number(std::string_view name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

bool Suboptions::flag(std::string_view name) const { return number(name).value_or(0) != 0; }

}  // namespace tools::swtpm
