// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/challenge.h"

#include <algorithm>

#include "keybroker/protocol/uuid.h"
#include "vmgs/base/layout.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::broker {

namespace {

constexpr std::uint8_t kForm = 1;

struct TokenLayout {
  std::uint8_t form;
  base::U32Be secret_version;
  protocol::Uuid vm_id;
  ChallengeNonce nonce;
  base::U64Be until;
  vmgs::crypto::Sha256Digest mac;
};

static_assert(sizeof(TokenLayout) == kChallengeBytes);

base::Result<vmgs::crypto::Sha256Digest> mac_of(const ClusterSecrets::Version& version,
                                                const TokenLayout& token) {
  TRY_ASSIGN(key, challenge_key(version));
  const auto authenticated = base::ByteView(base::view(token)).first(offsetof(TokenLayout, mac));
  return vmgs::crypto::hmac_sha256(key.expose(), authenticated);
}

std::string seconds(std::chrono::seconds span) { return std::to_string(span.count()) + " s"; }

}  // namespace

base::Result<base::Bytes> make_challenge(const ClusterSecrets& secrets, const protocol::Uuid& vm_id,
                                         crypto::Time now) {
  TokenLayout token{};
  token.form = kForm;
  token.secret_version = secrets.making().number;
  token.vm_id = vm_id;
  TRY(vmgs::crypto::random_bytes(token.nonce));
  token.until = static_cast<std::uint64_t>((now + kChallengeLife).time_since_epoch().count());
  TRY_ASSIGN(mac, mac_of(secrets.making(), token));
  token.mac = mac;
  return base::copy_of(base::view(token));
}

Outcome<Challenge> judge_challenge(const ClusterSecrets& secrets, base::ByteView token,
                                   const protocol::Uuid& vm_id, crypto::Time now) {
  if (token.size() != kChallengeBytes) {
    return refuse(RefusalReason::kChallengeUnknown, "It has " + std::to_string(token.size()) +
                                                        " bytes, not " +
                                                        std::to_string(kChallengeBytes));
  }
  const auto layout = base::load<TokenLayout>(token.first<kChallengeBytes>());
  if (layout.form != kForm) {
    return refuse(RefusalReason::kChallengeUnknown,
                  "Its form is " + std::to_string(layout.form) + ", not 1");
  }
  const auto version = std::ranges::find(secrets.versions(), layout.secret_version.value(),
                                         &ClusterSecrets::Version::number);
  if (version == secrets.versions().end()) {
    return refuse(RefusalReason::kChallengeUnknown,
                  "It names version " + std::to_string(layout.secret_version.value()) +
                      " of the cluster secret");
  }
  auto mac = mac_of(*version, layout);
  if (!mac) {
    return failed(std::move(mac));
  }
  if (!vmgs::crypto::equal_in_constant_time(*mac, layout.mac)) {
    return refuse(RefusalReason::kChallengeUnknown, "It does not authenticate");
  }
  if (layout.vm_id != vm_id) {
    return refuse(RefusalReason::kChallengeOtherVm,
                  "It is for " + protocol::uuid_text(layout.vm_id) + ", the request for " +
                      protocol::uuid_text(vm_id));
  }
  const crypto::Time until(std::chrono::seconds(static_cast<std::int64_t>(layout.until.value())));
  if (now >= until) {
    return refuse(RefusalReason::kChallengeExpired, "It ended " + seconds(now - until) + " ago");
  }
  return Challenge{layout.vm_id, layout.nonce, until};
}

}  // namespace keybroker::broker
