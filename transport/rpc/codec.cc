// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/codec.h"

#include <google/protobuf/util/json_util.h>

#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <boost/algorithm/string/trim.hpp>
#include <utility>
#include <vector>

namespace transport::rpc {

namespace {

namespace protobuf = google::protobuf;

constexpr std::array<std::pair<std::string_view, ContentType>, 4> kContentTypes = {{
    {"application/proto", {Codec::kProto, false}},
    {"application/json", {Codec::kJson, false}},
    {"application/connect+proto", {Codec::kProto, true}},
    {"application/connect+json", {Codec::kJson, true}},
}};

base::Result<void> decode_json(std::string_view bytes, UnknownFields unknown_fields,
                               protobuf::Message& message) {
  protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = unknown_fields == UnknownFields::kIgnore;
  const auto status = protobuf::util::JsonStringToMessage(
      protobuf::StringPiece(bytes.data(), bytes.size()), &message, options);
  if (!status.ok()) {
    return base::fail(
        base::ErrorCode::kInvalidArgument,
        "not the JSON of a " + message.GetTypeName() + ": " + std::string(status.message()));
  }
  return {};
}

// has_unknown_fields() looks at all levels of a message.
bool has_unknown_fields(const protobuf::Message& message) {
  const auto* reflection = message.GetReflection();
  if (reflection->GetUnknownFields(message).field_count() != 0) {
    return true;
  }
  std::vector<const protobuf::FieldDescriptor*> present;
  reflection->ListFields(message, &present);
  for (const auto* field : present) {
    if (field->cpp_type() != protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
      continue;
    }
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const auto& child = field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                               : reflection->GetMessage(message, field);
      if (has_unknown_fields(child)) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

std::optional<ContentType> parse_content_type(std::string_view header) {
  const auto media_type = boost::trim_copy(std::string(header.substr(0, header.find(';'))));
  for (const auto& [text, type] : kContentTypes) {
    if (boost::iequals(media_type, text)) {
      return type;
    }
  }
  return std::nullopt;
}

std::string_view header_of(ContentType type) {
  for (const auto& [text, candidate] : kContentTypes) {
    if (candidate == type) {
      return text;
    }
  }
  return {};
}

base::Result<void> decode_message(Codec codec, std::string_view bytes, UnknownFields unknown_fields,
                                  protobuf::Message& message) {
  if (codec == Codec::kJson) {
    return decode_json(bytes, unknown_fields, message);
  }
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "not the bytes of a " + message.GetTypeName());
  }
  if (unknown_fields == UnknownFields::kRefuse && has_unknown_fields(message)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "has fields that this version's " + message.GetTypeName() +
                          " does not have; is the caller newer than the service?");
  }
  return {};
}

base::Result<std::string> encode_message(Codec codec, const protobuf::Message& message) {
  std::string bytes;
  if (codec == Codec::kProto) {
    if (!message.SerializeToString(&bytes)) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        message.GetTypeName() + " cannot be written");
    }
    return bytes;
  }
  const auto status = protobuf::util::MessageToJsonString(message, &bytes);
  if (!status.ok()) {
    return base::fail(
        base::ErrorCode::kInvalidArgument,
        message.GetTypeName() + " cannot be written as JSON: " + std::string(status.message()));
  }
  return bytes;
}

}  // namespace transport::rpc
