// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/answer.h"

#include <algorithm>

#include "vmgs/crypto/digest.h"

namespace keybroker::broker {

namespace {

namespace pb = strongroom::broker::v1;

std::uint64_t seconds_of(crypto::Time time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "signed message: " + why);
}

}  // namespace

std::string field_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::Bytes encode(const crypto::SignedMessage& message) {
  pb::SignedAnswer out;
  out.set_body(field_of(message.body));
  out.set_signature(field_of(message.signature));
  for (const auto& certificate : message.chain) {
    out.add_chain(field_of(certificate));
  }
  return base::copy_of(base::bytes_of(out.SerializeAsString()));
}

base::Result<crypto::SignedMessage> decode_signed_message(base::ByteView bytes) {
  pb::SignedAnswer in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return corrupt("is not a protobuf message");
  }
  crypto::SignedMessage message;
  if (in.signature().size() != message.signature.size()) {
    return corrupt("its signature has " + std::to_string(in.signature().size()) +
                   " bytes, expected 96");
  }
  if (in.chain().size() > static_cast<int>(crypto::kMostMessageChain)) {
    return corrupt("its chain has " + std::to_string(in.chain().size()) + " certificates");
  }
  message.body = base::copy_of(base::bytes_of(in.body()));
  std::ranges::copy(base::bytes_of(in.signature()), message.signature.begin());
  for (const auto& certificate : in.chain()) {
    message.chain.push_back(base::copy_of(base::bytes_of(certificate)));
  }
  return message;
}

base::Result<base::Bytes> sign_answer(const crypto::MessageSigner& signer, base::ByteView request,
                                      const pb::Answer& answer) {
  TRY_ASSIGN(message, signer.sign(kAnswerLabel, vmgs::crypto::sha384(request),
                                  base::bytes_of(answer.SerializeAsString())));
  return encode(message);
}

base::Result<base::Bytes> sign_refusal(const crypto::MessageSigner& signer, base::ByteView request,
                                       const protocol::Uuid& vm_id, const Refusal& refusal,
                                       crypto::Time now) {
  pb::Answer answer;
  answer.set_vm_id(field_of(vm_id));
  answer.set_issued_at(seconds_of(now));
  auto& refused = *answer.mutable_refused();
  refused.set_reason(refusal.word);
  refused.set_detail(refusal.detail);
  refused.set_begin_again(refusal.begin_again);
  return sign_answer(signer, request, answer);
}

base::Result<base::Bytes> sign_receipt(const crypto::MessageSigner& signer,
                                       const pb::Receipt& receipt) {
  TRY_ASSIGN(message, signer.sign(kReceiptLabel, {}, base::bytes_of(receipt.SerializeAsString())));
  return encode(message);
}

bool names_root(base::ByteView bytes, std::span<const crypto::Fingerprint> roots) {
  const auto message = decode_signed_message(bytes);
  return message && !message->chain.empty() &&
         std::ranges::find(roots, vmgs::crypto::sha256(message->chain.back())) != roots.end();
}

base::Result<pb::Receipt> open_receipt(base::ByteView bytes,
                                       std::span<const crypto::Fingerprint> roots) {
  TRY_ASSIGN(message, decode_signed_message(bytes));
  TRY_ASSIGN(body, crypto::verify_signed_message(kReceiptLabel, {}, message, roots, std::nullopt));
  pb::Receipt receipt;
  if (!receipt.ParseFromArray(body.data(), static_cast<int>(body.size())) ||
      receipt.vm_id().size() != 16 || receipt.anchor().digest().size() != 32) {
    return corrupt("its body is no receipt");
  }
  return receipt;
}

}  // namespace keybroker::broker
