// SPDX-License-Identifier: Apache-2.0
#include "keybroker/client/answer.h"

#include <algorithm>
#include <utility>

#include "keybroker/client/channel.h"
#include "keybroker/crypto/signed_message.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::client {

namespace {

namespace pb = strongroom::broker::v1;
using base::ErrorCode;

constexpr std::string_view kAnswerLabel = "strongroom.answer/1";
constexpr std::string_view kReceiptLabel = "strongroom.receipt/1";
constexpr std::size_t kMaxReasonBytes = 64;
constexpr std::size_t kMaxDetailBytes = 1024;
constexpr std::size_t kMaxSealedKeysBytes = 1024;

auto corrupt(const std::string& why) {
  return base::fail(ErrorCode::kCorrupt, "the broker's answer: " + why);
}

// Words of another machine go into our log, on one line.
std::string line_of(std::string text, std::size_t most) {
  text.resize(std::min(text.size(), most));
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  return text;
}

base::Result<AnchorPoint> point_of(const pb::AnchorPoint& in) {
  AnchorPoint point{.epoch = in.epoch(), .sequence = in.sequence()};
  if (in.digest().size() != point.digest.size() || point.sequence == 0) {
    return corrupt("an anchor has no sequence, or no digest of 32 bytes");
  }
  std::ranges::copy(base::bytes_of(in.digest()), point.digest.begin());
  return point;
}

base::Result<Outcome> released(const pb::Released& in) {
  ReleasedTerms terms;
  terms.epoch = in.epoch();
  terms.restores = in.restores();
  terms.key_version = in.key_version();
  if (terms.epoch == 0) {
    return corrupt("a release without an epoch");
  }
  if (in.has_anchor()) {
    TRY_ASSIGN(anchor, point_of(in.anchor()));
    terms.anchor = anchor;
  }
  if (in.has_allowed_restore()) {
    TRY_ASSIGN(restore, point_of(in.allowed_restore()));
    terms.allowed_restore = restore;
  }
  if (in.sealed_keys().size() > kMaxSealedKeysBytes) {
    return corrupt("sealed keys of " + std::to_string(in.sealed_keys().size()) + " bytes");
  }
  terms.sealed_keys = base::copy_of(base::bytes_of(in.sealed_keys()));
  return Outcome(std::move(terms));
}

base::Result<Outcome> anchored(const pb::Anchored& in) {
  AnchoredTerms terms;
  if (in.receipt().size() > kMaxReceiptBytes) {
    return corrupt("a receipt of " + std::to_string(in.receipt().size()) + " bytes");
  }
  terms.receipt = base::copy_of(base::bytes_of(in.receipt()));
  terms.wants_certification = in.wants_certification();
  if (in.has_certificates()) {
    terms.certificates = in.certificates();
  }
  if (in.has_certification_refusal()) {
    terms.certification_refusal = in.certification_refusal();
  }
  return Outcome(std::move(terms));
}

base::Result<crypto::SignedMessage> signed_message_of(base::ByteView bytes) {
  pb::SignedAnswer in;
  if (bytes.size() > kMaxAnswerBytes ||
      !in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return base::fail(ErrorCode::kCorrupt, "it is no signed message");
  }
  crypto::SignedMessage message;
  if (in.signature().size() != message.signature.size() ||
      std::cmp_greater(in.chain_size(), crypto::kMostMessageChain)) {
    return base::fail(ErrorCode::kCorrupt, "its signature or its chain has a wrong size");
  }
  message.body = base::copy_of(base::bytes_of(in.body()));
  std::ranges::copy(base::bytes_of(in.signature()), message.signature.begin());
  for (const auto& certificate : in.chain()) {
    message.chain.push_back(base::copy_of(base::bytes_of(certificate)));
  }
  return message;
}

base::Result<Outcome> signed_outcome(base::ByteView answer, base::ByteView request,
                                     const Belief& belief) {
  TRY_ASSIGN(message, signed_message_of(answer));
  const auto context = vmgs::crypto::sha384(request);
  TRY_ASSIGN(body, crypto::verify_signed_message(kAnswerLabel, context, message,
                                                 belief.broker_roots, std::nullopt));
  return decode_answer(body, belief.vm_id);
}

}  // namespace

base::Error Refusal::error() const {
  return {ErrorCode::kDenied,
          "the key broker refuses: " + reason + (detail.empty() ? "" : ": " + detail)};
}

base::Result<Outcome> decode_answer(base::ByteView body, const protocol::Uuid& vm_id) {
  pb::Answer answer;
  if (body.size() > kMaxAnswerBytes ||
      !answer.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return corrupt("is no message");
  }
  if (!std::ranges::equal(base::bytes_of(answer.vm_id()), vm_id)) {
    return corrupt("is about another VM");
  }
  switch (answer.outcome_case()) {
    case pb::Answer::kReleased:
      return released(answer.released());
    case pb::Answer::kAnchored:
      return anchored(answer.anchored());
    case pb::Answer::kRefused:
      return Outcome(Refusal{.reason = line_of(answer.refused().reason(), kMaxReasonBytes),
                             .detail = line_of(answer.refused().detail(), kMaxDetailBytes),
                             .begin_again = answer.refused().begin_again()});
    case pb::Answer::OUTCOME_NOT_SET:
      break;
  }
  return corrupt("says nothing that is known here");
}

base::Result<Outcome> believe(base::ByteView answer, base::ByteView request, const Belief& belief) {
  auto outcome = signed_outcome(answer, request, belief);
  if (!outcome) {
    return base::fail(
        ErrorCode::kUnavailable,
        "an answer came that is not believed to be the key broker's: " + outcome.error().message);
  }
  return outcome;
}

base::Result<ReceiptTerms> open_receipt(base::ByteView receipt, const Belief& belief) {
  TRY_ASSIGN(message, signed_message_of(receipt));
  TRY_ASSIGN(body, crypto::verify_signed_message(kReceiptLabel, {}, message, belief.broker_roots,
                                                 std::nullopt));
  pb::Receipt in;
  if (!in.ParseFromArray(body.data(), static_cast<int>(body.size())) ||
      !std::ranges::equal(base::bytes_of(in.vm_id()), belief.vm_id)) {
    return base::fail(ErrorCode::kCorrupt, "it is no receipt for this VM");
  }
  ReceiptTerms terms;
  TRY_ASSIGN(anchor, point_of(in.anchor()));
  terms.anchor = anchor;
  terms.restores = in.restores();
  terms.kind = in.kind();
  return terms;
}

}  // namespace keybroker::client
