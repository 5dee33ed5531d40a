// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "keybroker/protocol/broker.pb.h"
#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::client {

// AnchorPoint is one point of a VM's history: a commit sequence of its store and the digest of the
// state there, as it was noted in an epoch.
struct AnchorPoint {
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  std::array<std::byte, 32> digest{};

  friend bool operator==(const AnchorPoint&, const AnchorPoint&) = default;
};

// The three outcomes of a request, each in checked types.
struct ReleasedTerms {
  std::uint64_t epoch = 0;  // at least 1
  std::optional<AnchorPoint> anchor;
  std::optional<AnchorPoint> allowed_restore;
  std::uint64_t restores = 0;
  std::uint32_t key_version = 0;
  base::Bytes sealed_keys;
};

struct AnchoredTerms {
  base::Bytes receipt;  // a SignedMessage, or empty
  bool wants_certification = false;
  std::optional<strongroom::instance::v1::Certificates> certificates;
  std::optional<strongroom::instance::v1::Refusal> certification_refusal;
};

// Refusal is the broker's signed no.
struct Refusal {
  std::string reason;  // one word
  std::string detail;  // for people
  bool begin_again = false;

  // error() is kDenied with all of it.
  [[nodiscard]] base::Error error() const;
};

using Outcome = std::variant<ReleasedTerms, AnchoredTerms, Refusal>;

// decode_answer() reads the body of an answer whose signature holds. kCorrupt for what is no Answer
// about VM `vm_id`, or breaks a rule of broker.proto.
base::Result<Outcome> decode_answer(base::ByteView body, const protocol::Uuid& vm_id);

// Whom an instance believes, and about whom.
struct Belief {
  protocol::Uuid vm_id{};
  std::vector<protocol::Sha256Digest> broker_roots;  // of the launch document
};

// believe() gives the outcome in `answer`, if a broker under one of the roots has signed it as an
// answer to these very bytes of a request. Anything else is as if no answer had come, for anybody
// can make it: kUnavailable, saying what did not hold. Times of certificates are not looked at:
// inside a TEE no clock can be trusted.
base::Result<Outcome> believe(base::ByteView answer, base::ByteView request, const Belief& belief);

// What a signed receipt says.
struct ReceiptTerms {
  AnchorPoint anchor;
  std::uint64_t restores = 0;
  strongroom::broker::v1::AnchorBody::Kind kind{};
};

// The longest receipt that a store keeps.
inline constexpr std::size_t kMaxReceiptBytes = 16 * 1024;

// open_receipt() reads a receipt for this VM that was signed under one of the roots. kCorrupt or
// kAuthentication for any other.
base::Result<ReceiptTerms> open_receipt(base::ByteView receipt, const Belief& belief);

}  // namespace keybroker::client
