// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/time.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/tpm_policy.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/runtime_claims.h"

namespace keybroker::evidence {

// Who may vouch for an AK by a certificate, and which of their certificates are taken back.
struct AkAuthorities {
  std::vector<crypto::Certificate> roots{};  // trusted as they are; an intermediate may be one
  std::vector<crypto::Certificate> intermediates{};
  std::vector<crypto::Crl> crls{};
};

// What came with the evidence about an AK.
struct AkEvidence {
  std::optional<base::Bytes> public_area{};     // TPMT_PUBLIC
  std::optional<crypto::PublicKey> bare_key{};  // a key and nothing about it
  std::vector<base::Bytes> certificates{};      // DER, the AK's own first

  [[nodiscard]] bool empty() const { return !public_area && !bare_key && certificates.empty(); }
};

// What the claims say of the AK, and whether a verified TEE report binds them.
struct AkClaims {
  const protocol::RuntimeClaims* runtime = nullptr;    // may be absent
  const protocol::ExtendedClaims* extended = nullptr;  // may be absent
  bool bound = false;
  bool refused = false;  // there is a report, and it or its tie to the claims does not stand
};

// JudgedAk is the key that quotes are verified with.
struct JudgedAk {
  std::optional<crypto::PublicKey> key{};
  std::optional<base::Bytes> name{};  // where the public area or the template gives it
  bool name_is_certain = false;       // false: the template's, which the key need not have
  std::optional<TpmScheme> scheme{};
  // Of a certificate that leads to a trusted root: from the AK's own up to the root, and how long
  // all of them last.
  std::vector<crypto::Certificate> certificate_path{};
  std::optional<crypto::Time> certificate_until{};
};

// judge_ak() makes the checks `ak....`: claims, public area and certificate name one key, it is
// strong, it could not sign a forged quote, and somebody who is trusted vouches for it: the claims
// of a verified report, a certificate, or the policy.
JudgedAk judge_ak(const AkEvidence& evidence, const AkClaims& claims,
                  const AkAuthorities& authorities, const AkPolicy& policy, crypto::Time now,
                  Checklist& list);

// not_ask_ak() lists the same checks where no AK matters.
void not_ask_ak(Checklist& list);

}  // namespace keybroker::evidence
