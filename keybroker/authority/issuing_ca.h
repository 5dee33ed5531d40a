// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/evidence/ak_statement.h"
#include "vmgs/base/secret.h"

namespace keybroker::authority {

using evidence::AkClass;

// What a CA signs with: ECDSA P-384 with SHA-384, or RSASSA-PKCS1-v1_5 with SHA-384 for clients
// that know no other.
enum class CaKey : std::uint8_t { kP384, kRsa3072 };

// IssuingCa issues the certificates of one class, under a root that signed nothing else. Both have
// keys of the same kind.
struct IssuingCa {
  crypto::PrivateKey key;
  crypto::Certificate certificate;
  crypto::Certificate root;
};

// ca_name() is the name of a class's issuing CA.
crypto::DistinguishedName ca_name(AkClass ak_class);

// make_issuing_ca() draws a root and an issuing CA of 10 years; the root's key is forgotten. The
// root of class `simulated` carries the simulator's marker.
base::Result<IssuingCa> make_issuing_ca(AkClass ak_class, crypto::Time now,
                                        CaKey kind = CaKey::kP384);

// What encode() writes at most.
inline constexpr std::size_t kMaxIssuingCaBytes = 16 * 1024;

// encode() writes a CA as PEM: its private key (PKCS #8, not encrypted), its certificate, its root.
base::Result<base::SecretBytes> encode(const IssuingCa& ca);

// decode_issuing_ca() reads that of one class. kCorrupt, saying what is wrong, for anything else:
// among them a CA of another class, a key that is not the certificate's, and signatures that do not
// verify.
base::Result<IssuingCa> decode_issuing_ca(AkClass ak_class, const base::SecretBytes& pem);

}  // namespace keybroker::authority
