// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/authority/certificate_records.h"
#include "keybroker/authority/issuing_ca.h"
#include "keybroker/crypto/credential.h"
#include "keybroker/evidence/ak_statement.h"
#include "keybroker/evidence/verify.h"
#include "vmgs/base/secret.h"

namespace keybroker::authority {

// What an authority's owner decides.
struct AuthorityRules {
  std::chrono::hours certificate_life{7 * 24};
  std::chrono::hours crl_life{24};

  // Of the EKs of a TPM that outlives its power; of another's, as long as the AK's.
  std::chrono::hours ek_certificate_life{365 * 24};

  // How many that have not ended a VM may have had, revoked ones too: each of them may have to
  // stand in revocation lists.
  std::size_t most_unended = 1024;

  // What the NV index of the certificate holds (guest-side: 0x01C101D0).
  std::size_t most_certificate_bytes = 2048;
};

// What a request to certify the AK of a confidential VM is judged by. What is referred to must
// outlive the call only.
struct CertificationRules {
  const evidence::Policy& policy;  // its rules for the form, the AK and the quote do not count here
  const evidence::Collateral& collateral;
  const evidence::TrustStore& store;
  crypto::Time now;
  std::uint64_t epoch = 0;
};

// The public areas (TPMT_PUBLIC) of a TPM's endorsement keys that want certificates; empty where
// none is wanted.
struct EkAreas {
  base::Bytes rsa;
  base::Bytes ecc;
};

// An AK's certificate, what leads to its root, the root left out, and the certificates of the EKs
// that asked for one and that the same statement vouches for.
struct Certified {
  crypto::Certificate certificate;
  std::vector<crypto::Certificate> chain;
  std::optional<crypto::Certificate> rsa_ek{};
  std::optional<crypto::Certificate> ecc_ek{};
};

// HostStatement is what a host says of an ordinary VM, on its own word.
struct HostStatement {
  protocol::Uuid vm_id{};
  base::Bytes launch;
  protocol::Protection protection = protocol::Protection::kHost;
  protocol::Lifetime lifetime = protocol::Lifetime::kPersistent;
  protocol::SeedOrigin origin = protocol::SeedOrigin::kOwn;
  std::uint64_t epoch = 0;
  protocol::ClaimsDigest claims_digest{};  // of the claims that the VM shows; the host's word too
};

// HostChallenge is what TPM2_ActivateCredential answers, and the name to answer it by.
struct HostChallenge {
  base::Bytes id;
  crypto::Credential credential;
};

// Authority certifies attestation keys. One owner; `records` and the CAs must outlive it.
class Authority {
 public:
  // There may be a CA for each class. A class without one certifies nothing.
  Authority(std::map<AkClass, IssuingCa> cas, CertificateRecords& records,
            AuthorityRules rules = {})
      : cas_(std::move(cas)), records_(records), rules_(rules) {}

  // certify_confidential() certifies the AK that is named by claims which a verified hardware
  // report binds, and no other: a key beside the claims is ignored, and the Name in the claims must
  // be that of the AK template around the key in the claims. The nonce is where CertificationRules'
  // policy says, in the user data. Hardware gives class `cvm`, a simulator class `simulated`.
  //
  // kDenied, with the reason's code in front, if the evidence is refused, and if the TPM's seeds
  // were not made by this service. If the VM's protection got weaker while its AK is still the one
  // that was certified under the stronger, that is kDenied as well and what was issued is revoked:
  // the old certificate would go on vouching. When a new AK takes the place of another, what was
  // issued for the old one is revoked once the new certificate is on record. A certificate that is
  // renewed stays good until it ends.
  //
  // An EK gets a certificate if the claims have its Name; one that they do not have is ignored.
  //
  // A key that has a good certificate in the first half of its life, for the same statement in the
  // case of an AK, gets that one again. kUnavailable for a VM with too many certificates.
  base::Result<Certified> certify_confidential(const evidence::Evidence& evidence,
                                               const CertificationRules& rules,
                                               const EkAreas& eks = {});

  // renew_host() certifies the AK of an ordinary VM anew if this very AK, of a TPM with this very
  // EK, has a certificate of class `host` that is good and was given under no stronger protection;
  // nothing if it has none, and then the TPM must prove its AK. No new proof is needed: the AK
  // never leaves its TPM, that it is in the TPM of this EK was proved once, and what made the two
  // does not change. The host vouches that this TPM still runs, as it does for all of this class.
  base::Result<std::optional<Certified>> renew_host(const HostStatement& said,
                                                    base::ByteView ak_public_area,
                                                    base::ByteView ek_public_area,
                                                    const EkAreas& eks, crypto::Time now);

  // begin_host() asks the TPM of an ordinary VM to prove that the AK with this public area is in
  // the TPM whose EK is registered for the VM (CertificateRecords::register_ek). kNotFound if none
  // is; kDenied for an AK that could sign a forgery; kUnavailable while too many challenges are
  // open. A VM has one open challenge: a second one takes the place of the first. Of `eks` the RSA
  // EK gets a certificate if it is the registered one; the ECC EK rests on the host's word.
  base::Result<HostChallenge> begin_host(const HostStatement& said, base::ByteView ak_public_area,
                                         crypto::Time now, EkAreas eks = {});

  // finish_host() takes the secret that the TPM unwrapped and certifies the AK of that challenge in
  // class `host`: the host vouches for all but the key. A challenge counts once, for five minutes,
  // whatever comes of it. kDenied for another secret, for a challenge that `vm_id` was not given,
  // and as certify_confidential() for a protection that got weaker.
  base::Result<Certified> finish_host(const protocol::Uuid& vm_id, base::ByteView challenge,
                                      const base::SecretBytes& secret, crypto::Time now);

  // revoke() takes back all that was issued for a VM. kNotFound if nothing was.
  base::Result<void> revoke(const protocol::Uuid& vm_id, crypto::Time now);

  // forget() ends a VM for this authority: what was issued is revoked, then its EK forgotten. To
  // repeat it after a crash between the two is safe. A VM that is not known is a success.
  base::Result<void> forget(const protocol::Uuid& vm_id, crypto::Time now);

  // keep_house() drops records of certificates that ended so long ago that no list names them.
  base::Result<void> keep_house(crypto::Time now);

  // crl() is the revocation list of a class as of now, with a number above all before it.
  base::Result<crypto::Crl> crl(AkClass ak_class, crypto::Time now);

 private:
  using Records = std::vector<CertificateRecord>;  // of one VM

  struct OpenChallenge {
    AkStatement statement;
    crypto::PublicKey ak;
    EkAreas eks;
    base::Secret<32> secret;
    crypto::Time until;
  };

  base::Result<Certified> certify(const AkStatement& statement, const crypto::PublicKey& ak,
                                  const EkAreas& eks, crypto::Time now);
  base::Result<crypto::Certificate> certify_ak(const AkStatement& statement,
                                               const crypto::PublicKey& ak, const Records& earlier,
                                               crypto::Time now);
  base::Result<std::optional<crypto::Certificate>> certify_ek(const AkStatement& statement,
                                                              CertifiedKey which,
                                                              base::ByteView area,
                                                              const Records& earlier,
                                                              crypto::Time now);
  base::Result<std::optional<crypto::Certificate>> young(const CertificateRecord& record,
                                                         const crypto::PublicKey& key,
                                                         crypto::Time now) const;
  base::Result<crypto::Certificate> issue_and_record(crypto::CertificateSpec spec,
                                                     const crypto::PublicKey& key,
                                                     CertifiedKey which,
                                                     const AkStatement& statement);
  base::Result<void> admit_host(const HostStatement& said);
  base::Result<void> settle_earlier(const AkStatement& statement, const Records& earlier,
                                    crypto::Time now);
  base::Result<const IssuingCa*> ca_of(AkClass ak_class) const;

  std::map<AkClass, IssuingCa> cas_;
  CertificateRecords& records_;
  AuthorityRules rules_;
  std::map<base::Bytes, OpenChallenge> challenges_;
};

}  // namespace keybroker::authority
