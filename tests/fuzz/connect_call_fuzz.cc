// SPDX-License-Identifier: Apache-2.0
#include <boost/beast/http/parser.hpp>
#include <cstdlib>

#include "transport/rpc/call.h"
#include "transport/rpc/testing.pb.h"

namespace {

using namespace transport::rpc;
using strongroom::rpc::testing::AddRequest;
using strongroom::rpc::testing::AddResponse;

constexpr std::size_t kMaxMessageBytes = 4096;

Methods made_table() {
  const auto& service = *AddRequest::descriptor()->file()->FindServiceByName("Calls");
  Methods methods;
  methods.unary<AddRequest, AddResponse>(service, "Add", nullptr);
  methods.stream<AddRequest, AddResponse>(service, "Count", nullptr);
  return methods;
}

// One message, one meaning: what was decoded reads the same from either of its forms.
void require_round_trip(const google::protobuf::Message& message) {
  for (const auto codec : {Codec::kProto, Codec::kJson}) {
    const auto encoded = encode_message(codec, message);
    const MessagePtr again(message.New());
    if (!encoded || !decode_message(codec, *encoded, UnknownFields::kRefuse, *again) ||
        again->SerializeAsString() != message.SerializeAsString()) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Methods methods = made_table();
  http::request_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(kMaxMessageBytes);
  boost::system::error_code malformed;
  parser.put(boost::asio::buffer(data, size), malformed);
  if (malformed || !parser.is_done()) {
    return 0;
  }
  const auto request = parser.release();
  const auto head = decode_head(request, methods);
  if (!head) {
    return 0;
  }
  const auto message = decode_request(*head, request.body(), kMaxMessageBytes);
  if (message) {
    require_round_trip(**message);
  }
  return 0;
}
