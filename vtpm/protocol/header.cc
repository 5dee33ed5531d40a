// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/header.h"

#include <string>

namespace vtpm::protocol {

namespace {

base::Result<HeaderLayout> checked_header(base::ByteView message) {
  if (message.size() < kHeaderBytes) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "a TPM message needs ten bytes, not " + std::to_string(message.size()));
  }
  const auto raw = base::load<HeaderLayout>(message.first<kHeaderBytes>());
  if (raw.size.value() != message.size()) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "TPM message of " + std::to_string(message.size()) + " bytes says it has " +
                          std::to_string(raw.size.value()));
  }
  const auto tag = static_cast<Tag>(raw.tag.value());
  if (tag != Tag::kNoSessions && tag != Tag::kSessions) {
    return base::fail(base::ErrorCode::kCorrupt, "tag is none of a TPM message");
  }
  return raw;
}

}  // namespace

base::Result<CommandHeader> decode_command_header(base::ByteView command) {
  TRY_ASSIGN(raw, checked_header(command));
  return CommandHeader{.tag = static_cast<Tag>(raw.tag.value()),
                       .code = static_cast<CommandCode>(raw.code.value())};
}

base::Result<ResponseHeader> decode_response_header(base::ByteView response) {
  TRY_ASSIGN(raw, checked_header(response));
  return ResponseHeader{.tag = static_cast<Tag>(raw.tag.value()),
                        .code = static_cast<ResponseCode>(raw.code.value())};
}

BareResponse bare_response(ResponseCode code) {
  HeaderLayout raw;
  raw.tag = static_cast<std::uint16_t>(Tag::kNoSessions);
  raw.size = kHeaderBytes;
  raw.code = static_cast<std::uint32_t>(code);
  BareResponse response;
  base::store<HeaderLayout>(raw, response);
  return response;
}

}  // namespace vtpm::protocol
