// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/time.h"
#include "keybroker/evidence/ak_verification.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/claims_verification.h"
#include "keybroker/evidence/event_log.h"
#include "keybroker/evidence/quote_verification.h"
#include "keybroker/evidence/secure_boot.h"
#include "keybroker/evidence/snp_verification.h"
#include "keybroker/evidence/tdx_verification.h"
#include "keybroker/evidence/trust_store.h"
#include "keybroker/protocol/launch_document.h"

namespace keybroker::evidence {

// Evidence is everything that somebody sent about one VM. Nothing in it chooses how it is judged.
struct Evidence {
  std::optional<base::Bytes> snp_report{};
  std::vector<crypto::Certificate> snp_certificates{};  // leaf first; authorities may be missing
  std::optional<base::Bytes> td_quote{};
  std::optional<base::Bytes> td_report{};  // beside no quote it proves nothing
  std::optional<base::Bytes> hcl_report{};
  std::optional<std::string> extended_claims{};
  AkEvidence ak{};
  std::vector<QuoteEvidence> quotes{};
  std::optional<base::Bytes> event_log{};     // of the TPM's PCRs
  std::optional<base::Bytes> cc_event_log{};  // of the TD's RTMRs
};

inline constexpr std::size_t kMaxEvidenceBytes = 1024 * 1024;

// snp_report_of() is the SNP report of evidence, wherever it stands in it, and empty if there is
// none; snp_signing_key() is what that says of its signer. Nobody has verified either.
base::Bytes snp_report_of(const Evidence& evidence);
std::optional<SnpSigningKey> snp_signing_key(const Evidence& evidence);

// Policy is what an owner accepts.
struct Policy {
  std::set<protocol::TeeFamily> tees{protocol::TeeFamily::kSevSnp, protocol::TeeFamily::kTdx};
  Expectation nonce{};        // of the quote, or of the claims where there is no quote
  Expectation report_data{};  // of a hardware report without claims, all 64 bytes
  SnpPolicy snp{};
  TdxPolicy tdx{};
  HclPolicy hcl{};
  AkPolicy ak{};
  QuotePolicy quote{};
  LogPolicy log{};
  std::optional<BootPolicy> boot{};
};

// Collateral is what vendors publish and what the verifier keeps: nothing of it is trusted for
// where it comes from.
struct Collateral {
  std::vector<crypto::Certificate> snp_authorities{};
  std::vector<crypto::Crl> snp_crls{};
  TdxCollateral tdx{};
  AkAuthorities ak{};
};

// Claims is what verified evidence says.
struct Claims {
  RootClass root_class = RootClass::kProduction;
  protocol::TeeFamily tee = protocol::TeeFamily::kNone;
  std::optional<SnpClaims> snp{};
  std::optional<TdxClaims> tdx{};
  std::optional<protocol::RuntimeClaims> runtime{};
  std::optional<protocol::ExtendedClaims> extended{};
  bool claims_bound = false;  // to the hardware report; else they are the VM's own word
  std::optional<crypto::PublicKey> ak{};
  std::optional<base::Bytes> ak_name{};
  std::optional<AkStatement> ak_statement{};           // of a certificate of that kind
  std::optional<crypto::Time> ak_certificate_until{};  // of one that leads to a root
  std::vector<QuoteClaims> quotes{};
  std::optional<SecureBootState> secure_boot{};
  crypto::Time verified_at;
};

// Verdict is how evidence was judged. Claims leave it only if every check passed that was wanted.
struct Verdict {
  bool accepted = false;
  std::optional<Reason> reason{};  // of the first check that failed
  std::string detail{};
  std::vector<Check> checks{};
  std::optional<Claims> claims{};
};

// verify() judges evidence at the time `now`. It reads no clock, no file and no network; any thread
// may call it. All checks are made that can be made, in one order; the first that fails gives the
// reason.
Verdict verify(const Evidence& evidence, const Policy& policy, const Collateral& collateral,
               const TrustStore& store, crypto::Time now);

}  // namespace keybroker::evidence
