// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>

#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace transport::rpc {

// Codec is how a message is written: protobuf's own form, or its JSON mapping.
enum class Codec { kProto, kJson };

// ContentType is what a content-type header says about a call.
struct ContentType {
  Codec codec = Codec::kProto;
  bool streaming = false;

  friend bool operator==(const ContentType&, const ContentType&) = default;
};

// parse_content_type() knows application/proto, application/json and their application/connect+
// twins, in any case and with parameters (a charset). Nothing for any other.
std::optional<ContentType> parse_content_type(std::string_view header);

// header_of() is the header that names `type`.
std::string_view header_of(ContentType type);

// What to make of fields that the schema does not know. A server refuses them: a misspelt option
// must not pass for absent. A client ignores them: the server may be newer.
enum class UnknownFields { kRefuse, kIgnore };

// decode_message() fills `message`, which was empty, from at most 2 GiB. kInvalidArgument if the
// bytes are not one.
base::Result<void> decode_message(Codec codec, std::string_view bytes, UnknownFields unknown_fields,
                                  google::protobuf::Message& message);

// encode_message() cannot fail for a message that this program built, but for text that is not
// UTF-8: kInvalidArgument.
base::Result<std::string> encode_message(Codec codec, const google::protobuf::Message& message);

}  // namespace transport::rpc
