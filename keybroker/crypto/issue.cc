// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/issue.h"

#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

using openssl::ClearedErrors;
using openssl::in;

using OwnedCertificate = std::unique_ptr<X509, openssl::Freed<X509_free>>;
using OwnedCrl = std::unique_ptr<X509_CRL, openssl::Freed<X509_CRL_free>>;
using OwnedEntry = std::unique_ptr<X509_REVOKED, openssl::Freed<X509_REVOKED_free>>;
using OwnedName = std::unique_ptr<X509_NAME, openssl::Freed<X509_NAME_free>>;
using OwnedExtension = std::unique_ptr<X509_EXTENSION, openssl::Freed<X509_EXTENSION_free>>;
using OwnedOid = std::unique_ptr<ASN1_OBJECT, openssl::Freed<ASN1_OBJECT_free>>;
using OwnedInteger = std::unique_ptr<ASN1_INTEGER, openssl::Freed<ASN1_INTEGER_free>>;
using OwnedOctets = std::unique_ptr<ASN1_OCTET_STRING, openssl::Freed<ASN1_OCTET_STRING_free>>;
using OwnedTime = std::unique_ptr<ASN1_TIME, openssl::Freed<ASN1_TIME_free>>;
using OwnedKeyId = std::unique_ptr<AUTHORITY_KEYID, openssl::Freed<AUTHORITY_KEYID_free>>;

constexpr std::size_t kMaxSerialBytes = 20;

auto refuse(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, why + ": " + ClearedErrors::last());
}

const EVP_MD* digest_of(std::optional<Hash> hash) {
  if (!hash) {
    return nullptr;
  }
  switch (*hash) {
    case Hash::kSha1:
      return EVP_sha1();
    case Hash::kSha256:
      return EVP_sha256();
    case Hash::kSha384:
      return EVP_sha384();
    case Hash::kSha512:
      break;
  }
  return EVP_sha512();
}

SignatureAlgorithm usual_algorithm(const PublicKey& key, bool pkcs1) {
  if (key.is_rsa()) {
    return pkcs1 ? SignatureAlgorithm{SignatureAlgorithm::Scheme::kRsaPkcs1, Hash::kSha384,
                                      std::nullopt, 0}
                 : kPssSha384;
  }
  return key.curve() == Curve::kP256 ? kEcdsaSha256 : kEcdsaSha384;
}

// signing() is a context that signs with `key` and `algorithm`.
base::Result<openssl::DigestContext> signing(const PrivateKey& key,
                                             const SignatureAlgorithm& algorithm) {
  using Scheme = SignatureAlgorithm::Scheme;
  const bool pss = algorithm.scheme == Scheme::kRsaPss;
  const auto* digest = digest_of(algorithm.hash);
  const auto* mgf1 = digest_of(algorithm.mgf1_hash);
  if (key.public_key().is_rsa() == (algorithm.scheme == Scheme::kEcdsa) || digest == nullptr ||
      algorithm.scheme == Scheme::kOther || (pss && mgf1 == nullptr)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a certificate cannot be signed with " + describe(algorithm));
  }
  openssl::DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  bool ready =
      context && EVP_DigestSignInit(context.get(), &parameters, digest, nullptr, key.handle()) == 1;
  if (ready && pss) {
    ready =
        EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_mgf1_md(parameters, mgf1) == 1 &&
        EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, static_cast<int>(algorithm.salt_bytes)) == 1;
  }
  if (!ready) {
    return base::fail(base::ErrorCode::kUnavailable, "cannot sign: " + ClearedErrors::last());
  }
  return context;
}

base::Result<OwnedName> name_of(const DistinguishedName& parts) {
  OwnedName name(X509_NAME_new());
  for (const auto& [type, value] : parts) {
    if (X509_NAME_add_entry_by_txt(name.get(), type.c_str(), MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(value.data()),
                                   static_cast<int>(value.size()), -1, 0) != 1) {
      return refuse("a name cannot have " + type + " = '" + value + "'");
    }
  }
  return name;
}

base::Result<OwnedInteger> serial_of(base::ByteView serial) {
  const openssl::Bignum number(BN_bin2bn(in(serial), static_cast<int>(serial.size()), nullptr));
  OwnedInteger integer(number ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr);
  if (!integer || serial.size() > kMaxSerialBytes) {
    return refuse("a serial number has at most 20 bytes");
  }
  return integer;
}

OwnedTime time_of(Time time) {
  return OwnedTime(ASN1_TIME_set(nullptr, time.time_since_epoch().count()));
}

base::Result<OwnedExtension> raw_extension(const Extension& extension) {
  const OwnedOid oid(OBJ_txt2obj(extension.oid.c_str(), 1));
  const OwnedOctets content(ASN1_OCTET_STRING_new());
  if (!oid || !content ||
      ASN1_STRING_set(content.get(), extension.content.data(),
                      static_cast<int>(extension.content.size())) != 1) {
    return refuse("'" + extension.oid + "' is no OID");
  }
  return OwnedExtension(
      X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), extension.critical ? 1 : 0, content.get()));
}

const char* key_usage(EndEntityUse use) {
  switch (use) {
    case EndEntityUse::kSigning:
      return "digitalSignature,nonRepudiation";
    case EndEntityUse::kKeyEncipherment:
      return "keyEncipherment";
    case EndEntityUse::kKeyAgreement:
      return "keyAgreement";
  }
  return "";
}

// Standard extensions in OpenSSL's own notation.
std::vector<std::pair<int, std::string>> standard_extensions(const CertificateSpec& spec) {
  std::vector<std::pair<int, std::string>> extensions;
  if (spec.authority) {
    const auto& path = spec.authority->path_length;
    extensions.emplace_back(
        NID_basic_constraints,
        "critical,CA:TRUE" + (path ? ",pathlen:" + std::to_string(*path) : std::string()));
    extensions.emplace_back(NID_key_usage, std::string("critical,keyCertSign") +
                                               (spec.authority->signs_lists ? ",cRLSign" : ""));
  }
  if (spec.end_entity) {
    extensions.emplace_back(NID_basic_constraints, "critical,CA:FALSE");
    extensions.emplace_back(NID_key_usage, std::string("critical,") + key_usage(spec.use));
  }
  if (spec.key_identifiers) {
    extensions.emplace_back(NID_subject_key_identifier, "hash");
  }
  if (!spec.crl_url.empty()) {
    extensions.emplace_back(NID_crl_distribution_points, "URI:" + spec.crl_url);
  }
  return extensions;
}

// The identifier of the key that signs, as its own certificate writes it: SHA-1 of the key's bits
// (RFC 5280, 4.2.1.2, method 1). It is a name, not a proof.
base::Result<OwnedExtension> authority_key_identifier(const PrivateKey& issuer_key) {
  const OwnedCertificate signer(X509_new());
  X509V3_CTX context;
  if (!signer || X509_set_pubkey(signer.get(), issuer_key.handle()) != 1) {
    return refuse("cannot name the key that signs");
  }
  X509V3_set_ctx(&context, signer.get(), signer.get(), nullptr, nullptr, 0);
  const OwnedExtension own(
      X509V3_EXT_conf_nid(nullptr, &context, NID_subject_key_identifier, "hash"));
  OwnedOctets hash(own ? static_cast<ASN1_OCTET_STRING*>(X509V3_EXT_d2i(own.get())) : nullptr);
  const OwnedKeyId identifier(AUTHORITY_KEYID_new());
  if (!hash || !identifier) {
    return refuse("cannot name the key that signs");
  }
  identifier->keyid = hash.release();
  return OwnedExtension(X509V3_EXT_i2d(NID_authority_key_identifier, 0, identifier.get()));
}

base::Result<void> add_extensions(X509* certificate, const CertificateSpec& spec,
                                  const PrivateKey& issuer_key) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, nullptr, certificate, nullptr, nullptr, 0);
  for (const auto& [type, text] : standard_extensions(spec)) {
    const OwnedExtension extension(X509V3_EXT_conf_nid(nullptr, &context, type, text.c_str()));
    if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
      return refuse("cannot write the extension " + text);
    }
  }
  if (spec.key_identifiers) {
    TRY_ASSIGN(identifier, authority_key_identifier(issuer_key));
    if (X509_add_ext(certificate, identifier.get(), -1) != 1) {
      return refuse("cannot write the authority key identifier");
    }
  }
  for (const auto& extension : spec.extensions) {
    TRY_ASSIGN(raw, raw_extension(extension));
    if (X509_add_ext(certificate, raw.get(), -1) != 1) {
      return refuse("cannot write the extension " + extension.oid);
    }
  }
  return {};
}

base::Result<void> add_entry(X509_CRL* list, const Crl::Entry& revoked) {
  TRY_ASSIGN(serial, serial_of(revoked.serial));
  const auto when = time_of(revoked.revoked);
  OwnedEntry entry(X509_REVOKED_new());
  if (!entry || !when || X509_REVOKED_set_serialNumber(entry.get(), serial.get()) != 1 ||
      X509_REVOKED_set_revocationDate(entry.get(), when.get()) != 1 ||
      X509_CRL_add0_revoked(list, entry.get()) != 1) {
    return refuse("cannot add to a revocation list");
  }
  static_cast<void>(entry.release());  // add0 took it
  return {};
}

}  // namespace

base::Result<Certificate> issue(const CertificateSpec& spec, const PublicKey& subject_key,
                                const PrivateKey& issuer_key) {
  const ClearedErrors errors;
  TRY_ASSIGN(serial, serial_of(spec.serial));
  TRY_ASSIGN(subject, name_of(spec.subject));
  TRY_ASSIGN(issuer, name_of(spec.issuer));
  const auto not_before = time_of(spec.not_before);
  const auto not_after = time_of(spec.not_after);
  const OwnedCertificate certificate(X509_new());
  if (!certificate || !not_before || !not_after ||
      X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_set_serialNumber(certificate.get(), serial.get()) != 1 ||
      X509_set_subject_name(certificate.get(), subject.get()) != 1 ||
      X509_set_issuer_name(certificate.get(), issuer.get()) != 1 ||
      X509_set1_notBefore(certificate.get(), not_before.get()) != 1 ||
      X509_set1_notAfter(certificate.get(), not_after.get()) != 1 ||
      X509_set_pubkey(certificate.get(), subject_key.handle()) != 1) {
    return refuse("cannot fill in a certificate");
  }
  TRY(add_extensions(certificate.get(), spec, issuer_key));
  TRY_ASSIGN(context, signing(issuer_key, spec.algorithm.value_or(usual_algorithm(
                                              issuer_key.public_key(), spec.pkcs1))));
  if (X509_sign_ctx(certificate.get(), context.get()) <= 0) {
    return refuse("cannot sign a certificate");
  }
  return Certificate::decode(openssl::encoded(i2d_X509, certificate.get()));
}

base::Result<Crl> issue_crl(const CrlSpec& spec, const PrivateKey& issuer_key) {
  const ClearedErrors errors;
  TRY_ASSIGN(issuer, name_of(spec.issuer));
  TRY_ASSIGN(identifier, authority_key_identifier(issuer_key));
  const auto this_update = time_of(spec.this_update);
  const auto next_update = time_of(spec.next_update);
  const OwnedCrl list(X509_CRL_new());
  const OwnedInteger number(ASN1_INTEGER_new());
  if (!list || !this_update || !next_update || !number ||
      ASN1_INTEGER_set_uint64(number.get(), spec.number) != 1 ||
      X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) != 1 ||
      X509_CRL_set_issuer_name(list.get(), issuer.get()) != 1 ||
      X509_CRL_set1_lastUpdate(list.get(), this_update.get()) != 1 ||
      X509_CRL_set1_nextUpdate(list.get(), next_update.get()) != 1 ||
      X509_CRL_add_ext(list.get(), identifier.get(), -1) != 1 ||
      X509_CRL_add1_ext_i2d(list.get(), NID_crl_number, number.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return refuse("cannot fill in a revocation list");
  }
  for (const auto& revoked : spec.revoked) {
    TRY(add_entry(list.get(), revoked));
  }
  X509_CRL_sort(list.get());
  TRY_ASSIGN(context, signing(issuer_key, usual_algorithm(issuer_key.public_key(), spec.pkcs1)));
  if (X509_CRL_sign_ctx(list.get(), context.get()) <= 0) {
    return refuse("cannot sign a revocation list");
  }
  return Crl::decode_own(openssl::encoded(i2d_X509_CRL, list.get()));
}

}  // namespace keybroker::crypto
