// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/chain.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/evidence/certificate_checks.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/snp_endorsement.h"
#include "keybroker/evidence/snp_product.h"
#include "keybroker/evidence/trust_store.h"

namespace keybroker::evidence {

// How SNP certificates are judged. The spans must outlive the call only.
struct SnpChainRules {
  const TrustStore& store;
  std::span<const crypto::Crl> crls;
  CrlRule crl_rule = CrlRule::kRequired;  // of the ARK's list, which covers ASK and ASVK only
  crypto::Time now;
};

// JudgedSnpChain is a chain of certificates and what was found about it. What is there was read
// from the certificates; it is worth something only if trusted(). It may be kept, under the
// fingerprint of its leaf, for as long as `validity` contains the time, and saves all but one
// signature of a verification.
struct JudgedSnpChain {
  std::vector<Check> checks;
  RootClass root_class = RootClass::kProduction;
  std::optional<SnpProduct> product{};  // by the root
  std::optional<SnpSigningKey> kind{};
  std::optional<crypto::PublicKey> key{};
  std::optional<SnpEndorsedTcb> tcb{};
  std::optional<SnpEndorsedIdentity> identity{};
  crypto::Validity validity{};  // of the certificates and the revocation list

  [[nodiscard]] bool trusted() const;
};

// judge_snp_chain() judges leaf, intermediate and root, in this order (checks `snp.chain...`,
// `snp.crl` and `snp.endorsement...`).
JudgedSnpChain judge_snp_chain(std::span<const crypto::Certificate> chain,
                               const SnpChainRules& rules);

// complete_snp_chain() adds what is missing behind `given` (a leaf, perhaps its intermediate) from
// `authorities`, by name and signature. What it cannot find stays missing.
std::vector<crypto::Certificate> complete_snp_chain(
    std::vector<crypto::Certificate> given, std::span<const crypto::Certificate> authorities);

// certificates_of_table() are the VCEK or VLEK, the intermediate and the root of a host's
// certificate table, in this order, as far as they are there. Of a table that has both, the one
// that is left out is not `signing_key`'s. kCorrupt as decode_snp_certificates(), and for an object
// that is no certificate.
base::Result<std::vector<crypto::Certificate>> certificates_of_table(
    base::ByteView table, std::optional<SnpSigningKey> signing_key = std::nullopt);

}  // namespace keybroker::evidence
