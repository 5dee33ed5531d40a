// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/message.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <boost/json/parse.hpp>

namespace tools::cli {

namespace json = boost::json;

json::object to_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto printed = google::protobuf::util::MessageToJsonString(message, &text, options);
  json::error_code invalid;
  auto value = json::parse(printed.ok() ? text : "{}", invalid);
  return invalid ? json::object() : value.as_object();
}

base::Result<void> from_json(std::string_view text, google::protobuf::Message& message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage({text.data(), text.size()}, &message, options);
  if (!parsed.ok()) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "this is no " + message.GetDescriptor()->name() + " in JSON");
  }
  return {};
}

std::string time_text(const google::protobuf::Timestamp& time) {
  return google::protobuf::util::TimeUtil::ToString(time);
}

void add_line(std::string& text, std::string_view label, std::string_view value) {
  if (value.empty()) {
    return;
  }
  constexpr std::size_t kLabelWidth = 12;
  text += "  ";
  text += label;
  text += std::string(label.size() < kLabelWidth ? kLabelWidth - label.size() : 1, ' ');
  text += value;
  text += '\n';
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace tools::cli
