// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/provision/report.h"

namespace vtpm::provision {

// CertificationOfEvidence asks for a certificate on the word of a TEE.
struct CertificationOfEvidence {
  BoundReport bound;
  base::Bytes rsa_ek;  // TPMT_PUBLIC of each EK that wants a certificate too, else empty
  base::Bytes ecc_ek;
};

// CertificationOfHost asks for one on the word of the host, once the TPM has shown that it has both
// keys.
struct CertificationOfHost {
  base::Bytes ak;  // TPMT_PUBLIC of the RSA AK and EK, and of the ECC EK or empty
  base::Bytes rsa_ek;
  base::Bytes ecc_ek;
  bool new_seeds = false;              // nobody has certified an EK of these seeds yet
  bool wants_ek_certificates = false;  // for the EKs given
  base::Bytes claims_digest;           // SHA-256 of the runtime claims
};

// CredentialChallenge is what TPM2_ActivateCredential takes (TPM 2.0 Part 1, 24): the content of a
// TPM2B_ID_OBJECT and of a TPM2B_ENCRYPTED_SECRET, each without its size in front.
struct CredentialChallenge {
  base::Bytes credential_blob;
  base::Bytes encrypted_secret;
};

// AnswerChallenge gives the secret that only the TPM with the EK and the AK can unwrap.
using AnswerChallenge = std::function<base::Result<base::SecretBytes>(const CredentialChallenge&)>;

// Certificates are what was asked for, in DER; nothing has looked at them.
struct Certificates {
  base::Bytes ak;
  base::Bytes ak_chain;  // one behind the other, the issuer first, the root left out
  base::Bytes rsa_ek;    // empty where there is none
  base::Bytes ecc_ek;
};

// Certifier is the road to the authority that certifies attestation keys. A call waits for the
// answer, some seconds at most, or until `stop` asks it not to. kDenied for a refusal that stays;
// kNotFound where nobody certifies VMs of this kind; kUnavailable where it may be otherwise later.
// One call at a time; any thread.
class Certifier {
 public:
  virtual ~Certifier() = default;

  virtual base::Result<Certificates> certify(const CertificationOfEvidence& request,
                                             const std::stop_token& stop) = 0;

  // `answer` is called on the caller's thread, at most once. Its error ends the call.
  virtual base::Result<Certificates> certify(const CertificationOfHost& request,
                                             const AnswerChallenge& answer,
                                             const std::stop_token& stop) = 0;
};

}  // namespace vtpm::provision
