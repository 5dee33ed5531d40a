// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "keybroker/authority/authority.h"
#include "keybroker/protocol/instance.pb.h"

namespace keybroker::authority {

// What vtpmd's registry says of a VM. Nothing of it comes from the VM's instance.
struct RegisteredVm {
  protocol::Uuid vm_id{};
  protocol::TeeFamily tee = protocol::TeeFamily::kNone;
  base::Bytes launch;  // the launch digest as claims have it: 32 bytes for SEV-SNP, else 48
  protocol::Protection protection = protocol::Protection::kHost;
  protocol::Lifetime lifetime = protocol::Lifetime::kPersistent;
  std::uint64_t epoch = 0;  // of its claim at the key broker, for the certificate
};

// registered_vm() reads it from a VM's launch document. kCorrupt if that does not decode.
base::Result<RegisteredVm> registered_vm(base::ByteView launch_document);

// What confidential VMs are judged by.
struct ConfidentialRules {
  // The owner's; without one no confidential VM is certified. Of which VM the evidence has to be is
  // not its to say: that is the registered one.
  std::optional<evidence::Policy> policy{};

  // collateral() gives what vendors publish, as it is now, and adds to evidence that came without
  // certificates those that are kept for its machine.
  std::function<base::Result<evidence::Collateral>(evidence::Evidence&)> collateral;

  // Whom evidence that calls itself simulated is believed from, if from anybody.
  std::optional<evidence::TrustStore> simulated;
};

// InstanceRequests answers what the instances of one host ask of its authority. One owner, the
// authority's; `authority` and `records` must outlive it.
class InstanceRequests {
 public:
  InstanceRequests(Authority& authority, CertificateRecords& records, ConfidentialRules rules)
      : authority_(authority), records_(records), rules_(std::move(rules)) {}

  // answer() always answers, with the request's serial. The instance is believed about the keys of
  // its TPM, as far as their class goes, and about nothing that `vm` says.
  //
  // An ordinary VM's EK is registered when it is first seen, and anew with new seeds, when all that
  // was issued for the VM before is revoked. A confidential VM must prove by evidence that it is
  // `vm`: by its id, its TEE and its launch digest.
  strongroom::instance::v1::CertificationAnswer answer(
      const RegisteredVm& vm, const strongroom::instance::v1::CertificationRequest& request,
      crypto::Time now);

  // is_certified() tells whether a certificate of the VM's AK is on record that is good.
  base::Result<bool> is_certified(const protocol::Uuid& vm_id, crypto::Time now);

  // revoke() takes back all that was issued for a VM, if anything was.
  base::Result<void> revoke(const protocol::Uuid& vm_id, crypto::Time now);

 private:
  using Answer = strongroom::instance::v1::CertificationAnswer;

  base::Result<void> confidential(const RegisteredVm& vm,
                                  const strongroom::instance::v1::ConfidentialCertification& asked,
                                  crypto::Time now, Answer& answer);
  base::Result<void> host(const RegisteredVm& vm,
                          const strongroom::instance::v1::HostCertification& asked,
                          crypto::Time now, Answer& answer);
  base::Result<void> host_proof(const RegisteredVm& vm,
                                const strongroom::instance::v1::HostProof& proof, crypto::Time now,
                                Answer& answer);
  base::Result<void> register_ek(const RegisteredVm& vm, base::ByteView ek, bool new_seeds,
                                 crypto::Time now);

  Authority& authority_;
  CertificateRecords& records_;
  ConfidentialRules rules_;
};

}  // namespace keybroker::authority
