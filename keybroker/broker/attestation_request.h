// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "keybroker/crypto/public_key.h"
#include "keybroker/evidence/verify.h"
#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/result.h"

namespace keybroker::broker {

// RuntimeData is what a guest says beside its evidence, which commits to it.
struct RuntimeData {
  crypto::PublicKey key;  // what is released is wrapped to it
  std::string key_id;     // as the guest calls it; its thumbprint if it does not
  std::optional<std::string> nonce{};
  std::optional<std::string> audience{};
  std::optional<boost::json::object> payload{};
};

inline constexpr std::size_t kMaxRuntimeTextBytes = 512;

// decode_runtime_data() reads it as attestation_token.h has it. kInvalidArgument, naming the
// member, for anything else: members that are not known, none or several keys, a key with a private
// half.
base::Result<RuntimeData> decode_runtime_data(std::string_view text);

// AttestationRequest is a guest's request for a token. Nothing of it is verified.
struct AttestationRequest {
  base::Bytes challenge;
  base::Bytes runtime_bytes;
  RuntimeData runtime;
  evidence::Evidence evidence;
  protocol::ExtendedClaims claimed;  // as the evidence has them
};

// decode_attestation_request() reads one. kInvalidArgument, beginning with request-malformed or
// request-too-large.
base::Result<AttestationRequest> decode_attestation_request(std::string_view text);

// decode_guest_challenge_request() reads {"vm_id": UUID}. Errors as above.
base::Result<protocol::Uuid> decode_guest_challenge_request(std::string_view text);

// guest_object() reads a JSON object whose members are all of `names`. kInvalidArgument, beginning
// with request-malformed or request-too-large.
base::Result<boost::json::object> guest_object(std::string_view text, std::size_t most_bytes,
                                               std::initializer_list<std::string_view> names);

}  // namespace keybroker::broker
