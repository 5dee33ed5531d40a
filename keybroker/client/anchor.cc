// SPDX-License-Identifier: Apache-2.0
#include "keybroker/client/anchor.h"

#include <string>
#include <utility>

#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::client {

namespace {

namespace pb = strongroom::broker::v1;
using base::ErrorCode;

constexpr std::size_t kRequestIdBytes = 16;

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

auto not_believed(const std::string& why) {
  return base::fail(ErrorCode::kUnavailable, "the key broker's answer is not believed: " + why);
}

}  // namespace

base::Result<AnchorRequest> AnchorRequest::make(const Boot& boot, std::uint64_t epoch,
                                                const BootKey& boot_key, Notice notice) {
  std::array<std::byte, kRequestIdBytes> request_id;
  TRY(vmgs::crypto::random_bytes(request_id));
  pb::AnchorBody body;
  body.set_request_id(text_of(request_id));
  body.set_vm_id(text_of(boot.belief.vm_id));
  body.set_epoch(epoch);
  body.set_boot_id(text_of(boot.boot_id));
  body.set_kind(static_cast<pb::AnchorBody::Kind>(notice.kind));
  if (notice.kind != AnchorKind::kRenewal) {
    body.set_sequence(notice.sequence);
    body.set_digest(text_of(notice.digest));
    body.set_used_restore(notice.used_restore);
  }
  if (notice.kind == AnchorKind::kBoot) {
    body.set_launch_digest(text_of(boot.launch_digest));
  }
  if (notice.certification) {
    *body.mutable_certification() = *notice.certification;
  }
  pb::AnchorRequest request;
  request.set_body(body.SerializeAsString());
  request.set_mac(
      text_of(vmgs::crypto::hmac_sha256(boot_key.bytes.expose(), base::bytes_of(request.body()))));
  return AnchorRequest(boot.belief, epoch, std::move(notice),
                       base::copy_of(base::bytes_of(request.SerializeAsString())));
}

base::Result<std::variant<Anchored, Refusal>> AnchorRequest::send(
    Channel& channel, const std::stop_token& stop) const {
  TRY_ASSIGN(answer, channel.call(Method::kAnchor, bytes_, stop));
  return open(answer);
}

base::Result<std::variant<Anchored, Refusal>> AnchorRequest::open(base::ByteView answer) const {
  using Either = std::variant<Anchored, Refusal>;
  TRY_ASSIGN(outcome, believe(answer, bytes_, belief_));
  if (auto* refusal = std::get_if<Refusal>(&outcome)) {
    return Either(std::move(*refusal));
  }
  auto* terms = std::get_if<AnchoredTerms>(&outcome);
  if (terms == nullptr) {
    return not_believed("it is one to something else");
  }
  Anchored anchored;
  if (notice_.kind == AnchorKind::kBoot || notice_.kind == AnchorKind::kClosed) {
    const auto receipt = open_receipt(terms->receipt, belief_);
    if (!receipt) {
      return not_believed("its receipt: " + receipt.error().message);
    }
    const AnchorPoint asked{epoch_, notice_.sequence, notice_.digest};
    if (receipt->anchor != asked ||
        receipt->kind != static_cast<pb::AnchorBody::Kind>(notice_.kind)) {
      return not_believed("its receipt is for another state");
    }
    anchored.receipt = std::move(terms->receipt);
    anchored.restores = receipt->restores;
  }
  anchored.wants_certification = terms->wants_certification;
  anchored.certificates = std::move(terms->certificates);
  anchored.certification_refusal = std::move(terms->certification_refusal);
  return Either(std::move(anchored));
}

}  // namespace keybroker::client
