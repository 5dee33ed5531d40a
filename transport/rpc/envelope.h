// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace transport::rpc {

// Envelope is one message of a stream (Connect protocol, "Enveloped-Message"): one byte of flags,
// four of length, big-endian, then the payload.
struct Envelope {
  static constexpr std::size_t kHeaderBytes = 5;
  static constexpr std::uint8_t kCompressed = 0x01;
  static constexpr std::uint8_t kEndStream = 0x02;

  std::uint8_t flags = 0;
  std::string payload;
};

// wrap() is the envelope's bytes. The payload is shorter than 4 GiB.
std::string wrap(const Envelope& envelope);

// EnvelopeReader cuts a stream, which arrives in pieces of any size, into envelopes.
class EnvelopeReader {
 public:
  // A payload longer than `max_payload_bytes` is an error before it is stored.
  explicit EnvelopeReader(std::size_t max_payload_bytes) : max_payload_bytes_(max_payload_bytes) {}

  void feed(std::string_view bytes) { pending_ += bytes; }

  // next() is the next whole envelope, or nothing until more is fed. kInvalidArgument if the next
  // one is compressed, has unknown flags or is too long; the reader is of no use after that.
  base::Result<std::optional<Envelope>> next();

  // pending_bytes() is what was fed and is not yet part of a whole envelope.
  [[nodiscard]] std::size_t pending_bytes() const { return pending_.size(); }

 private:
  std::size_t max_payload_bytes_;
  std::string pending_;
};

}  // namespace transport::rpc
