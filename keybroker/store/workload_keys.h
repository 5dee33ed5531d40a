// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/store/broker_records.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

enum class WorkloadKeyKind : std::uint8_t { kOct = 1, kRsa = 2, kEc = 3 };

// name() is "oct", "RSA" or "EC", as JWK has it.
std::string_view name(WorkloadKeyKind kind);

// A key that a tenant keeps for what runs in its VMs. The keys of VMs' states lie in another table
// and have no names: no function here reads that one, and none there reads this.
struct WorkloadKey {
  Uuid tenant{};
  std::string name{};         // is_workload_key_name()
  std::uint64_t version = 0;  // from 1
  WorkloadKeyKind kind = WorkloadKeyKind::kOct;
  base::Bytes content_key{};  // wrapped under the tenant's KEK
  base::Bytes sealed{};       // the key, under the content key
  std::uint64_t kek_version = 0;
  Sha256Digest policy{};   // of the release policy
  bool immutable = false;  // the policy stays for good
  crypto::Time created{};

  friend bool operator==(const WorkloadKey&, const WorkloadKey&) = default;
};

// is_workload_key_name() tells whether a name is 1 to 127 letters of ASCII, digits and hyphens, as
// in Azure Key Vault.
bool is_workload_key_name(std::string_view name);

// add_workload_key() adds the version after the newest of that name, kDenied otherwise. kNotFound
// for a tenant or policy that is not on record, kInvalidArgument for a name that is none,
// kUnavailable if the key-encryption key was replaced meanwhile.
base::Result<void> add_workload_key(BrokerRecords& records, const WorkloadKey& key, const Act& act);

// version_added_by() is the version of a key that a request has added: the same again adds nothing
// and finds it. kDenied if the request was for another key.
base::Result<std::uint64_t> version_added_by(BrokerRecords& records, const Uuid& tenant,
                                             std::string_view name, const RequestId& request_id);

// workload_key() is one version, or the newest. kNotFound; kAuthentication, beginning with
// kRecordsAltered, if the seal is not that of the row.
base::Result<WorkloadKey> workload_key(BrokerRecords& records, const Uuid& tenant,
                                       std::string_view name, std::optional<std::uint64_t> version);

// workload_keys() is every version of a tenant's keys, ascending by name, then by version, at most
// `most` of them above the name `after`.
base::Result<std::vector<WorkloadKey>> workload_keys(BrokerRecords& records, const Uuid& tenant,
                                                     std::string_view after, std::size_t most);

// workload_keys_before() are at most `most` of those whose content keys are wrapped under an older
// key-encryption key than `kek_version`; rewrap_workload_key() puts the same content key under
// another one.
base::Result<std::vector<WorkloadKey>> workload_keys_before(BrokerRecords& records,
                                                            const Uuid& tenant,
                                                            std::uint64_t kek_version,
                                                            std::size_t most);
base::Result<void> rewrap_workload_key(BrokerRecords& records, const WorkloadKey& key,
                                       const base::Bytes& content_key, std::uint64_t kek_version,
                                       const Act& act);

// set_workload_key_policy() puts another policy before one version. kDenied if it is immutable.
base::Result<void> set_workload_key_policy(BrokerRecords& records, const Uuid& tenant,
                                           std::string_view name, std::uint64_t version,
                                           const Sha256Digest& policy, const Act& act);

// delete_workload_key() forgets all versions of a name, for good. kNotFound if there is none.
base::Result<void> delete_workload_key(BrokerRecords& records, const Uuid& tenant,
                                       std::string_view name, const Act& act);

}  // namespace keybroker::store
