// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/result.h"

namespace tools::cli {

// to_json() is any message for --json, each field included, those with their default too: a script
// should not have to know defaults. Names in snake case.
boost::json::object to_json(const google::protobuf::Message& message);

// from_json() reads a message as to_json() gives it; members that it does not know are let be.
// kCorrupt for what is no such message.
base::Result<void> from_json(std::string_view text, google::protobuf::Message& message);

// time_text() is "2026-11-22T03:50:00Z".
std::string time_text(const google::protobuf::Timestamp& time);

// add_line() adds "  label       value" to a text for people; nothing for an empty value.
void add_line(std::string& text, std::string_view label, std::string_view value);

// table() lays out rows of one length in columns; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tools::cli
