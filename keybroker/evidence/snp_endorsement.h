// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "keybroker/crypto/certificate.h"
#include "keybroker/evidence/snp_product.h"
#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/snp_tcb.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// AMD's arc of certificate extensions (VCEK certificate and KDS interface specification, 3.1).
inline constexpr std::string_view kAmdExtensionArc = "1.3.6.1.4.1.3704.1";

// What kind of certificate a VCEK or VLEK is, by its own name; nothing for other certificates.
std::optional<SnpSigningKey> endorsement_kind(const crypto::Certificate& leaf);

// The security versions that a VCEK or VLEK certificate was made for.
struct SnpEndorsedTcb {
  std::int64_t structure_version = 0;
  std::string product_name;  // "Milan-B0", "Genoa"
  TcbVersion tcb;
  bool names_fmc = false;  // only Turin's do
};

// decode_endorsed_tcb() reads them from AMD's extensions. kCorrupt for one that is missing, there
// twice, of another type or not 0 to 255, and for a reserved one that is not 0. Whether the FMC has
// to be there is for whoever compares.
base::Result<SnpEndorsedTcb> decode_endorsed_tcb(const crypto::Certificate& leaf,
                                                 SnpProduct product);

// Whose key it is: one chip's (VCEK) or one provider's (VLEK). Exactly one of the two is there.
struct SnpEndorsedIdentity {
  std::optional<base::Bytes> hwid;  // VCEK: 64 bytes, Turin's 8
  std::optional<std::string> csp;   // VLEK: "CN=cc-us-east-2.amazonaws.com"
};

// decode_endorsed_identity() reads it. The HWID is raw, or wrapped into an OCTET STRING. kCorrupt
// for the wrong one of the two, both, none, or another size.
base::Result<SnpEndorsedIdentity> decode_endorsed_identity(const crypto::Certificate& leaf,
                                                           SnpProduct product, SnpSigningKey kind);

}  // namespace keybroker::evidence
