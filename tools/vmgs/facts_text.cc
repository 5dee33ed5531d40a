// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cctype>
#include <vector>

#include "tools/cli/terminal.h"
#include "tools/vmgs/file_report.h"

namespace tools::vmgs {

namespace json = boost::json;

namespace {

constexpr std::size_t kLabelWidth = 26;

std::string label_of(std::string_view key) {
  std::string label(key);
  std::replace(label.begin(), label.end(), '_', ' ');
  return label;
}

bool is_table(const json::value& value) {
  return value.is_array() && !value.get_array().empty() && value.get_array()[0].is_object();
}

std::string cell(const json::value& value) {
  if (value.is_null()) {
    return "-";
  }
  if (value.is_bool()) {
    return value.get_bool() ? "yes" : "no";
  }
  if (value.is_string()) {
    return cli::printable({value.get_string().data(), value.get_string().size()});
  }
  if (value.is_array()) {
    std::string list;
    for (const auto& each : value.get_array()) {
      list += (list.empty() ? "" : ", ") + cell(each);
    }
    return list.empty() ? "none" : list;
  }
  return json::serialize(value);
}

void add_table(std::string& text, const json::array& rows, const std::string& indent) {
  std::vector<std::vector<std::string>> cells(1);
  for (const auto& member : rows[0].get_object()) {
    auto heading = label_of({member.key().data(), member.key().size()});
    std::transform(heading.begin(), heading.end(), heading.begin(),
                   [](unsigned char each) { return static_cast<char>(std::toupper(each)); });
    cells[0].push_back(std::move(heading));
  }
  for (const auto& row : rows) {
    std::vector<std::string> line;
    if (const auto* object = row.if_object()) {
      for (const auto& member : *object) {
        line.push_back(cell(member.value()));
      }
    }
    line.resize(cells[0].size());
    cells.push_back(std::move(line));
  }
  for (const auto& line : cells) {
    std::string laid_out = indent;
    for (std::size_t column = 0; column < line.size(); ++column) {
      std::size_t width = 0;
      for (const auto& other : cells) {
        width = std::max(width, other[column].size());
      }
      laid_out += line[column] + std::string(width - line[column].size() + 2, ' ');
    }
    laid_out.erase(laid_out.find_last_not_of(' ') + 1);
    text += laid_out + "\n";
  }
}

void add(std::string& text, const json::object& fields, const std::string& indent) {
  for (const auto& member : fields) {
    const auto label = label_of({member.key().data(), member.key().size()});
    const auto& value = member.value();
    if (value.is_object() || is_table(value)) {
      text += indent + label + "\n";
      if (value.is_object()) {
        add(text, value.get_object(), indent + "  ");
      } else {
        add_table(text, value.get_array(), indent + "  ");
      }
      continue;
    }
    const auto gap = label.size() + 1 < kLabelWidth ? kLabelWidth - label.size() : 1;
    text += indent + label + std::string(gap, ' ') + cell(value) + "\n";
  }
}

}  // namespace

std::string facts_text(const json::object& fields) {
  std::string text;
  add(text, fields, "");
  return text;
}

}  // namespace tools::vmgs
