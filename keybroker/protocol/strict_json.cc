// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/strict_json.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <set>
#include <utility>
#include <vector>

namespace keybroker::protocol {

namespace {

namespace json = boost::json;

constexpr std::size_t kMostLevels = 16;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "JSON: " + why);
}

// Watches a document go by and stops it at the first thing that a lenient reader would let pass.
// The names are those that Boost.JSON asks for.
class Watcher {
 public:
  static constexpr std::size_t max_object_size = 65536;
  static constexpr std::size_t max_array_size = 65536;
  static constexpr std::size_t max_key_size = 256;
  static constexpr std::size_t max_string_size = 1 << 26;

  std::string fault;

  bool on_document_begin(json::error_code&) { return true; }

  bool on_document_end(json::error_code&) { return true; }

  bool on_object_begin(json::error_code&) {
    levels_.emplace_back();
    return true;
  }

  bool on_object_end(std::size_t, json::error_code&) { return leave(); }

  bool on_array_begin(json::error_code&) {
    levels_.emplace_back().is_array = true;
    return true;
  }

  bool on_array_end(std::size_t, json::error_code&) { return leave(); }

  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    key_ += part;
    return true;
  }

  bool on_key(json::string_view part, std::size_t, json::error_code& error) {
    key_ += part;
    const bool fresh = levels_.back().names.insert(key_).second;
    const bool plain = is_plain(key_, error);
    if (!fresh) {
      fault = "the member '" + key_ + "' is there twice";
      error = json::error::syntax;
    }
    levels_.back().key = std::exchange(key_, {});
    return fresh && plain;
  }

  bool on_string_part(json::string_view part, std::size_t, json::error_code& error) {
    return is_plain(part, error);
  }

  bool on_string(json::string_view part, std::size_t, json::error_code& error) {
    return is_plain(part, error) && pass();
  }

  bool on_number_part(json::string_view, json::error_code&) { return true; }

  bool on_int64(std::int64_t, json::string_view, json::error_code&) { return pass(); }

  bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return pass(); }

  bool on_double(double, json::string_view, json::error_code&) { return pass(); }

  bool on_bool(bool, json::error_code&) { return pass(); }

  bool on_null(json::error_code&) { return pass(); }

  bool on_comment_part(json::string_view, json::error_code&) { return true; }

  bool on_comment(json::string_view, json::error_code&) { return true; }

  // where() is the way to what is being read, as in " in anyOf[0].allOf[2]"; empty at the top.
  [[nodiscard]] std::string where() const {
    std::string path;
    for (std::size_t i = 0; i + 1 < levels_.size(); ++i) {
      const auto& level = levels_[i];
      path += level.is_array ? "[" + std::to_string(level.passed) + "]"
                             : (path.empty() ? "" : ".") + level.key.substr(0, kMostShownBytes);
    }
    return path.empty() ? "" : " in " + path;
  }

 private:
  struct Level {
    bool is_array = false;
    std::size_t passed = 0;  // entries of an array that are read
    std::string key{};       // of the member of an object that is being read
    std::set<std::string> names{};
  };

  static constexpr std::size_t kMostShownBytes = 40;

  bool pass() {
    if (!levels_.empty()) {
      ++levels_.back().passed;
    }
    return true;
  }

  bool leave() {
    levels_.pop_back();
    return pass();
  }

  bool is_plain(json::string_view part, json::error_code& error) {
    if (part.find('\0') == json::string_view::npos) {
      return true;
    }
    fault = "a string has a NUL in it";
    error = json::error::syntax;
    return false;
  }

  std::string key_;
  std::vector<Level> levels_;
};

auto member_missing(std::string_view name, const char* type) {
  return corrupt("the member '" + std::string(name) + "' is missing or is no " + type);
}

}  // namespace

base::Result<json::value> parse_json(std::string_view text, std::size_t most_bytes) {
  if (text.size() > most_bytes) {
    return corrupt("the document has " + std::to_string(text.size()) + " bytes, at most " +
                   std::to_string(most_bytes) + " are allowed");
  }
  json::parse_options options;
  options.max_depth = kMostLevels;
  json::basic_parser<Watcher> parser(options);
  json::error_code error;
  const auto read = parser.write_some(false, text.data(), text.size(), error);
  if (error || read != text.size()) {
    const auto& fault = parser.handler().fault;
    const auto what = fault.empty()
                          ? "at byte " + std::to_string(read) + ": " +
                                (error ? error.message() : "something follows the document")
                          : fault;
    return corrupt(what + parser.handler().where());
  }
  auto value = json::parse(text, error, {}, options);
  if (error) {
    return corrupt(error.message());
  }
  return value;
}

base::Result<std::string> text_member(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) {
    return member_missing(name, "string");
  }
  return std::string(value->get_string());
}

base::Result<std::uint64_t> number_member(const json::object& object, std::string_view name,
                                          std::uint64_t most) {
  const auto* value = object.if_contains(name);
  json::error_code error;
  const auto number =
      value != nullptr && !value->is_double() ? value->to_number<std::uint64_t>(error) : 0;
  if (value == nullptr || value->is_double() || !value->is_number() || error || number > most) {
    return member_missing(name, "whole number of its range");
  }
  return number;
}

base::Result<bool> flag_member(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_bool()) {
    return member_missing(name, "true or false");
  }
  return value->get_bool();
}

base::Result<base::Bytes> hex_member(const json::object& object, std::string_view name,
                                     std::size_t size) {
  TRY_ASSIGN(text, text_member(object, name));
  auto bytes = base::from_hex(text);
  if (!bytes || bytes->size() != size) {
    return corrupt("the member '" + std::string(name) + "' is not " + std::to_string(size) +
                   " bytes in hexadecimal digits");
  }
  return bytes;
}

base::Result<const json::object*> object_member(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_object()) {
    return member_missing(name, "object");
  }
  return &value->get_object();
}

base::Result<const json::array*> array_member(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_array()) {
    return member_missing(name, "array");
  }
  return &value->get_array();
}

base::Result<void> expect_only(const json::object& object,
                               std::initializer_list<std::string_view> names) {
  for (const auto& member : object) {
    const std::string_view key(member.key());
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      return corrupt("the member '" + std::string(key) + "' is not known here");
    }
  }
  return {};
}

}  // namespace keybroker::protocol
