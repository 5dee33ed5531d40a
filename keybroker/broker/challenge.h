// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "keybroker/broker/cluster_secret.h"
#include "keybroker/broker/refusal.h"
#include "keybroker/crypto/time.h"
#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::broker {

using ChallengeNonce = std::array<std::byte, 32>;

// A challenge proves that a request is younger than the moment in which it was made. A broker
// remembers none that it made, only those that were used: the token tells all it has to know.
//
//   offset  size
//        0     1  form, 1
//        1     4  version of the cluster secret, big-endian
//        5    16  vm_id
//       21    32  nonce
//       53     8  when it ends, in seconds since 1970, big-endian
//       61    32  HMAC-SHA256 of the above under challenge_key()
struct Challenge {
  protocol::Uuid vm_id{};
  ChallengeNonce nonce{};
  crypto::Time until;  // it counts until then, exclusively

  friend bool operator==(const Challenge&, const Challenge&) = default;
};

inline constexpr std::size_t kChallengeBytes = 93;

// How long a boot may take from its challenge to its request.
inline constexpr std::chrono::seconds kChallengeLife{300};

// make_challenge() draws a nonce and gives the token, under the newest secret.
base::Result<base::Bytes> make_challenge(const ClusterSecrets& secrets, const protocol::Uuid& vm_id,
                                         crypto::Time now);

// judge_challenge() reads a token that one of the secrets authenticates. It refuses with
// challenge-unknown, challenge-other-vm or challenge-expired, in this order. Whether it was used is
// the record store's to say.
Outcome<Challenge> judge_challenge(const ClusterSecrets& secrets, base::ByteView token,
                                   const protocol::Uuid& vm_id, crypto::Time now);

}  // namespace keybroker::broker
