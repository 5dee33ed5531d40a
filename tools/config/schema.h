// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "vmgs/base/result.h"

namespace tools::config {

// The kinds of values that a key may have.
using Value = std::variant<std::string, std::int64_t, bool, std::vector<std::string>>;

// Key is one setting that a program knows: where it stands in the file, what it is for, how it is
// read and shown.
struct Key {
  std::string section;
  std::string name;
  std::string summary;

  // set() takes a value, or says what is wrong with it.
  std::function<std::optional<std::string>(const Value&)> set;

  // show() is the value in force, as it would stand in the file.
  std::function<std::string()> show;
};

// Schema is the list of a program's settings. Each is bound to a variable that holds the default,
// and that outlives the schema.
class Schema {
 public:
  void text(std::string section, std::string name, std::string& variable, std::string summary);
  void path(std::string section, std::string name, std::filesystem::path& variable,
            std::string summary);
  void texts(std::string section, std::string name, std::vector<std::string>& variable,
             std::string summary);
  void word(std::string section, std::string name, std::string& variable,
            std::vector<std::string> words, std::string summary);
  void number(std::string section, std::string name, std::int64_t& variable, std::int64_t least,
              std::int64_t most, std::string summary);
  void flag(std::string section, std::string name, bool& variable, std::string summary);

  [[nodiscard]] const std::vector<Key>& keys() const { return keys_; }

  [[nodiscard]] const Key* find(std::string_view section, std::string_view name) const;
  [[nodiscard]] bool has_section(std::string_view section) const;

 private:
  std::vector<Key> keys_;
};

// Fault is one thing that is wrong with a configuration.
struct Fault {
  std::filesystem::path file;
  std::uint32_t line = 0;    // from 1; 0 if it is about the file as a whole
  std::uint32_t column = 0;  // from 1
  std::string what;
};

// to_string() is "file:line:column: what", as editors and people read it.
std::string to_string(const Fault& fault);

// Loaded is what came of reading a configuration.
struct Loaded {
  std::vector<Fault> faults;

  // Where each key of the schema got its value: "default" or "file:line".
  std::vector<std::string> origins;
};

// load() reads TOML: `file`, then `conf.d/*.toml` beside it in the order of their names; later
// values win. Every fault is found, not only the first; variables are of use only if there is none.
// A file that is not there is a fault if it `must_exist`. A key or section that the schema does not
// know is a fault: a misspelt setting must not pass for the default.
Loaded load(const Schema& schema, const std::filesystem::path& file, bool must_exist);

}  // namespace tools::config
