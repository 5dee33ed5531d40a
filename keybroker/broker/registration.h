// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/hsm/key_encryption.h"
#include "keybroker/store/broker_records.h"

namespace keybroker::broker {

// What a tenant does to its VMs. Each function takes who does it from the caller's certificate, by
// way of `tenant`, and never from a request: another tenant's VM is kNotFound, as one that nobody
// registered. All are safe to repeat by their request id.

// Registrar is what they work with. One thread.
struct Registrar {
  store::BrokerRecords& records;
  hsm::KeyEncryptionKeys& key_encryption;
  crypto::Fingerprint root{};  // of this broker
};

// NewVm is what a tenant says of a VM before its first boot.
struct NewVm {
  base::Bytes launch_document;
  evidence::RootClass root_class = evidence::RootClass::kProduction;
  std::optional<base::Bytes> execution_policy{};
  std::vector<store::OwnerPolicy> policies{};  // on record by put_policy()
  std::string fde_mode{};
  std::string region{};
};

// At most so many policies decide about one VM.
inline constexpr std::size_t kMostPolicies = 4;
inline constexpr std::size_t kMaxExecutionPolicyBytes = 64 * 1024;

// How long the launch before a conversion may still have the key.
inline constexpr std::chrono::hours kConversionLife{7 * 24};
// How long a restore is allowed unless the tenant says otherwise, and at most.
inline constexpr std::chrono::hours kRestoreLife{24};
inline constexpr std::chrono::hours kMaxRestoreLife{30 * 24};

// register_vm() makes the key of the VM's state and wraps it under the tenant's newest
// key-encryption key. False if the same VM is registered already; the key that is there stays.
// kDenied, naming the field, for a launch document of another tenant or of no confidential VM, one
// that does not name this broker's root, or whose protection is not broker; for an execution policy
// that is not the document's; for no policy of the tenant's own, or too many; and for a VM that is
// registered in another way.
base::Result<bool> register_vm(Registrar& registrar, const protocol::Uuid& tenant, const NewVm& vm,
                               const store::Act& act);

// own_vm() is a VM's record. kNotFound unless it is the tenant's, or the tenant owns a policy of
// it.
base::Result<store::VmRecord> own_vm(store::BrokerRecords& records, const protocol::Uuid& tenant,
                                     const protocol::Uuid& vm_id);

// set_policies() puts these policies of one owner in the place of those that it had. Those of other
// owners stay. kDenied for more than kMostPolicies together, and for none of the VM's tenant,
// without whose policy nothing is released.
base::Result<void> set_policies(store::BrokerRecords& records, const protocol::Uuid& owner,
                                const protocol::Uuid& vm_id,
                                std::span<const protocol::Sha256Digest> digests,
                                const store::Act& act);

// set_enabled(), delete_vm(): no key while it is disabled; the key is destroyed with the VM.
base::Result<void> set_enabled(store::BrokerRecords& records, const protocol::Uuid& tenant,
                               const protocol::Uuid& vm_id, bool enabled, const store::Act& act);
base::Result<void> delete_vm(store::BrokerRecords& records, const protocol::Uuid& tenant,
                             const protocol::Uuid& vm_id, const store::Act& act);

// Conversion is what another launch document changes.
struct Conversion {
  protocol::Uuid vm_id{};
  std::vector<std::string> changes;  // "tee: sev-snp -> tdx"
  std::vector<std::string> notes;    // what to see to before, one sentence each
};

// plan_conversion() says what convert_vm() would do, and changes nothing. kDenied, naming the
// field, for a document with another tenant or lifetime, of an ordinary VM, for another protection
// than broker or hardware, without this broker's root, and if nothing would change: an ordinary VM
// never becomes a confidential one, nor the reverse.
base::Result<Conversion> plan_conversion(Registrar& registrar, const protocol::Uuid& tenant,
                                         base::ByteView launch_document,
                                         const std::optional<base::Bytes>& execution_policy);

// convert_vm() makes it so. A boot of the launch before gets the key for kConversionLife more, or
// until the first boot of the new one has anchored its state. Before that, convert_vm() to the
// launch before takes the conversion back.
base::Result<Conversion> convert_vm(Registrar& registrar, const protocol::Uuid& tenant,
                                    base::ByteView launch_document,
                                    const std::optional<base::Bytes>& execution_policy,
                                    const store::Act& act);

// allow_restore() lets a state come back, once: that of a receipt, which was signed under one of
// `receipt_roots`, or the newest that had been anchored at a time. It gives the state. kDenied for
// a receipt of another VM and for longer than kMaxRestoreLife; kAuthentication, kCorrupt for a
// receipt that is none; kNotFound if nothing was anchored by then.
base::Result<store::StatePoint> allow_restore_by_receipt(
    store::BrokerRecords& records, const protocol::Uuid& tenant, const protocol::Uuid& vm_id,
    base::ByteView receipt, std::span<const crypto::Fingerprint> receipt_roots,
    std::chrono::seconds life, const store::Act& act);
base::Result<store::StatePoint> allow_restore_of(store::BrokerRecords& records,
                                                 const protocol::Uuid& tenant,
                                                 const protocol::Uuid& vm_id, crypto::Time point,
                                                 std::chrono::seconds life, const store::Act& act);

}  // namespace keybroker::broker
