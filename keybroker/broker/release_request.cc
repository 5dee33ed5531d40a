// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/release_request.h"

#include <algorithm>

#include "keybroker/broker/evidence_rules.h"
#include "keybroker/broker/release_key.h"
#include "keybroker/protocol/broker.pb.h"

namespace keybroker::broker {

namespace {

namespace pb = strongroom::broker::v1;

auto unanswerable(RefusalReason reason, const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, std::string(card(reason).word) + ": " + why);
}

base::Result<base::Bytes> part(const std::string& field, std::string_view name, std::size_t most) {
  if (field.size() > most) {
    return unanswerable(RefusalReason::kRequestTooLarge,
                        std::string(name) + " has " + std::to_string(field.size()) +
                            " bytes, at most " + std::to_string(most) + " are allowed");
  }
  return base::copy_of(base::bytes_of(field));
}

crypto::TransferAlgorithm algorithm_of(const protocol::ReleaseClaims& claims) {
  return claims.transfer_algorithm == protocol::TransferAlgorithm::kEcdhP384
             ? crypto::TransferAlgorithm::kEcdhP384
             : crypto::TransferAlgorithm::kRsa3072OaepSha384;
}

}  // namespace

base::Result<ReleaseRequest> decode_release_request(base::ByteView bytes) {
  if (bytes.size() > kMaxReleaseRequestBytes) {
    return unanswerable(RefusalReason::kRequestTooLarge,
                        "it has " + std::to_string(bytes.size()) + " bytes, at most " +
                            std::to_string(kMaxReleaseRequestBytes) + " are allowed");
  }
  pb::ReleaseRequest message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return unanswerable(RefusalReason::kRequestMalformed, "it is no ReleaseRequest");
  }
  ReleaseRequest request;
  if (message.request_id().size() != request.request_id.size()) {
    return unanswerable(
        RefusalReason::kRequestMalformed,
        "request_id has " + std::to_string(message.request_id().size()) + " bytes, expected 16");
  }
  std::ranges::copy(base::bytes_of(message.request_id()), request.request_id.begin());
  TRY_ASSIGN(claims_bytes, part(message.claims(), "claims", protocol::kMaxReleaseClaimsBytes));
  auto claims = protocol::decode_release_claims(claims_bytes);
  if (!claims) {
    return unanswerable(RefusalReason::kRequestMalformed, claims.error().message);
  }
  request.claims_bytes = std::move(claims_bytes);
  request.claims = *std::move(claims);
  TRY_ASSIGN(report, part(message.report(), "report", kMaxReportBytes));
  request.report = std::move(report);
  TRY_ASSIGN(table,
             part(message.certificate_table(), "certificate_table", kMaxCertificateTableBytes));
  request.certificate_table = std::move(table);
  TRY_ASSIGN(receipt, part(message.receipt(), "receipt", kMaxReceiptBytes));
  request.receipt = std::move(receipt);
  return request;
}

Outcome<AdmittedRequest> admit(const ReleaseRequest& request, const ClusterSecrets& secrets,
                               crypto::Time now) {
  const auto& claims = request.claims;
  auto challenge = judge_challenge(secrets, claims.challenge, claims.vm_id, now);
  if (!challenge) {
    return failed(std::move(challenge));
  }
  const auto algorithm = algorithm_of(claims);
  auto key = crypto::PublicKey::from_spki(claims.transfer_key);
  if (!key) {
    return refuse(RefusalReason::kTransferKeyUnusable, key.error().message);
  }
  if (const auto usable = crypto::check_transfer_key(*key, algorithm); !usable) {
    return refuse(RefusalReason::kTransferKeyUnusable, usable.error().message);
  }
  return AdmittedRequest{*challenge, *std::move(key), algorithm};
}

}  // namespace keybroker::broker
