// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/scalar.h"

namespace keybroker::policy {

namespace {

namespace json = boost::json;

// The bytes of the character that `text` begins with; text is not empty.
std::size_t character_bytes(std::string_view text) {
  std::size_t bytes = 1;
  while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) {
    ++bytes;
  }
  return bytes;
}

}  // namespace

bool operator<(const Number& a, const Number& b) {
  if (a.negative_ != b.negative_) {
    return a.negative_;
  }
  return a.bits_ < b.bits_;  // in two's complement, of the same sign, this is the right order
}

json::value Number::json() const {
  return negative_ ? json::value(static_cast<std::int64_t>(bits_)) : json::value(bits_);
}

std::optional<Scalar> scalar_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::bool_:
      return value.get_bool();
    case json::kind::int64:
      return Number(value.get_int64());
    case json::kind::uint64:
      return Number(value.get_uint64());
    case json::kind::string:
      return std::string(value.get_string());
    case json::kind::null:
    case json::kind::double_:
    case json::kind::array:
    case json::kind::object:
      break;
  }
  return std::nullopt;
}

json::value json_of(const Scalar& scalar) {
  if (const auto* flag = std::get_if<bool>(&scalar)) {
    return *flag;
  }
  if (const auto* number = std::get_if<Number>(&scalar)) {
    return number->json();
  }
  return json::value(std::get<std::string>(scalar));
}

std::optional<bool> bool_of(const Scalar& scalar) {
  if (const auto* flag = std::get_if<bool>(&scalar)) {
    return *flag;
  }
  const auto* text = std::get_if<std::string>(&scalar);
  if (text != nullptr && (*text == "true" || *text == "false")) {
    return *text == "true";
  }
  return std::nullopt;
}

std::string_view type_name(const Scalar& scalar) {
  if (std::holds_alternative<bool>(scalar)) {
    return "true or false";
  }
  return std::holds_alternative<Number>(scalar) ? "a number" : "a string";
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Where the last star was, and how much of the text it has been given so far.
  std::optional<std::string_view> after_star;
  std::string_view given;
  while (!text.empty()) {
    if (!pattern.empty() && pattern.front() == '*') {
      pattern.remove_prefix(1);
      after_star = pattern;
      given = text;
    } else if (!pattern.empty() && pattern.front() == '?') {
      pattern.remove_prefix(1);
      text.remove_prefix(character_bytes(text));
    } else if (!pattern.empty() && pattern.front() == text.front()) {
      pattern.remove_prefix(1);
      text.remove_prefix(1);
    } else if (after_star) {
      given.remove_prefix(character_bytes(given));
      pattern = *after_star;
      text = given;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*') == std::string_view::npos;
}

}  // namespace keybroker::policy
