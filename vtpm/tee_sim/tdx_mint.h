// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/sgx_extension.h"
#include "keybroker/crypto/time.h"
#include "keybroker/evidence/td_quote.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee_sim/authority.h"

namespace vtpm::tee_sim {

// Which CA certified a platform: one for machines with several packages, one for all others.
enum class PckCa { kPlatform, kProcessor };

// TdxMint makes what Intel makes: the SGX root, the two PCK CAs, the TCB signer, PCK certificates
// with the SGX extension, and revocation lists, with Intel's names, extensions and lifetimes. As
// with SnpMint, every root and intermediate carries the simulator's marker.
class TdxMint {
 public:
  // make() draws a hierarchy that is valid from `now` on.
  static base::Result<TdxMint> make(keybroker::crypto::Time now);

  static base::Result<TdxMint> from_bundle(base::ByteView bundle);
  [[nodiscard]] base::Result<base::SecretBytes> to_bundle() const;

  [[nodiscard]] const keybroker::crypto::Certificate& root() const { return root_.certificate; }

  [[nodiscard]] const keybroker::crypto::Certificate& pck_ca(PckCa ca) const {
    return authority(ca).certificate;
  }

  [[nodiscard]] const keybroker::crypto::Certificate& tcb_signer() const {
    return tcb_signer_.certificate;
  }

  // pck_spec() is what the PCK certificate of a platform says. A test may change anything before it
  // lets it be issued.
  [[nodiscard]] keybroker::crypto::CertificateSpec pck_spec(
      PckCa ca, const keybroker::crypto::SgxExtension& platform) const;
  [[nodiscard]] base::Result<keybroker::crypto::Certificate> issue_pck(
      PckCa ca, const keybroker::crypto::CertificateSpec& spec,
      const keybroker::crypto::PublicKey& subject_key) const;

  // root_crl() names CAs and TCB signers, pck_crl() the PCKs of one CA.
  [[nodiscard]] base::Result<keybroker::crypto::Crl> root_crl(
      keybroker::crypto::Time this_update, keybroker::crypto::Time next_update,
      const std::vector<keybroker::crypto::Crl::Entry>& revoked = {}) const;
  [[nodiscard]] base::Result<keybroker::crypto::Crl> pck_crl(
      PckCa ca, keybroker::crypto::Time this_update, keybroker::crypto::Time next_update,
      const std::vector<keybroker::crypto::Crl::Entry>& revoked = {}) const;

  // sign_collateral() wraps a JSON body as Intel's service does: {"NAME":BODY,"signature":"HEX"},
  // signed by the TCB signer over the body's bytes.
  [[nodiscard]] base::Result<std::string> sign_collateral(const std::string& name,
                                                          const std::string& body) const;

 private:
  TdxMint(Authority root, Authority platform_ca, Authority processor_ca, Authority tcb_signer)
      : root_(std::move(root)),
        platform_ca_(std::move(platform_ca)),
        processor_ca_(std::move(processor_ca)),
        tcb_signer_(std::move(tcb_signer)) {}

  [[nodiscard]] const Authority& authority(PckCa ca) const {
    return ca == PckCa::kPlatform ? platform_ca_ : processor_ca_;
  }

  Authority root_;
  Authority platform_ca_;
  Authority processor_ca_;
  Authority tcb_signer_;
};

// What signs the quotes of one platform: its PCK, and the attestation key of its quoting enclave.
struct QuotingEnclave {
  keybroker::crypto::PrivateKey pck_key;
  keybroker::crypto::PrivateKey attestation_key;
  std::string pck_chain;  // PEM: PCK, its CA, root
  keybroker::evidence::QeReportLayout report{};
  base::Bytes auth_data;
};

// make_quoting_enclave() sets one up as Intel's: QE report data that binds the attestation key and
// 32 bytes of authentication data, MRSIGNER of the simulator.
base::Result<QuotingEnclave> make_quoting_enclave(const TdxMint& mint, PckCa ca,
                                                  const keybroker::crypto::SgxExtension& platform,
                                                  const base::Secret<32>& machine_secret);

// The MRSIGNER of the simulator's quoting enclave, which its QE identity names.
std::array<std::byte, 32> simulated_qe_signer();

// sign_quote() fills in everything behind the body: the QE report and its signature by the PCK, the
// attestation key and its signature over header and body, the chain.
base::Result<void> sign_quote(keybroker::evidence::TdQuote& quote, const QuotingEnclave& enclave);

}  // namespace vtpm::tee_sim
