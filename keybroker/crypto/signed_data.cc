// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/signed_data.h"

#include <openssl/bio.h>
#include <openssl/pkcs7.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "keybroker/crypto/openssl.h"
#include "keybroker/crypto/x509.h"

namespace keybroker::crypto {

namespace {

using base::ErrorCode;

using Pkcs7 = std::unique_ptr<PKCS7, openssl::Freed<PKCS7_free>>;
using SignedData = std::unique_ptr<PKCS7_SIGNED, openssl::Freed<PKCS7_SIGNED_free>>;
using Store = std::unique_ptr<X509_STORE, openssl::Freed<X509_STORE_free>>;
using Bio = std::unique_ptr<BIO, openssl::Freed<BIO_free>>;

void free_stack(STACK_OF(X509) * stack) { sk_X509_free(stack); }

using Signers = std::unique_ptr<STACK_OF(X509), openssl::Freed<free_stack>>;
using Parsed = std::unique_ptr<X509, openssl::Freed<X509_free>>;

tl::unexpected<base::Error> no_signed_data() {
  return base::fail(ErrorCode::kCorrupt, "this is no PKCS #7 SignedData");
}

// Firmware takes both forms; the tools of vendors make both.
base::Result<Pkcs7> decode(base::ByteView der) {
  if (der.empty() || der.size() > kMaxSignedDataBytes) {
    return no_signed_data();
  }
  const auto size = static_cast<long>(der.size());
  const auto* at = openssl::in(der);
  Pkcs7 whole(d2i_PKCS7(nullptr, &at, size));
  if (whole && at == openssl::in(der) + size && PKCS7_type_is_signed(whole.get())) {
    return whole;
  }
  at = openssl::in(der);
  SignedData bare(d2i_PKCS7_SIGNED(nullptr, &at, size));
  if (!bare || at != openssl::in(der) + size) {
    return no_signed_data();
  }
  whole.reset(PKCS7_new());
  if (!whole) {
    return no_signed_data();
  }
  whole->type = OBJ_nid2obj(NID_pkcs7_signed);
  whole->d.sign = bare.release();
  return whole;
}

bool has_strong_digests(const PKCS7& signed_data) {
  const auto* const algorithms = signed_data.d.sign->md_algs;
  for (int i = 0; i < sk_X509_ALGOR_num(algorithms); ++i) {
    const int hash = OBJ_obj2nid(sk_X509_ALGOR_value(algorithms, i)->algorithm);
    if (hash != NID_sha256 && hash != NID_sha384 && hash != NID_sha512) {
      return false;
    }
  }
  return sk_X509_ALGOR_num(algorithms) > 0;
}

base::Result<Store> store_of(const std::vector<base::Bytes>& trusted) {
  Store store(X509_STORE_new());
  std::size_t usable = 0;
  for (const auto& der : trusted) {
    const auto* at = openssl::in(der);
    const Parsed certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (certificate && store && X509_STORE_add_cert(store.get(), certificate.get()) == 1) {
      ++usable;
    }
  }
  if (usable == 0) {
    return base::fail(ErrorCode::kAuthentication,
                      "no certificate is enrolled that could have signed it");
  }
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
  X509_STORE_set_purpose(store.get(), X509_PURPOSE_ANY);
  return store;
}

std::string signer_of(PKCS7* signed_data) {
  const Signers signers(PKCS7_get0_signers(signed_data, nullptr, 0));
  if (!signers || sk_X509_num(signers.get()) == 0) {
    return {};
  }
  return x509::text_of(X509_get_subject_name(sk_X509_value(signers.get(), 0)));
}

}  // namespace

base::Result<std::string> verify_signed_data(base::ByteView signed_data, base::ByteView content,
                                             const std::vector<base::Bytes>& trusted) {
  const openssl::ClearedErrors errors;
  TRY_ASSIGN(parsed, decode(signed_data));
  if (parsed->d.sign == nullptr || !has_strong_digests(*parsed)) {
    return base::fail(ErrorCode::kAuthentication, "it is signed with a hash weaker than SHA-256");
  }
  TRY_ASSIGN(store, store_of(trusted));
  const auto signer = signer_of(parsed.get());
  const Bio data(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  if (!data ||
      PKCS7_verify(parsed.get(), nullptr, store.get(), data.get(), nullptr, PKCS7_BINARY) != 1) {
    return base::fail(ErrorCode::kAuthentication,
                      "the signature of " + (signer.empty() ? "an unnamed signer" : signer) +
                          " does not hold: " + errors.last());
  }
  return signer;
}

}  // namespace keybroker::crypto
