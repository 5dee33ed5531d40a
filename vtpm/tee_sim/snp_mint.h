// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/time.h"
#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/snp_tcb.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee_sim/authority.h"
#include "vtpm/tee_sim/machine.h"

namespace vtpm::tee_sim {

using ChipId = std::array<std::byte, 64>;

// SnpMint makes what AMD makes: the ARK, ASK and ASVK of one product line and the VCEKs and VLEKs
// under them, with AMD's names, keys, extensions, serial numbers and lifetimes. Names are the same
// on purpose, so that a verifier's name checks run; every root and intermediate carries the
// simulator's marker extension, and only who trusts this very root believes any of it.
class SnpMint {
 public:
  // The keys of a hierarchy. generate() takes seconds: three times RSA-4096.
  struct Keys {
    static base::Result<Keys> generate();

    keybroker::crypto::PrivateKey ark;
    keybroker::crypto::PrivateKey ask;
    keybroker::crypto::PrivateKey asvk;
  };

  // make() certifies `keys` as the authorities of one product line, from `now` on.
  static base::Result<SnpMint> make(SnpProduct product, const Keys& keys,
                                    keybroker::crypto::Time now);

  // from_bundle() takes one that to_bundle() wrote. kCorrupt otherwise.
  static base::Result<SnpMint> from_bundle(SnpProduct product, base::ByteView bundle);
  [[nodiscard]] base::Result<base::SecretBytes> to_bundle() const;

  [[nodiscard]] SnpProduct product() const { return product_; }

  [[nodiscard]] const keybroker::crypto::Certificate& ark() const { return ark_.certificate; }

  [[nodiscard]] const keybroker::crypto::Certificate& ask() const { return ask_.certificate; }

  [[nodiscard]] const keybroker::crypto::Certificate& asvk() const { return asvk_.certificate; }

  // vcek_spec() and vlek_spec() are what such a certificate says. A test may change anything before
  // it lets it be issued.
  [[nodiscard]] keybroker::crypto::CertificateSpec vcek_spec(
      const ChipId& chip_id, const keybroker::evidence::TcbVersion& tcb) const;
  [[nodiscard]] keybroker::crypto::CertificateSpec vlek_spec(
      const std::string& csp_id, const keybroker::evidence::TcbVersion& tcb) const;

  // Signed by the ASK, as VCEKs are, or by the ASVK, as VLEKs are.
  [[nodiscard]] base::Result<keybroker::crypto::Certificate> issue_by_ask(
      const keybroker::crypto::CertificateSpec& spec,
      const keybroker::crypto::PublicKey& subject_key) const;
  [[nodiscard]] base::Result<keybroker::crypto::Certificate> issue_by_asvk(
      const keybroker::crypto::CertificateSpec& spec,
      const keybroker::crypto::PublicKey& subject_key) const;

  // crl() is the list of the ARK, which names intermediates only.
  [[nodiscard]] base::Result<keybroker::crypto::Crl> crl(
      keybroker::crypto::Time this_update, keybroker::crypto::Time next_update,
      const std::vector<keybroker::crypto::Crl::Entry>& revoked = {}) const;

 private:
  SnpMint(SnpProduct product, Authority ark, Authority ask, Authority asvk)
      : product_(product), ark_(std::move(ark)), ask_(std::move(ask)), asvk_(std::move(asvk)) {}

  SnpProduct product_;
  Authority ark_;
  Authority ask_;
  Authority asvk_;
};

// vcek_key() is the key of one chip at one TCB: the same each time, another for any other.
base::Result<keybroker::crypto::PrivateKey> vcek_key(const base::Secret<32>& machine_secret,
                                                     const ChipId& chip_id,
                                                     const keybroker::evidence::RawTcb& tcb);

// sign() fills in the signature of a report: ECDSA P-384 with SHA-384 over what stands in front of
// it, R and S little-endian.
base::Result<void> sign(keybroker::evidence::SnpReportLayout& report,
                        const keybroker::crypto::PrivateKey& key);

}  // namespace vtpm::tee_sim
