// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keybroker/broker/cluster_secret.h"
#include "keybroker/broker/evidence_rules.h"
#include "keybroker/broker/request_limit.h"
#include "keybroker/crypto/signed_message.h"
#include "keybroker/hsm/key_encryption.h"
#include "keybroker/store/broker_records.h"

namespace keybroker::broker {

// BrokerRules is what all workers of a broker share. Immutable.
struct BrokerRules {
  ClusterSecrets secrets;
  crypto::MessageSigner signer;
  // Under which receipts are believed: the signer's root, and those before it.
  std::vector<crypto::Fingerprint> receipt_roots;
  EvidenceRules evidence;
  // The names under which this broker's claims count as an authority's in release policies.
  std::set<std::string> policy_authorities{};
  // Until when receipts move records forward; set after the records came back from a backup.
  std::optional<crypto::Time> recovery_until{};
};

// Worker is what one thread answers with. Only its records are its own.
struct Worker {
  const BrokerRules& rules;
  RequestLimit& limit;
  store::BrokerRecords& records;  // of this worker
  hsm::KeyEncryptionKeys& key_encryption;
};

// kek_record() is a key-encryption key of the record store as keybroker/hsm takes it, kek_of() the
// way back. kCorrupt for a provider that is not known here.
base::Result<hsm::KekRecord> kek_record(const store::Kek& kek);
store::Kek kek_of(const hsm::KekRecord& record, std::uint64_t version);

// wrapping_context() binds a wrapped VM key to its VM and its version: vm_id, then the version in
// eight bytes big-endian.
base::Bytes wrapping_context(const protocol::Uuid& vm_id, std::uint64_t key_version);

// unwrap_vm_key() takes a VM's key out of its wrapping. kUnavailable, beginning with the word of
// the KekState, if the key-encryption key cannot be used now; kCorrupt if the record does not open.
base::Result<base::Secret<32>> unwrap_vm_key(Worker& worker, const protocol::Uuid& vm_id,
                                             const store::VmKey& key, const store::Kek& kek);

}  // namespace keybroker::broker
