// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/certificate.h"

#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "keybroker/crypto/openssl.h"
#include "keybroker/crypto/x509.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::crypto {

namespace {

using openssl::ClearedErrors;
using openssl::in;

using Object = std::unique_ptr<ASN1_OBJECT, openssl::Freed<ASN1_OBJECT_free>>;
using Purposes = std::unique_ptr<EXTENDED_KEY_USAGE, openssl::Freed<EXTENDED_KEY_USAGE_free>>;
using Bio = std::unique_ptr<BIO, openssl::Freed<BIO_free>>;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "certificate: " + why);
}

std::string common_name(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) {
    return {};
  }
  return x509::text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
}

}  // namespace

base::Result<Certificate> Certificate::decode(base::ByteView der) {
  const ClearedErrors errors;
  if (der.size() > kMaxCertificateBytes) {
    return corrupt("has " + std::to_string(der.size()) + " bytes, at most 16384 are allowed");
  }
  const unsigned char* at = in(der);
  X509* parsed = d2i_X509(nullptr, &at, static_cast<long>(der.size()));
  if (parsed == nullptr) {
    return corrupt("its DER cannot be read: " + ClearedErrors::last());
  }
  Certificate certificate;
  certificate.certificate_ = std::shared_ptr<x509_st>(parsed, X509_free);
  if (at != in(der) + der.size()) {
    return corrupt("something follows it");
  }
  if (X509_get_version(parsed) != X509_VERSION_3) {
    return corrupt("it is not of version 3");
  }
  TRY_ASSIGN(not_before, x509::time_of(X509_get0_notBefore(parsed)));
  TRY_ASSIGN(not_after, x509::time_of(X509_get0_notAfter(parsed)));
  certificate.not_before_ = not_before;
  certificate.not_after_ = not_after;
  certificate.der_ = std::make_shared<const base::Bytes>(base::copy_of(der));
  certificate.fingerprint_ = vmgs::crypto::sha256(der);
  auto key = PublicKey::sharing(X509_get0_pubkey(parsed));
  if (key) {
    certificate.key_ = *std::move(key);
  }
  return certificate;
}

std::string Certificate::subject() const {
  return x509::text_of(X509_get_subject_name(certificate_.get()));
}

std::string Certificate::issuer() const {
  return x509::text_of(X509_get_issuer_name(certificate_.get()));
}

base::Bytes Certificate::subject_der() const {
  return openssl::encoded(i2d_X509_NAME, X509_get_subject_name(certificate_.get()));
}

base::Bytes Certificate::issuer_der() const {
  return openssl::encoded(i2d_X509_NAME, X509_get_issuer_name(certificate_.get()));
}

std::string Certificate::subject_common_name() const {
  return common_name(X509_get_subject_name(certificate_.get()));
}

std::string Certificate::issuer_common_name() const {
  return common_name(X509_get_issuer_name(certificate_.get()));
}

base::Bytes Certificate::serial() const {
  return x509::magnitude_of(X509_get0_serialNumber(certificate_.get()));
}

SignatureAlgorithm Certificate::signature_algorithm() const {
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(nullptr, &algorithm, certificate_.get());
  return x509::algorithm_of(algorithm);
}

base::Result<std::optional<base::Bytes>> Certificate::extension(const std::string& oid) const {
  const Object object(OBJ_txt2obj(oid.c_str(), 1));
  const int at = X509_get_ext_by_OBJ(certificate_.get(), object.get(), -1);
  if (at < 0) {
    return std::nullopt;
  }
  if (X509_get_ext_by_OBJ(certificate_.get(), object.get(), at) >= 0) {
    return corrupt("the extension " + oid + " is there twice");
  }
  const ASN1_OCTET_STRING* content = X509_EXTENSION_get_data(X509_get_ext(certificate_.get(), at));
  return base::copy_of(openssl::view(ASN1_STRING_get0_data(content), ASN1_STRING_length(content)));
}

std::vector<std::string> Certificate::purposes() const {
  const ClearedErrors errors;
  std::vector<std::string> oids;
  const Purposes purposes(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(certificate_.get(), NID_ext_key_usage, nullptr, nullptr)));
  for (int i = 0; i < sk_ASN1_OBJECT_num(purposes.get()); ++i) {
    std::array<char, 128> text{};
    OBJ_obj2txt(text.data(), static_cast<int>(text.size()), sk_ASN1_OBJECT_value(purposes.get(), i),
                1);
    oids.emplace_back(text.data());
  }
  return oids;
}

bool Certificate::has_purpose(const std::string& oid) const {
  const auto oids = purposes();
  return std::ranges::find(oids, oid) != oids.end();
}

bool Certificate::may_sign() const {
  const auto usage = X509_get_key_usage(certificate_.get());
  return usage == UINT32_MAX || (usage & KU_DIGITAL_SIGNATURE) != 0;
}

bool Certificate::is_ca() const { return X509_check_ca(certificate_.get()) == 1; }

std::string Certificate::pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  char* text = nullptr;
  // OpenSSL would encode anew what the issuer has not signed.
  PEM_write_bio(bio.get(), PEM_STRING_X509, "", in(*der_), static_cast<long>(der_->size()));
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

base::Result<void> verify_issued(const Certificate& certificate, const PublicKey& issuer) {
  const ClearedErrors errors;
  if (X509_verify(certificate.handle(), issuer.handle()) != 1) {
    return base::fail(
        base::ErrorCode::kAuthentication,
        "certificate: the signature on " + certificate.subject() + " does not verify");
  }
  return {};
}

}  // namespace keybroker::crypto
