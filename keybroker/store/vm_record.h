// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/crypto/time.h"
#include "keybroker/evidence/trust_store.h"
#include "keybroker/protocol/launch_document.h"
#include "keybroker/store/subject.h"

namespace keybroker::store {

using protocol::Sha256Digest;
using protocol::Uuid;

using BootId = std::array<std::byte, 16>;
using RequestId = std::array<std::byte, 16>;  // unique for each VM or tenant it is about
using Nonce = std::array<std::byte, 32>;

// Where a VM's state came from. It never changes, so an ordinary VM never becomes confidential.
enum class Origin : std::uint8_t { kOwn, kForeign, kImported };
enum class VmStatus : std::uint8_t { kActive, kDisabled, kConverting, kDeleted };

// name() is "own", "foreign", "imported"; "active", "disabled", "converting", "deleted".
std::string_view name(Origin origin);
std::string_view name(VmStatus status);

// Who does something, and what the log is to say of it beside the facts that are in the record.
struct Act {
  RequestId request_id{};
  crypto::Time now{};
  std::string audit = "{}";  // JSON: who, why, the evidence's claims; never a key
  // Of the whole request, where its id may come again: RecordSeal::of_request(). A request of that
  // id with another one is another request.
  Sha256Digest request_digest{};
};

// A key that encrypts the keys of a tenant's VMs. Old versions unwrap.
struct Kek {
  Uuid tenant{};
  std::uint64_t version = 0;  // from 1
  std::string provider{};     // "software" or "pkcs11"
  base::Bytes wrapped{};      // provider software: the key, wrapped under the broker's own
  std::string uri{};          // provider pkcs11: where it lives (RFC 7512)

  friend bool operator==(const Kek&, const Kek&) = default;
};

// The key of a VM's state, wrapped under its tenant's KEK.
struct VmKey {
  std::uint64_t version = 0;  // from 1
  base::Bytes wrapped{};
  std::uint64_t kek_version = 0;

  friend bool operator==(const VmKey&, const VmKey&) = default;
};

// One release policy that an owner wants satisfied.
struct OwnerPolicy {
  Uuid owner{};  // a tenant
  Sha256Digest policy{};

  friend auto operator<=>(const OwnerPolicy&, const OwnerPolicy&) = default;
};

// What a launch document fixes, beside the document. A conversion brings another.
struct Launch {
  base::Bytes document{};
  protocol::LaunchDigest digest{};
  protocol::TeeFamily family = protocol::TeeFamily::kNone;
  protocol::Protection protection = protocol::Protection::kBroker;
  std::optional<base::Bytes> execution_policy{};  // the text of the document's policy digest

  friend bool operator==(const Launch&, const Launch&) = default;
};

// What a tenant registers.
struct VmRegistration {
  Uuid vm_id{};
  Uuid tenant{};
  Launch launch{};
  evidence::RootClass root_class = evidence::RootClass::kProduction;  // immutable
  protocol::Lifetime lifetime = protocol::Lifetime::kPersistent;      // immutable
  Origin origin = Origin::kOwn;                                       // immutable
  std::string fde_mode{};  // how its disks are encrypted, as its owner put it; immutable
  std::vector<OwnerPolicy> policies{};  // ascending, none twice; all must allow
  std::optional<Uuid> cloned_from{};    // immutable
  std::string region{};

  friend bool operator==(const VmRegistration&, const VmRegistration&) = default;
};

// A state of a store: its commit sequence and its digest.
struct StatePoint {
  std::uint64_t sequence = 0;
  Sha256Digest digest{};

  friend bool operator==(const StatePoint&, const StatePoint&) = default;
};

// The newest state that the broker witnessed, and in which epoch.
struct Anchor {
  std::uint64_t epoch = 0;
  StatePoint state{};

  friend bool operator==(const Anchor&, const Anchor&) = default;
};

// A state that the tenant allows to be served once although it is not the newest.
struct AllowedRestore {
  StatePoint state{};
  crypto::Time until{};

  friend bool operator==(const AllowedRestore&, const AllowedRestore&) = default;
};

// The launch that a VM is being converted from: a key may go to it as well until `until`.
struct PreviousLaunch {
  Launch launch{};
  crypto::Time until{};

  friend bool operator==(const PreviousLaunch&, const PreviousLaunch&) = default;
};

// All that is on record of a VM but its keys.
struct VmRecord {
  VmRegistration registration{};
  VmStatus status = VmStatus::kActive;
  std::uint64_t conf_version = 1;  // moves with every change of the registration
  std::optional<PreviousLaunch> previous{};
  bool clone_pending = false;  // a clone that has not anchored: the source's key may go to it
  std::uint64_t epoch = 0;     // claims so far
  std::optional<BootId> owner{};
  std::optional<RequestId> claim_request{};
  std::optional<crypto::Time> lease_until{};
  std::optional<Anchor> anchor{};
  std::optional<RequestId> anchor_request{};
  base::Bytes ek_name{};  // of the newest anchor that said so
  base::Bytes ak_name{};
  std::uint64_t restores = 0;
  std::optional<AllowedRestore> restore{};
  crypto::Time created{};

  friend bool operator==(const VmRecord&, const VmRecord&) = default;
};

}  // namespace keybroker::store
