// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/launch_document.h"

#include <algorithm>
#include <span>
#include <utility>

#include "keybroker/protocol/launch_document.pb.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::protocol {

namespace {

namespace pb = ::strongroom::launch::v1;

template <typename Enum>
struct Word {
  Enum value;
  std::string_view word;
};

constexpr std::array kTeeFamilies{Word<TeeFamily>{TeeFamily::kNone, "none"},
                                  Word<TeeFamily>{TeeFamily::kSevSnp, "sev-snp"},
                                  Word<TeeFamily>{TeeFamily::kTdx, "tdx"}};
constexpr std::array kProtections{Word<Protection>{Protection::kNone, "none"},
                                  Word<Protection>{Protection::kHost, "host"},
                                  Word<Protection>{Protection::kHardware, "hardware"},
                                  Word<Protection>{Protection::kBroker, "broker"}};
constexpr std::array kLifetimes{Word<Lifetime>{Lifetime::kEphemeral, "ephemeral"},
                                Word<Lifetime>{Lifetime::kPersistent, "persistent"}};
constexpr std::array kOfflineRules{Word<OfflineRule>{OfflineRule::kDeny, "deny"},
                                   Word<OfflineRule>{OfflineRule::kAllow, "allow"}};
constexpr std::array kAnchorClasses{Word<AnchorClass>{AnchorClass::kNone, "none"},
                                    Word<AnchorClass>{AnchorClass::kBoot, "boot"},
                                    Word<AnchorClass>{AnchorClass::kInterval, "interval"},
                                    Word<AnchorClass>{AnchorClass::kCounter, "counter"},
                                    Word<AnchorClass>{AnchorClass::kEach, "each"}};
constexpr std::array kLeases{Word<Lease>{Lease::kNone, "none"},
                             Word<Lease>{Lease::kStrict, "strict"}};

// Each table lists the enumerators in the order of their numbers, which start at 1.
template <typename Enum, std::size_t N>
constexpr bool is_in_order(const std::array<Word<Enum>, N>& words) {
  for (std::size_t i = 0; i < N; ++i) {
    if (static_cast<std::size_t>(words[i].value) != i + 1) {
      return false;
    }
  }
  return true;
}

static_assert(is_in_order(kTeeFamilies) && kTeeFamilies.size() == pb::TeeFamily_MAX);
static_assert(is_in_order(kProtections) && kProtections.size() == pb::Protection_MAX);
static_assert(is_in_order(kLifetimes) && kLifetimes.size() == pb::Lifetime_MAX);
static_assert(is_in_order(kOfflineRules) && kOfflineRules.size() == pb::OfflineRule_MAX);
static_assert(is_in_order(kAnchorClasses) && kAnchorClasses.size() == pb::AnchorClass_MAX);
static_assert(is_in_order(kLeases) && kLeases.size() == pb::Lease_MAX);

template <typename Enum, std::size_t N>
std::string_view word_of(const std::array<Word<Enum>, N>& words, Enum value) {
  const auto index = static_cast<std::size_t>(value) - 1;
  return index < N ? words[index].word : "?";
}

template <typename Enum, std::size_t N>
base::Result<Enum> parse(const std::array<Word<Enum>, N>& words, std::string_view what,
                         std::string_view word) {
  std::string right;
  for (const auto& candidate : words) {
    if (candidate.word == word) {
      return candidate.value;
    }
    right += (right.empty() ? "" : ", ") + std::string(candidate.word);
  }
  return base::fail(
      base::ErrorCode::kInvalidArgument,
      "'" + std::string(word) + "' is no " + std::string(what) + "; expected one of " + right);
}

auto refuse(std::string why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "launch document: " + std::move(why));
}

auto corrupt(std::string why) {
  return base::fail(base::ErrorCode::kCorrupt, "launch document: " + std::move(why));
}

bool is_nil(const Uuid& id) { return base::is_all_zero(id); }

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <std::size_t N>
base::Result<std::array<std::byte, N>> exactly(std::string_view field, const std::string& value) {
  if (value.size() != N) {
    return corrupt(std::string(field) + " has " + std::to_string(value.size()) +
                   " bytes, expected " + std::to_string(N));
  }
  std::array<std::byte, N> out;
  std::ranges::copy(base::bytes_of(value), out.begin());
  return out;
}

// optionally() reads a field that is absent when it is empty.
template <std::size_t N>
base::Result<std::optional<std::array<std::byte, N>>> optionally(std::string_view field,
                                                                 const std::string& value) {
  if (value.empty()) {
    return std::optional<std::array<std::byte, N>>();
  }
  TRY_ASSIGN(bytes, exactly<N>(field, value));
  return std::optional(bytes);
}

// known() narrows an enumerator, which proto3 leaves open, to one of `words`.
template <typename Enum, std::size_t N>
base::Result<Enum> known(const std::array<Word<Enum>, N>& words, std::string_view field,
                         int number) {
  if (number < 1 || std::cmp_greater(number, N)) {
    return corrupt(std::string(field) + " has the unknown value " + std::to_string(number));
  }
  return words[static_cast<std::size_t>(number) - 1].value;
}

base::Result<void> check_roots(const std::vector<Sha256Digest>& roots) {
  if (roots.size() > kMaxBrokerRoots) {
    return refuse("names " + std::to_string(roots.size()) + " broker roots; at most " +
                  std::to_string(kMaxBrokerRoots) + " fit");
  }
  for (std::size_t i = 1; i < roots.size(); ++i) {
    if (!(roots[i - 1] < roots[i])) {
      return refuse("broker root hashes must ascend and none may appear twice");
    }
  }
  return {};
}

base::Result<void> check_protection(const LaunchDocument& document) {
  const bool ordinary = document.tee_family == TeeFamily::kNone;
  if (document.lifetime == Lifetime::kEphemeral && document.protection != Protection::kNone) {
    return refuse("an ephemeral VM keeps no state, so protection '" +
                  std::string(name(document.protection)) + "' must be 'none'");
  }
  if (ordinary && (document.protection == Protection::kHardware ||
                   document.protection == Protection::kBroker)) {
    return refuse("protection '" + std::string(name(document.protection)) +
                  "' needs a confidential VM: set the TEE family to sev-snp or tdx, or choose "
                  "protection host");
  }
  if (!ordinary && document.protection == Protection::kHost) {
    return refuse(
        "protection 'host' keeps nothing from the host of a confidential VM: choose hardware, "
        "broker or none");
  }
  return {};
}

base::Result<void> check_broker(const LaunchDocument& document) {
  const bool broker = document.protection == Protection::kBroker;
  const bool anchored = document.anchor_class != AnchorClass::kNone;
  if (broker && !document.tenant) {
    return refuse("protection 'broker' needs a tenant");
  }
  if (broker && !anchored) {
    return refuse("protection 'broker' needs an anchor class: 'boot'");
  }
  if (broker && document.anchor_class != AnchorClass::kBoot) {
    return refuse("anchor class '" + std::string(name(document.anchor_class)) +
                  "' is not offered yet with protection 'broker': choose 'boot', which anchors the "
                  "state at each start and stop");
  }
  if (broker && document.lease == Lease::kStrict) {
    return refuse(
        "a strict lease is renewed while the guest runs, and anchor class 'boot' does not");
  }
  if ((broker || anchored) && document.broker_root_hashes.empty()) {
    return refuse("protection 'broker' and anchors need the hash of at least one broker root");
  }
  if (anchored && document.lifetime == Lifetime::kEphemeral) {
    return refuse("an ephemeral VM keeps no state, so its anchor class must be 'none'");
  }
  const bool interval = document.anchor_class == AnchorClass::kInterval;
  if (interval && document.anchor_interval_seconds < kMinAnchorIntervalSeconds) {
    return refuse("anchor class 'interval' needs an interval of at least 60 seconds");
  }
  if (!interval && document.anchor_interval_seconds != 0) {
    return refuse("only anchor class 'interval' has an interval");
  }
  if (document.lease == Lease::kStrict && !anchored) {
    return refuse("a strict lease is renewed by anchors, so the anchor class cannot be 'none'");
  }
  if (document.offline_rule == OfflineRule::kAllow && !broker) {
    return refuse("offline rule 'allow' is about a broker: it goes with protection 'broker' only");
  }
  return {};
}

}  // namespace

std::string_view name(TeeFamily family) { return word_of(kTeeFamilies, family); }

std::string_view name(Protection protection) { return word_of(kProtections, protection); }

std::string_view name(Lifetime lifetime) { return word_of(kLifetimes, lifetime); }

std::string_view name(OfflineRule rule) { return word_of(kOfflineRules, rule); }

std::string_view name(AnchorClass anchor) { return word_of(kAnchorClasses, anchor); }

std::string_view name(Lease lease) { return word_of(kLeases, lease); }

base::Result<TeeFamily> parse_tee_family(std::string_view word) {
  return parse(kTeeFamilies, "TEE family", word);
}

base::Result<Protection> parse_protection(std::string_view word) {
  return parse(kProtections, "protection", word);
}

base::Result<Lifetime> parse_lifetime(std::string_view word) {
  return parse(kLifetimes, "lifetime", word);
}

base::Result<OfflineRule> parse_offline_rule(std::string_view word) {
  return parse(kOfflineRules, "offline rule", word);
}

base::Result<AnchorClass> parse_anchor_class(std::string_view word) {
  return parse(kAnchorClasses, "anchor class", word);
}

base::Result<Lease> parse_lease(std::string_view word) { return parse(kLeases, "lease", word); }

base::Result<void> check(const LaunchDocument& document) {
  if (is_nil(document.vm_id)) {
    return refuse("the VM id is all zero");
  }
  if (document.tenant && is_nil(*document.tenant)) {
    return refuse("the tenant is all zero; leave it out where there are no tenants");
  }
  TRY(check_roots(document.broker_root_hashes));
  TRY(check_protection(document));
  return check_broker(document);
}

base::Result<base::Bytes> encode(const LaunchDocument& document) {
  TRY(check(document));
  pb::LaunchDocument message;
  message.set_version(kLaunchDocumentVersion);
  message.set_vm_id(text_of(document.vm_id));
  if (document.tenant) {
    message.set_tenant(text_of(*document.tenant));
  }
  message.set_tee_family(static_cast<pb::TeeFamily>(document.tee_family));
  for (const auto& hash : document.broker_root_hashes) {
    message.add_broker_root_hashes(text_of(hash));
  }
  message.set_protection(static_cast<pb::Protection>(document.protection));
  message.set_lifetime(static_cast<pb::Lifetime>(document.lifetime));
  message.set_offline_rule(static_cast<pb::OfflineRule>(document.offline_rule));
  message.set_anchor_class(static_cast<pb::AnchorClass>(document.anchor_class));
  message.set_anchor_interval_seconds(document.anchor_interval_seconds);
  message.set_lease(static_cast<pb::Lease>(document.lease));
  if (document.secure_boot_template_digest) {
    message.set_secure_boot_template_digest(text_of(*document.secure_boot_template_digest));
  }
  if (document.policy_digest) {
    message.set_policy_digest(text_of(*document.policy_digest));
  }
  // Fields are written in the order of their numbers, defaults are left out and there are no maps:
  // these bytes depend on the document alone.
  return base::copy_of(base::bytes_of(message.SerializeAsString()));
}

base::Result<LaunchDocument> decode_launch_document(base::ByteView bytes) {
  if (bytes.size() > kMaxLaunchDocumentBytes) {
    return corrupt("has " + std::to_string(bytes.size()) + " bytes, at most " +
                   std::to_string(kMaxLaunchDocumentBytes) + " are allowed");
  }
  pb::LaunchDocument message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return corrupt("is not a protobuf message");
  }
  if (message.version() > kLaunchDocumentVersion) {
    return corrupt("version " + std::to_string(message.version()) +
                   " is newer than this program, which knows version 1; update it");
  }
  if (message.version() == 0) {
    return corrupt("has no version");
  }
  LaunchDocument document;
  TRY_ASSIGN(vm_id, exactly<16>("vm_id", message.vm_id()));
  document.vm_id = vm_id;
  TRY_ASSIGN(tenant, optionally<16>("tenant", message.tenant()));
  document.tenant = tenant;
  TRY_ASSIGN(tee_family, known(kTeeFamilies, "tee_family", message.tee_family()));
  document.tee_family = tee_family;
  for (const auto& hash : message.broker_root_hashes()) {
    TRY_ASSIGN(root, exactly<32>("broker_root_hashes", hash));
    document.broker_root_hashes.push_back(root);
  }
  TRY_ASSIGN(protection, known(kProtections, "protection", message.protection()));
  document.protection = protection;
  TRY_ASSIGN(lifetime, known(kLifetimes, "lifetime", message.lifetime()));
  document.lifetime = lifetime;
  TRY_ASSIGN(offline_rule, known(kOfflineRules, "offline_rule", message.offline_rule()));
  document.offline_rule = offline_rule;
  TRY_ASSIGN(anchor_class, known(kAnchorClasses, "anchor_class", message.anchor_class()));
  document.anchor_class = anchor_class;
  document.anchor_interval_seconds = message.anchor_interval_seconds();
  TRY_ASSIGN(lease, known(kLeases, "lease", message.lease()));
  document.lease = lease;
  TRY_ASSIGN(secure_boot,
             optionally<32>("secure_boot_template_digest", message.secure_boot_template_digest()));
  document.secure_boot_template_digest = secure_boot;
  TRY_ASSIGN(policy, optionally<32>("policy_digest", message.policy_digest()));
  document.policy_digest = policy;

  auto again = encode(document);
  if (!again) {
    return base::fail(base::ErrorCode::kCorrupt, std::move(again).error().message);
  }
  // Unknown fields, another order, repeated or over-long fields all end here.
  if (!std::ranges::equal(*again, bytes)) {
    return corrupt("is not in its canonical encoding, so its digest is not to be relied on");
  }
  return document;
}

LaunchDigest launch_digest(base::ByteView document, TeeFamily family) {
  LaunchDigest digest;
  if (family == TeeFamily::kSevSnp) {
    std::ranges::copy(vmgs::crypto::sha256(document), digest.bytes.begin());
  } else {
    digest.bytes = vmgs::crypto::sha384(document);
  }
  return digest;
}

}  // namespace keybroker::protocol
