// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/owner_policies.h"

#include "keybroker/protocol/uuid.h"

namespace keybroker::broker {

namespace {

using policy::Compatibility;

// How a policy is to be read stands in front of its text: it is part of what was agreed upon.
constexpr std::string_view kStrict = "strict\n";
constexpr std::string_view kAkv = "akv\n";

}  // namespace

base::Result<StoredPolicy> put_policy(store::BrokerRecords& records, std::string_view text,
                                      Compatibility compatibility, crypto::Time now) {
  TRY_ASSIGN(parsed, policy::parse_release_policy(text, compatibility));
  const auto digest = policy::policy_digest(parsed);
  const auto form = compatibility == Compatibility::kAkv ? kAkv : kStrict;
  TRY(records.put_policy(digest, std::string(form) + policy::canonical_form(parsed), now));
  return StoredPolicy{digest, policy::examine(parsed)};
}

base::Result<policy::ReleasePolicy> load_policy(store::BrokerRecords& records,
                                                const protocol::Sha256Digest& digest) {
  TRY_ASSIGN(kept, records.policy(digest));
  const std::string_view text(kept);
  const bool akv = text.starts_with(kAkv);
  if (!akv && !text.starts_with(kStrict)) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "policy " + base::to_hex(digest) + " on record is damaged");
  }
  const auto parsed =
      policy::parse_release_policy(text.substr(akv ? kAkv.size() : kStrict.size()),
                                   akv ? Compatibility::kAkv : Compatibility::kStrict);
  if (!parsed || policy::policy_digest(*parsed) != digest) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "policy " + base::to_hex(digest) + " on record is not the one of its digest");
  }
  return *parsed;
}

base::Result<std::vector<policy::OwnedPolicy>> load_owned_policies(
    store::BrokerRecords& records, std::span<const store::OwnerPolicy> policies) {
  std::vector<policy::OwnedPolicy> owned;
  for (const auto& each : policies) {
    TRY_ASSIGN(loaded, load_policy(records, each.policy));
    owned.push_back({protocol::uuid_text(each.owner), std::move(loaded)});
  }
  return owned;
}

}  // namespace keybroker::broker
