// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "keybroker/broker/attestation_token.h"

namespace keybroker::broker {

// The key that is asked for, as the path of a request has it.
struct WorkloadKeyPath {
  std::string name;
  std::optional<std::uint64_t> version{};  // the newest without it
};

// parse_workload_key_path() reads "NAME/release" and "NAME/VERSION/release". Nothing for another.
std::optional<WorkloadKeyPath> parse_workload_key_path(std::string_view path);

// answer_key_release() releases a workload key to a token of ours. It reads
//
//   {"target": token, "nonce": text, "enc": text}
//
// and gives {"value": JWS}, as Azure Key Vault does. `enc` is RSA_AES_KEY_WRAP_384, which is meant
// where it is absent and the token's key is RSA, RSA_AES_KEY_WRAP_256, or STRONGROOM_ECDH_P384,
// which is meant where that is of P-384; SHA-1 is not offered. The name is looked up among the keys
// of the VM's own tenant, and nothing but workload keys has a name.
//
// The order: the token; the caller's budget; the VM's registration; that this boot owns the VM and
// its state is fresh, now as when it attested; the key; its policy over the token's claims; the
// transfer key; the token is used up for this key, with the policy's trace in the VM's log; the
// key is taken out of its wrapping; the wrap to the token's key; the signature.
//
// It refuses as open_token(), whose refusals are in no log as nobody knows whose they are, and with
// vm-unregistered, vm-disabled, vm-deleted, state-not-fresh, key-unknown, policy-denied,
// transfer-key-unusable and token-used, which are in the VM's.
//
// The JWS (ES384, typ strongroom.key-release+jws, by the keys of the token) has the members request
// {api-version, enc, kid, nonce} and response.key {attributes, key {kid, kty, key_hsm},
// release_policy}; key_hsm is base64url of {schema_version, header {kid, alg, enc}, ciphertext}.
// With RSA the ciphertext is wrap_rsa_aes(), with P-384 seal_to() whose info is
// protocol::workload_info().
Outcome<boost::json::object> answer_key_release(Worker& worker, const TokenRules& rules,
                                                std::string_view caller,
                                                const WorkloadKeyPath& path,
                                                std::string_view request, crypto::Time now);

}  // namespace keybroker::broker
