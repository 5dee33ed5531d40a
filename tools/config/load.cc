// SPDX-License-Identifier: Apache-2.0
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include "tools/config/schema.h"

namespace tools::config {

namespace {

namespace fs = std::filesystem;

// A list that holds texts and nothing else.
std::optional<Value> texts_in(const toml::array& list) {
  std::vector<std::string> texts;
  for (const auto& node : list) {
    const auto* text = node.as_string();
    if (text == nullptr) {
      return std::nullopt;
    }
    texts.push_back(text->get());
  }
  return texts;
}

// One pass over one file.
class FileReader {
 public:
  FileReader(const Schema& schema, const fs::path& file, Loaded& loaded)
      : schema_(schema), file_(file), loaded_(loaded) {}

  void read(const std::string& text) {
    const auto parsed = toml::parse(text);
    if (!parsed) {
      fault(parsed.error().source(), std::string(parsed.error().description()));
      return;
    }
    const auto before = static_cast<std::ptrdiff_t>(loaded_.faults.size());
    for (const auto& [name, node] : parsed.table()) {
      read_section(std::string(name.str()), name.source(), node);
    }
    // Tables are walked in the order of their keys; people read a file from its top.
    std::sort(loaded_.faults.begin() + before, loaded_.faults.end(),
              [](const Fault& a, const Fault& b) {
                return std::pair(a.line, a.column) < std::pair(b.line, b.column);
              });
  }

 private:
  void fault(const toml::source_region& where, std::string what) {
    loaded_.faults.push_back({file_, where.begin.line, where.begin.column, std::move(what)});
  }

  void read_section(const std::string& section, const toml::source_region& where,
                    const toml::node& node) {
    const auto* table = node.as_table();
    if (!schema_.has_section(section)) {
      fault(where, "there is no section [" + section + "]");
      return;
    }
    if (table == nullptr) {
      fault(where, section + " is a section, not a value");
      return;
    }
    for (const auto& [name, value] : *table) {
      read_key(section, std::string(name.str()), name.source(), value);
    }
  }

  void read_key(const std::string& section, const std::string& name,
                const toml::source_region& where, const toml::node& node) {
    const auto* key = schema_.find(section, name);
    if (key == nullptr) {
      fault(where, "there is no key " + name + " in [" + section + "]");
      return;
    }
    std::optional<Value> value;
    if (const auto* text = node.as_string()) {
      value = text->get();
    } else if (const auto* number = node.as_integer()) {
      value = number->get();
    } else if (const auto* flag = node.as_boolean()) {
      value = flag->get();
    } else if (const auto* list = node.as_array()) {
      value = texts_in(*list);
    }
    const auto complaint =
        value ? key->set(*value) : std::optional<std::string>("this kind of value is not expected");
    if (complaint) {
      fault(node.source(), name + ": " + *complaint);
      return;
    }
    const auto index = static_cast<std::size_t>(key - schema_.keys().data());
    loaded_.origins[index] = file_.string() + ":" + std::to_string(where.begin.line);
  }

  const Schema& schema_;
  const fs::path& file_;
  Loaded& loaded_;
};

void read_file(const Schema& schema, const fs::path& file, Loaded& loaded) {
  std::ifstream in(file, std::ios::binary);
  std::string text;
  std::error_code error;
  if (fs::is_directory(file, error)) {
    errno = EISDIR;
    in.setstate(std::ios::failbit);
  }
  for (std::array<char, 4096> piece{}; in;) {
    in.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (!in.eof()) {
    loaded.faults.push_back(
        {file, 0, 0, "cannot be read: " + std::generic_category().message(errno)});
    return;
  }
  FileReader(schema, file, loaded).read(text);
}

std::vector<fs::path> drop_ins(const fs::path& file) {
  std::vector<fs::path> files;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(file.parent_path() / "conf.d", none)) {
    if (entry.path().extension() == ".toml") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Loaded load(const Schema& schema, const fs::path& file, bool must_exist) {
  Loaded loaded;
  loaded.origins.assign(schema.keys().size(), "default");
  std::error_code error;
  const bool exists = fs::exists(file, error);
  if (exists || must_exist || error) {
    read_file(schema, file, loaded);
  }
  for (const auto& drop_in : drop_ins(file)) {
    read_file(schema, drop_in, loaded);
  }
  return loaded;
}

}  // namespace tools::config
