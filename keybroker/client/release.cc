// SPDX-License-Identifier: Apache-2.0
#include "keybroker/client/release.h"

#include <string>
#include <utility>

#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::client {

namespace {

namespace pb = strongroom::broker::v1;
using base::ErrorCode;

constexpr std::size_t kRequestIdBytes = 16;
constexpr std::size_t kKeyBytes = 32;

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::Result<base::Bytes> fetch_challenge(Channel& channel, const protocol::Uuid& vm_id,
                                          const std::stop_token& stop) {
  pb::ChallengeRequest request;
  request.set_vm_id(text_of(vm_id));
  const auto message = request.SerializeAsString();
  TRY_ASSIGN(answer, channel.call(Method::kChallenge, base::bytes_of(message), stop));
  pb::ChallengeResponse response;
  if (answer.size() > kMaxAnswerBytes ||
      !response.ParseFromArray(answer.data(), static_cast<int>(answer.size())) ||
      response.challenge().empty() || response.challenge().size() > protocol::kMaxChallengeBytes) {
    return base::fail(ErrorCode::kUnavailable,
                      "an answer came that is no challenge of a key broker");
  }
  return base::copy_of(base::bytes_of(response.challenge()));
}

base::Result<Released> ask_once(Channel& channel, const Boot& boot,
                                const MakeEvidence& make_evidence, base::ByteView receipt,
                                const std::stop_token& stop) {
  std::string why;
  for (int attempt = 0; attempt < kMostReleaseAttempts; ++attempt) {
    TRY_ASSIGN(release, Release::begin(channel, boot, stop));
    TRY_ASSIGN(evidence, make_evidence(release.report_data()));
    TRY_ASSIGN(outcome, release.request(channel, evidence, receipt, stop));
    if (auto* released = std::get_if<Released>(&outcome)) {
      return std::move(*released);
    }
    const auto& refusal = std::get<Refusal>(outcome);
    if (!refusal.begin_again) {
      return base::fail(refusal.error());
    }
    why = refusal.error().message;
  }
  return base::fail(ErrorCode::kUnavailable, why + ", " + std::to_string(kMostReleaseAttempts) +
                                                 " times: the road to it is too slow");
}

}  // namespace

base::Result<Release> Release::begin(Channel& channel, const Boot& boot,
                                     const std::stop_token& stop) {
  TRY_ASSIGN(challenge, fetch_challenge(channel, boot.belief.vm_id, stop));
  TRY_ASSIGN(key, crypto::TransferKey::generate(
                      static_cast<crypto::TransferAlgorithm>(boot.transfer_algorithm)));

  TRY_ASSIGN(claims, protocol::encode({.vm_id = boot.belief.vm_id,
                                       .boot_id = boot.boot_id,
                                       .challenge = std::move(challenge),
                                       .transfer_algorithm = boot.transfer_algorithm,
                                       .transfer_key = key.public_key().spki(),
                                       .launch_digest = boot.launch_digest}));
  return Release(boot.belief, std::move(claims), std::move(key));
}

base::Result<std::variant<Released, Refusal>> Release::request(Channel& channel,
                                                               const ShownEvidence& evidence,
                                                               base::ByteView receipt,
                                                               const std::stop_token& stop) const {
  std::array<std::byte, kRequestIdBytes> request_id;
  TRY(vmgs::crypto::random_bytes(request_id));
  pb::ReleaseRequest request;
  request.set_request_id(text_of(request_id));
  request.set_claims(text_of(claims_));
  request.set_report(text_of(evidence.report));
  request.set_certificate_table(text_of(evidence.certificate_table));
  request.set_receipt(text_of(receipt));
  const auto message = request.SerializeAsString();
  TRY_ASSIGN(answer, channel.call(Method::kRelease, base::bytes_of(message), stop));
  return open(answer, base::bytes_of(message));
}

base::Result<std::variant<Released, Refusal>> Release::open(base::ByteView answer,
                                                            base::ByteView request) const {
  using Either = std::variant<Released, Refusal>;
  TRY_ASSIGN(outcome, believe(answer, request, belief_));
  if (auto* refusal = std::get_if<Refusal>(&outcome)) {
    return Either(std::move(*refusal));
  }
  const auto* terms = std::get_if<ReleasedTerms>(&outcome);
  if (terms == nullptr) {
    return base::fail(ErrorCode::kUnavailable,
                      "the key broker answered a release with something else");
  }
  const auto keys = key_.open(vmgs::crypto::sha384(claims_), terms->sealed_keys);
  if (!keys || keys->size() != 2 * kKeyBytes) {
    return base::fail(ErrorCode::kUnavailable,
                      "the key broker answered with keys that do not open here" +
                          (keys ? std::string() : ": " + keys.error().message));
  }
  const auto both = keys->expose();
  return Either(Released{.epoch = terms->epoch,
                         .anchor = terms->anchor,
                         .allowed_restore = terms->allowed_restore,
                         .restores = terms->restores,
                         .key_version = terms->key_version,
                         .vm_key = {base::Secret<kKeyBytes>::copy_of(both.first<kKeyBytes>())},
                         .boot_key = {base::Secret<kKeyBytes>::copy_of(both.last<kKeyBytes>())}});
}

base::Result<Released> ask_for_release(Channel& channel, const Boot& boot,
                                       const MakeEvidence& make_evidence, base::ByteView receipt,
                                       Patience patience, const std::stop_token& stop) {
  for (;;) {
    auto released = ask_once(channel, boot, make_evidence, receipt, stop);
    if (released || released.error().code != ErrorCode::kUnavailable ||
        !patience.may_call_again(channel, stop)) {
      return released;
    }
  }
}

}  // namespace keybroker::client
