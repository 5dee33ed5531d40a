// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/broker/challenge.h"
#include "keybroker/broker/cluster_secret.h"
#include "keybroker/broker/refusal.h"
#include "keybroker/crypto/key_transfer.h"
#include "keybroker/crypto/public_key.h"
#include "keybroker/protocol/release_claims.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::broker {

// ReleaseRequest is M1 as it came, its parts of sizes that they may have.
struct ReleaseRequest {
  store::RequestId request_id{};
  base::Bytes claims_bytes;
  protocol::ReleaseClaims claims;
  base::Bytes report;
  base::Bytes certificate_table;
  base::Bytes receipt;
};

// decode_release_request() fails with kInvalidArgument, beginning with request-too-large or
// request-malformed: there is no VM yet that a refusal could be signed for.
base::Result<ReleaseRequest> decode_release_request(base::ByteView bytes);

// AdmittedRequest is a request whose challenge counts, and the key to seal to.
struct AdmittedRequest {
  Challenge challenge;
  crypto::PublicKey transfer_key;
  crypto::TransferAlgorithm algorithm = crypto::TransferAlgorithm::kEcdhP384;
};

// admit() makes every check that needs neither records nor evidence. It refuses with a word of the
// challenge, or transfer-key-unusable.
Outcome<AdmittedRequest> admit(const ReleaseRequest& request, const ClusterSecrets& secrets,
                               crypto::Time now);

}  // namespace keybroker::broker
