// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/chain.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/sgx_extension.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/signed_document.h"
#include "keybroker/evidence/tcb_info.h"
#include "keybroker/evidence/trust_store.h"

namespace keybroker::evidence {

// What Intel publishes for verifiers. It may hold more than one platform needs; what fits is
// picked.
struct TdxCollateral {
  std::vector<SignedDocument> tcb_infos{};
  std::vector<SignedDocument> qe_identities{};
  std::vector<crypto::Certificate> signers{};  // TCB signing certificates and roots
  std::vector<crypto::Crl> crls{};             // of the root and of the PCK CAs
};

// How TDX certificates and collateral are judged. What is referred to must outlive the call only.
struct TdxRules {
  const TrustStore& store;
  const TdxCollateral& collateral;
  crypto::Time now;
  std::chrono::seconds grace{};  // how long collateral is taken after its end
};

// JudgedPckChain is the certificate chain of a quote and what was found about it. It may be kept
// under the text of the chain for as long as `validity` contains the time.
struct JudgedPckChain {
  std::vector<Check> checks;
  RootClass root_class = RootClass::kProduction;
  std::optional<crypto::PublicKey> key{};
  std::optional<crypto::SgxExtension> platform{};
  crypto::Validity validity{};  // of the certificates and the revocation lists

  [[nodiscard]] bool trusted() const;
};

// judge_pck_chain() judges PCK certificate, PCK CA and root, in this order (checks `tdx.chain...`,
// `tdx.crl...` and `tdx.pck...`).
JudgedPckChain judge_pck_chain(std::string_view pem, const TdxRules& rules);

// JudgedTdxCollateral is the TCB info and the QE identity for one kind of platform, and what was
// found about them. It may be kept for as long as `validity` contains the time.
struct JudgedTdxCollateral {
  std::vector<Check> checks;
  std::optional<TcbInfo> tcb_info{};
  std::optional<QeIdentity> qe_identity{};
  crypto::Validity validity{};

  [[nodiscard]] bool trusted() const;
};

// judge_tdx_collateral() picks the documents for `platform` and judges them (checks
// `tdx.tcb_info...` and `tdx.qe_identity...`). Without a platform nothing can be picked.
JudgedTdxCollateral judge_tdx_collateral(const std::optional<crypto::SgxExtension>& platform,
                                         const TdxRules& rules);

}  // namespace keybroker::evidence
