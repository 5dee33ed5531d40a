// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/crl.h"

#include <openssl/x509v3.h>

#include "keybroker/crypto/openssl.h"
#include "keybroker/crypto/x509.h"

namespace keybroker::crypto {

namespace {

using openssl::ClearedErrors;
using openssl::in;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "CRL: " + why);
}

bool any_is_critical(const STACK_OF(X509_EXTENSION) * extensions) {
  return X509v3_get_ext_by_critical(extensions, 1, -1) >= 0;
}

bool has_critical_extension(X509_CRL* crl) {
  if (any_is_critical(X509_CRL_get0_extensions(crl))) {
    return true;
  }
  const auto* entries = X509_CRL_get_REVOKED(crl);
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    if (any_is_critical(X509_REVOKED_get0_extensions(sk_X509_REVOKED_value(entries, i)))) {
      return true;
    }
  }
  return false;
}

}  // namespace

base::Result<Crl> Crl::decode(base::ByteView der) {
  if (der.size() > kMaxCrlBytes) {
    return corrupt("has " + std::to_string(der.size()) + " bytes, at most 4 MiB are allowed");
  }
  return decode_own(der);
}

base::Result<Crl> Crl::decode_own(base::ByteView der) {
  const ClearedErrors errors;
  const unsigned char* at = in(der);
  X509_CRL* parsed = d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size()));
  if (parsed == nullptr) {
    return corrupt("its DER cannot be read: " + ClearedErrors::last());
  }
  Crl crl;
  crl.crl_ = std::shared_ptr<X509_crl_st>(parsed, X509_CRL_free);
  if (at != in(der) + der.size()) {
    return corrupt("something follows it");
  }
  if (has_critical_extension(parsed)) {
    return corrupt("it has a critical extension");
  }
  TRY_ASSIGN(this_update, x509::time_of(X509_CRL_get0_lastUpdate(parsed)));
  TRY_ASSIGN(next_update, x509::time_of(X509_CRL_get0_nextUpdate(parsed)));
  crl.this_update_ = this_update;
  crl.next_update_ = next_update;
  crl.der_ = std::make_shared<const base::Bytes>(base::copy_of(der));
  return crl;
}

std::string Crl::issuer() const { return x509::text_of(X509_CRL_get_issuer(crl_.get())); }

base::Bytes Crl::issuer_der() const {
  return openssl::encoded(i2d_X509_NAME, X509_CRL_get_issuer(crl_.get()));
}

SignatureAlgorithm Crl::signature_algorithm() const {
  const X509_ALGOR* algorithm = nullptr;
  X509_CRL_get0_signature(crl_.get(), nullptr, &algorithm);
  return x509::algorithm_of(algorithm);
}

base::Result<void> Crl::verify(const PublicKey& issuer) const {
  const ClearedErrors errors;
  if (X509_CRL_verify(crl_.get(), issuer.handle()) != 1) {
    return base::fail(base::ErrorCode::kAuthentication, "CRL: its signature does not verify");
  }
  return {};
}

bool Crl::revokes(const Certificate& certificate) const {
  X509_REVOKED* entry = nullptr;
  // 2 says "removed from the list", which only a delta list can say.
  return X509_CRL_get0_by_serial(crl_.get(), &entry,
                                 X509_get0_serialNumber(certificate.handle())) != 0;
}

std::vector<Crl::Entry> Crl::entries() const {
  std::vector<Entry> result;
  const auto* entries = X509_CRL_get_REVOKED(crl_.get());
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    const auto* entry = sk_X509_REVOKED_value(entries, i);
    result.push_back({x509::magnitude_of(X509_REVOKED_get0_serialNumber(entry)),
                      x509::time_of(X509_REVOKED_get0_revocationDate(entry)).value_or(Time())});
  }
  return result;
}

}  // namespace keybroker::crypto
