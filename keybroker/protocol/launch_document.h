// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::protocol {

// A UUID (RFC 4122) in its network byte order.
using Uuid = std::array<std::byte, 16>;

using Sha256Digest = std::array<std::byte, 32>;

// The numbers are those of launch_document.proto.
enum class TeeFamily : std::uint8_t { kNone = 1, kSevSnp = 2, kTdx = 3 };
enum class Protection : std::uint8_t { kNone = 1, kHost = 2, kHardware = 3, kBroker = 4 };
enum class Lifetime : std::uint8_t { kEphemeral = 1, kPersistent = 2 };
enum class OfflineRule : std::uint8_t { kDeny = 1, kAllow = 2 };
enum class AnchorClass : std::uint8_t {
  kNone = 1,
  kBoot = 2,
  kInterval = 3,
  kCounter = 4,
  kEach = 5
};
enum class Lease : std::uint8_t { kNone = 1, kStrict = 2 };

// name() is the lower-case word for options, JSON and messages, as in "hardware" or "sev-snp".
std::string_view name(TeeFamily family);
std::string_view name(Protection protection);
std::string_view name(Lifetime lifetime);
std::string_view name(OfflineRule rule);
std::string_view name(AnchorClass anchor);
std::string_view name(Lease lease);

// The inverse of name(). kInvalidArgument for any other word; the message lists the right ones.
base::Result<TeeFamily> parse_tee_family(std::string_view word);
base::Result<Protection> parse_protection(std::string_view word);
base::Result<Lifetime> parse_lifetime(std::string_view word);
base::Result<OfflineRule> parse_offline_rule(std::string_view word);
base::Result<AnchorClass> parse_anchor_class(std::string_view word);
base::Result<Lease> parse_lease(std::string_view word);

inline constexpr std::uint32_t kLaunchDocumentVersion = 1;
inline constexpr std::size_t kMaxLaunchDocumentBytes = 1024;
inline constexpr std::size_t kMaxBrokerRoots = 8;
inline constexpr std::uint32_t kMinAnchorIntervalSeconds = 60;

// LaunchDocument is what a confidential VM must not take from its host, and what an ordinary VM
// has as plain configuration. The default is an ordinary VM whose state the host protects.
struct LaunchDocument {
  Uuid vm_id{};
  std::optional<Uuid> tenant{};
  TeeFamily tee_family = TeeFamily::kNone;
  std::vector<Sha256Digest> broker_root_hashes{};
  Protection protection = Protection::kHost;
  Lifetime lifetime = Lifetime::kPersistent;
  OfflineRule offline_rule = OfflineRule::kDeny;
  AnchorClass anchor_class = AnchorClass::kNone;
  std::uint32_t anchor_interval_seconds = 0;
  Lease lease = Lease::kNone;
  std::optional<Sha256Digest> secure_boot_template_digest{};
  std::optional<Sha256Digest> policy_digest{};

  friend bool operator==(const LaunchDocument&, const LaunchDocument&) = default;
};

// check() tells whether the fields agree with each other:
//   - an ephemeral VM keeps nothing, so its protection is none and it is not anchored;
//   - an ordinary VM (TEE family none) has protection host or none;
//   - a confidential VM has protection hardware, broker or none: a key of the host would protect
//     its state from everybody but the host;
//   - protection broker names a broker root, a tenant and anchor class boot, the one that there is
//     so far, which renews no strict lease;
//   - an anchor class other than none names a broker root; only class interval has an interval;
//   - a strict lease and the offline rule allow need a broker to be strict or lenient about;
//   - vm_id and tenant are not all zero; root hashes ascend, none twice, at most 8.
// kInvalidArgument, with a sentence for whoever writes the document.
base::Result<void> check(const LaunchDocument& document);

// encode() gives the one encoding of a document that passes check().
base::Result<base::Bytes> encode(const LaunchDocument& document);

// decode_launch_document() reads what encode() wrote and nothing else: a document that is longer
// than 1024 bytes, of a later version, breaks a rule of check(), has an unknown field or is not the
// canonical encoding of itself is kCorrupt.
base::Result<LaunchDocument> decode_launch_document(base::ByteView bytes);

// LaunchDigest is the launch document as a TEE reports it: 48 bytes, MRCONFIGID on TDX, HOST_DATA
// followed by 16 zero bytes on SEV-SNP.
struct LaunchDigest {
  std::array<std::byte, 48> bytes{};

  friend bool operator==(const LaunchDigest&, const LaunchDigest&) = default;
};

// launch_digest() digests an encoded document for `family`: SHA-256 and 16 zero bytes for SEV-SNP,
// SHA-384 for TDX and for an ordinary VM, where nothing reports it.
LaunchDigest launch_digest(base::ByteView document, TeeFamily family);

}  // namespace keybroker::protocol
