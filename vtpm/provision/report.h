// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>

#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/freshness_claim.h"
#include "keybroker/protocol/runtime_claims.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/provision/keys.h"
#include "vtpm/tee/tee.h"

namespace vtpm::provision {

using keybroker::protocol::UserData;

// Statement is what claims say of a VM besides the keys of its TPM. It is settled when the VM's
// instance starts; only a boot that was offline and comes back to its key broker says something
// else from then on.
struct Statement {
  keybroker::protocol::Uuid vm_id{};
  std::array<std::byte, 16> boot_id{};
  base::Bytes launch;  // the launch digest: 32 bytes for SNP, else 48
  bool secure_boot = false;
  keybroker::protocol::Home home = keybroker::protocol::Home::kHost;
  keybroker::protocol::SeedOrigin origin = keybroker::protocol::SeedOrigin::kOwn;
  keybroker::protocol::Lifetime lifetime = keybroker::protocol::Lifetime::kPersistent;
  keybroker::protocol::StateProtection state_protection;
  bool tee_simulated = false;

  // What a witness outside knows of the state; absent where nobody was asked.
  std::optional<keybroker::protocol::FreshnessClaim> freshness = std::nullopt;
};

// The keys that claims are about. Only keys that are proven to be the TPM's own get here.
struct ClaimedKeys {
  PublicKey rsa_ak;
  PublicKey rsa_ek;
  std::optional<PublicKey> ecc_ak;
  std::optional<PublicKey> ecc_ek;
};

// Report is what the two indices hold.
struct Report {
  base::Bytes hcl;              // the HCLA structure with the runtime claims
  std::string extended_claims;  // whose SHA-256 the runtime claims carry
};

// make_report() binds claims with `user_data` to the TEE that this process runs in: REPORT_DATA is
// their SHA-256 and 32 zero bytes. For an ordinary VM `tee` is null, and nothing vouches for what
// is claimed. Both parts fit their indices whatever the claims are. Errors are those of the TEE.
base::Result<Report> make_report(const Statement& statement, const ClaimedKeys& keys, tee::Tee* tee,
                                 const UserData& user_data);

// BoundReport is a report, and evidence that others than this machine can verify, over the same
// claims.
struct BoundReport {
  Report report;
  tee::Evidence evidence;
};

// make_bound_report() makes one that carries no data of the guest. Errors are those of the TEE.
base::Result<BoundReport> make_bound_report(const Statement& statement, const ClaimedKeys& keys,
                                            tee::Tee& tee);

// runtime_claims_digest() is the SHA-256 of the claims that such a report has.
base::Result<base::Bytes> runtime_claims_digest(const Statement& statement,
                                                const ClaimedKeys& keys);

}  // namespace vtpm::provision
