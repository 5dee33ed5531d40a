// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keybroker/broker/worker.h"
#include "keybroker/store/workload_keys.h"
#include "vmgs/base/secret.h"

namespace keybroker::broker {

// Keys that tenants keep at a broker for what runs in their VMs. Each has a release policy; they
// are released to guests' tokens (workload_release.h) and are given back to nobody else, their
// tenant included.

inline constexpr std::size_t kLeastOctBytes = 32;
inline constexpr std::size_t kMostOctBytes = 64;
inline constexpr std::size_t kMostWorkloadKeyBytes = 8 * 1024;

// generate_workload_key() draws one: 32 random bytes, RSA-3072 or P-384. The last two are PKCS #8.
base::Result<base::SecretBytes> generate_workload_key(store::WorkloadKeyKind kind);

struct NewWorkloadKey {
  std::string name;
  store::WorkloadKeyKind kind = store::WorkloadKeyKind::kOct;
  base::SecretBytes material;  // 32 to 64 bytes, or DER PKCS #8
  protocol::Sha256Digest policy{};
  bool immutable = false;
};

// put_workload_key() keeps a key as the next version of its name, and gives that: sealed under a
// content key of its own, which is wrapped under the tenant's newest key-encryption key.
// kInvalidArgument for material that is not of the kind, kNotFound and kDenied as
// store::add_workload_key(), and as hsm::KeyEncryptionKeys::wrap().
base::Result<std::uint64_t> put_workload_key(Worker& worker, const protocol::Uuid& tenant,
                                             NewWorkloadKey key, const store::Act& act);

// rewrap_workload_key() puts a key's content key under another key-encryption key of the tenant.
// Errors as open_workload_key().
base::Result<void> rewrap_workload_key(Worker& worker, const store::WorkloadKey& key,
                                       const store::Kek& newest, const store::Act& act);

// open_workload_key() takes a key out of its wrapping. kUnavailable if the key-encryption key
// cannot be used now; kCorrupt if the record does not open: one of another tenant, name, version or
// kind, or the wrapped key of a VM's state.
base::Result<base::SecretBytes> open_workload_key(Worker& worker, const store::WorkloadKey& key);

}  // namespace keybroker::broker
