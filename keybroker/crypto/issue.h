// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/time.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// A distinguished name: {"CN", "ARK-Milan"} and so on, in the order in which it is written. Country
// becomes a PrintableString, all the rest UTF8String.
using DistinguishedName = std::vector<std::pair<std::string, std::string>>;

// An extension with its content, as it stands inside the extnValue OCTET STRING.
struct Extension {
  std::string oid;  // dotted numbers
  bool critical = false;
  base::Bytes content;
};

// What a certification authority may do: keyCertSign, and cRLSign if it signs lists.
struct AuthorityConstraints {
  std::optional<unsigned> path_length;
  bool signs_lists = false;
};

// What the key of an end entity is for: what its key usage says.
enum class EndEntityUse : std::uint8_t {
  kSigning,          // digitalSignature and nonRepudiation
  kKeyEncipherment,  // an RSA key that decrypts
  kKeyAgreement,     // an elliptic-curve key that does what decryption is there
};

// What a certificate is to say. Extensions are written in this order: constraints and key usage,
// subject key identifier, CRL distribution point, authority key identifier, `extensions`.
struct CertificateSpec {
  base::Bytes serial;  // big-endian, unsigned; at most 20 bytes (RFC 5280, 4.1.2.2)
  DistinguishedName subject;
  DistinguishedName issuer;
  Time not_before;
  Time not_after;
  std::optional<AuthorityConstraints> authority{};
  bool end_entity = false;  // no authority: critical basic constraints and key usage
  EndEntityUse use = EndEntityUse::kSigning;
  bool key_identifiers = false;  // subject and authority key identifier
  bool pkcs1 = false;            // an RSA key signs by RSASSA-PKCS1-v1_5, which old clients know
  std::string crl_url{};
  std::vector<Extension> extensions{};
  std::optional<SignatureAlgorithm> algorithm{};  // in place of the usual one of the issuer's key
};

// issue() makes a certificate of version 3 for `subject_key`, signed by `issuer_key`. The usual
// algorithm is RSASSA-PSS with SHA-384, MGF1 of SHA-384 and 48 bytes of salt by RSA, SHA-256 by
// P-256, SHA-384 by P-384; with `pkcs1` RSASSA-PKCS1-v1_5 with SHA-384 by RSA. kInvalidArgument if
// the spec cannot be written: a name, an OID, a serial number, an algorithm that is not the key's.
base::Result<Certificate> issue(const CertificateSpec& spec, const PublicKey& subject_key,
                                const PrivateKey& issuer_key);

// What a revocation list is to say.
struct CrlSpec {
  DistinguishedName issuer;
  Time this_update;
  Time next_update;
  std::uint64_t number = 1;
  std::vector<Crl::Entry> revoked{};
  bool pkcs1 = false;  // as in CertificateSpec
};

// issue_crl() makes a list of version 2 with CRL number and authority key identifier, signed as
// issue() signs.
base::Result<Crl> issue_crl(const CrlSpec& spec, const PrivateKey& issuer_key);

}  // namespace keybroker::crypto
