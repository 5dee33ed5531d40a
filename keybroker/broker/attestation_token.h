// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "keybroker/broker/refusal.h"
#include "keybroker/broker/token_keys.h"
#include "keybroker/broker/worker.h"

namespace keybroker::broker {

// TokenRules is what all workers make and believe tokens by. Immutable.
struct TokenRules {
  TokenKeys keys;
  std::string issuer;  // the URL of the face for guests, without a slash at its end
  std::chrono::seconds life{300};
};

// The largest documents of the face for guests.
inline constexpr std::size_t kMaxGuestRequestBytes = 512 * 1024;
inline constexpr std::size_t kMaxRuntimeDataBytes = 8 * 1024;

// answer_guest_challenge() reads {"vm_id": UUID} and gives {"challenge": base64url, "expires_in":
// seconds}. Whether the VM is registered is not told.
//
// `caller` is where the request came from; it stands in the log and has a budget of its own for
// each VM. The functions of this face fail with a Refusal, which is in the VM's log by then, or an
// Error that says nothing about it: kInvalidArgument for what is no such request, and as
// answer_release().
Outcome<boost::json::object> answer_guest_challenge(Worker& worker, std::string_view caller,
                                                    std::string_view request, crypto::Time now);

// answer_attestation() makes a token of a guest's evidence. It reads
//
//   {"challenge": base64url, "runtime_data": base64url, "evidence": a bundle (evidence/bundle.h)}
//
// and gives {"token": JWT, "expires_in": seconds}. The runtime data are JSON that the evidence
// commits to (protocol/guest_attestation.h):
//
//   {"keys": [one public JWK], "nonce": text, "aud": text, "client-payload": object}
//
// of which only the key, RSA or an elliptic curve, must be there: what is released for the token is
// wrapped to it. The order: sizes and form; the budget; the challenge; the registration; the
// evidence; the challenge is used up, with a line in the VM's log; the signature. A refusal between
// the challenge and the end of the evidence is `before_evidence`: anybody can ask about any VM.
// Such refusals have a budget for each VM, of all callers together, beyond which they are counted
// and not written.
//
// The token is a JWS (ES384, typ JWT) whose claims are those of policy::claim_set(), and iss, sub
// (the VM as a URN), aud (the issuer, unless the runtime data name another), iat, nbf, exp, jti,
// nonce, cnf (RFC 7800: the thumbprint `jkt` of the key), x-ms-attestation-type, x-ms-runtime (the
// key and the client's payload) and strongroom-boot-id. TOKENS.md lists them.
Outcome<boost::json::object> answer_attestation(Worker& worker, const TokenRules& rules,
                                                std::string_view caller, std::string_view request,
                                                crypto::Time now);

// open_token() gives the claims of a token that one of the keys signed, for which this issuer is
// the audience, and that counts at `now`. It refuses with token-forged, token-expired or
// token-other-audience.
Outcome<boost::json::object> open_token(const TokenRules& rules, std::string_view token,
                                        crypto::Time now);

// openid_configuration() is what relying parties look up: the issuer, where its keys are, and by
// what it signs.
boost::json::object openid_configuration(const TokenRules& rules);

}  // namespace keybroker::broker
