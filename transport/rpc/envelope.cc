// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/envelope.h"

#include "vmgs/base/cursor.h"

namespace transport::rpc {

using base::ErrorCode;

std::string wrap(const Envelope& envelope) {
  base::Writer header;
  header.u8(envelope.flags);
  header.u32_be(static_cast<std::uint32_t>(envelope.payload.size()));
  std::string bytes;
  bytes.reserve(Envelope::kHeaderBytes + envelope.payload.size());
  for (const auto byte : header.written()) {
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes += envelope.payload;
}

base::Result<std::optional<Envelope>> EnvelopeReader::next() {
  if (pending_.size() < Envelope::kHeaderBytes) {
    return std::optional<Envelope>();
  }
  base::Reader header(base::bytes_of(pending_));
  TRY_ASSIGN(flags, header.u8());
  TRY_ASSIGN(payload_bytes, header.u32_be());
  if ((flags & Envelope::kCompressed) != 0) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "message is marked compressed, and no compression was agreed");
  }
  if ((flags & ~Envelope::kEndStream) != 0) {
    return base::fail(ErrorCode::kInvalidArgument, "message has unknown envelope flags");
  }
  if (payload_bytes > max_payload_bytes_) {
    return base::fail(ErrorCode::kInvalidArgument, "message of " + std::to_string(payload_bytes) +
                                                       " bytes exceeds the limit of " +
                                                       std::to_string(max_payload_bytes_));
  }
  const std::size_t whole = Envelope::kHeaderBytes + payload_bytes;
  if (pending_.size() < whole) {
    return std::optional<Envelope>();
  }
  std::optional<Envelope> envelope(
      Envelope{flags, pending_.substr(Envelope::kHeaderBytes, payload_bytes)});
  pending_.erase(0, whole);
  return envelope;
}

}  // namespace transport::rpc
