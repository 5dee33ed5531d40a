// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_broker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "keybroker/crypto/key_transfer.h"
#include "keybroker/crypto/private_key.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace tests::support {

namespace pb = strongroom::broker::v1;
namespace crypto = keybroker::crypto;
using keybroker::client::AnchorPoint;
using keybroker::client::Method;

namespace {

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename Message>
Message parsed(base::ByteView bytes) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    std::abort();
  }
  return message;
}

void write(const AnchorPoint& point, pb::AnchorPoint& out) {
  out.set_epoch(point.epoch);
  out.set_sequence(point.sequence);
  out.set_digest(text_of(point.digest));
}

base::Bytes encoded(const crypto::SignedMessage& message) {
  pb::SignedAnswer out;
  out.set_body(text_of(message.body));
  out.set_signature(text_of(message.signature));
  for (const auto& certificate : message.chain) {
    out.add_chain(text_of(certificate));
  }
  return base::copy_of(base::bytes_of(out.SerializeAsString()));
}

bool moves_anchor(const pb::AnchorBody& body) {
  return body.kind() == pb::AnchorBody::BOOT || body.kind() == pb::AnchorBody::CLOSED;
}

void refuse(pb::Answer& answer, const std::string& reason, bool begin_again = false) {
  answer.mutable_refused()->set_reason(reason);
  answer.mutable_refused()->set_detail("as the test has it");
  answer.mutable_refused()->set_begin_again(begin_again);
}

}  // namespace

FakeBroker::FakeBroker(const keybroker::protocol::Uuid& vm_id) : vm_id_(vm_id) {
  const crypto::Time from{std::chrono::hours(24 * 365 * 55)};
  const auto until = from + std::chrono::hours(24 * 365 * 10);
  const auto root_key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  const auto root = *crypto::issue_message_root(root_key, "the test's broker", from, until);
  auto key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  const auto signer =
      *crypto::issue_message_signer(root, root_key, key.public_key(), "replica 1", from, until);
  signer_ = *crypto::MessageSigner::create(
      std::move(key), {base::copy_of(signer.der()), base::copy_of(root.der())});
  (void)vmgs::crypto::random_bytes(vm_key);
}

base::Bytes FakeBroker::answer(base::ByteView request, const pb::Answer& answer,
                               std::string_view label) const {
  return encoded(*signer_->sign(label, vmgs::crypto::sha384(request),
                                base::bytes_of(answer.SerializeAsString())));
}

base::Bytes FakeBroker::finish(base::ByteView request, pb::Answer answer) {
  answer.set_vm_id(text_of(vm_id_));
  if (changes_answer) {
    changes_answer(answer);
  }
  auto bytes = this->answer(request, answer);
  if (spoils) {
    spoils(bytes);
  }
  return bytes;
}

base::Result<base::Bytes> FakeBroker::call(Method method, base::ByteView message,
                                           const std::stop_token&) {
  calls.push_back(method);
  const auto away = base::fail(base::ErrorCode::kUnavailable, "the broker is away");
  if (loses_request && loses_request(method)) {
    return away;
  }
  base::Bytes answered;
  switch (method) {
    case Method::kChallenge: {
      pb::ChallengeResponse response;
      response.set_challenge("challenge " + std::to_string(calls.size()));
      response.set_expires_in(60);
      answered = base::copy_of(base::bytes_of(response.SerializeAsString()));
      break;
    }
    case Method::kRelease:
      answered = release_answer(message);
      break;
    case Method::kAnchor:
      answered = anchor_answer(message);
      break;
  }
  if (loses_answer && loses_answer(method)) {
    return away;
  }
  return answered;
}

base::Bytes FakeBroker::release_answer(base::ByteView message) {
  release = parsed<pb::ReleaseRequest>(message);
  const auto claims = keybroker::protocol::decode_release_claims(base::bytes_of(release->claims()));
  pb::Answer answer;
  if (!claims || claims->vm_id != vm_id_) {
    refuse(answer, "claims");
    return finish(message, std::move(answer));
  }
  if (is_shown) {
    is_shown(release->receipt());
  }
  if (begins_again > 0) {
    --begins_again;
    refuse(answer, "challenge-expired", true);
    return finish(message, std::move(answer));
  }
  if (refuses_release) {
    refuse(answer, *refuses_release);
    return finish(message, std::move(answer));
  }
  if (!std::ranges::equal(owner, claims->boot_id)) {
    ++epoch;
    owner.assign(claims->boot_id.begin(), claims->boot_id.end());
    (void)vmgs::crypto::random_bytes(boot_key_);
  }
  auto& released = *answer.mutable_released();
  released.set_epoch(epoch);
  if (anchor) {
    write(*anchor, *released.mutable_anchor());
  }
  if (allowed_restore) {
    write(*allowed_restore, *released.mutable_allowed_restore());
  }
  released.set_restores(restores);
  released.set_key_version(1);
  base::Bytes keys(vm_key.begin(), vm_key.end());
  keys.insert(keys.end(), boot_key_.begin(), boot_key_.end());
  const auto recipient = crypto::PublicKey::from_spki(claims->transfer_key);
  const auto algorithm = static_cast<crypto::TransferAlgorithm>(claims->transfer_algorithm);
  released.set_sealed_keys(text_of(*crypto::seal_to(
      *recipient, algorithm, vmgs::crypto::sha384(base::bytes_of(release->claims())), keys)));
  return finish(message, std::move(answer));
}

// The compare-and-set of a real broker: empty, or why not.
std::string FakeBroker::note(const pb::AnchorBody& body) {
  if (body.epoch() != epoch || !std::ranges::equal(base::bytes_of(body.boot_id()), owner)) {
    return "fenced";
  }
  if (!moves_anchor(body)) {
    return "";
  }
  if (anchor && anchor->epoch == epoch && anchor->sequence >= body.sequence()) {
    return "anchor-behind";
  }
  anchor = AnchorPoint{.epoch = epoch, .sequence = body.sequence()};
  std::ranges::copy(base::bytes_of(body.digest()), anchor->digest.begin());
  if (body.used_restore()) {
    ++restores;
    allowed_restore.reset();
  }
  return "";
}

base::Bytes FakeBroker::anchor_answer(base::ByteView message) {
  const auto request = parsed<pb::AnchorRequest>(message);
  const auto body = parsed<pb::AnchorBody>(base::bytes_of(request.body()));
  notices.push_back(body);
  pb::Answer answer;
  const auto mac = vmgs::crypto::hmac_sha256(boot_key_, base::bytes_of(request.body()));
  if (!std::ranges::equal(base::bytes_of(request.mac()), mac)) {
    refuse(answer, "mac");
    return finish(message, std::move(answer));
  }
  if (const auto found = recorded_.find(body.request_id()); found != recorded_.end()) {
    return found->second;
  }
  if (refuses_anchor) {
    refuse(answer, *refuses_anchor);
    return finish(message, std::move(answer));
  }
  if (const auto why_not = note(body); !why_not.empty()) {
    refuse(answer, why_not);
    return finish(message, std::move(answer));
  }
  auto& anchored = *answer.mutable_anchored();
  if (moves_anchor(body)) {
    pb::Receipt receipt;
    receipt.set_vm_id(text_of(vm_id_));
    write(*anchor, *receipt.mutable_anchor());
    receipt.set_restores(restores);
    receipt.set_kind(body.kind());
    anchored.set_receipt(text_of(encoded(
        *signer_->sign("strongroom.receipt/1", {}, base::bytes_of(receipt.SerializeAsString())))));
  }
  if (body.has_certification() && certifies) {
    certifies(body.certification(), anchored);
  }
  return recorded_[body.request_id()] = finish(message, std::move(answer));
}

}  // namespace tests::support
