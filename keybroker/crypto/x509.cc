// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/x509.h"

#include <openssl/objects.h>
#include <openssl/rsa.h>

#include <ctime>

namespace keybroker::crypto {

namespace {

using Pss = std::unique_ptr<RSA_PSS_PARAMS, openssl::Freed<RSA_PSS_PARAMS_free>>;
using Algorithm = std::unique_ptr<X509_ALGOR, openssl::Freed<X509_ALGOR_free>>;
using Bio = std::unique_ptr<BIO, openssl::Freed<BIO_free>>;

std::optional<Hash> hash_of(int nid) {
  switch (nid) {
    case NID_sha1:
      return Hash::kSha1;
    case NID_sha256:
      return Hash::kSha256;
    case NID_sha384:
      return Hash::kSha384;
    case NID_sha512:
      return Hash::kSha512;
    default:
      return std::nullopt;
  }
}

// An absent hash is SHA-1 (RFC 8017, A.2.3).
std::optional<Hash> hash_of(const X509_ALGOR* algorithm) {
  return algorithm == nullptr ? Hash::kSha1 : hash_of(OBJ_obj2nid(algorithm->algorithm));
}

std::optional<Hash> mgf1_hash_of(const X509_ALGOR* mask) {
  if (mask == nullptr) {
    return Hash::kSha1;
  }
  if (OBJ_obj2nid(mask->algorithm) != NID_mgf1) {
    return std::nullopt;
  }
  const Algorithm inner(static_cast<X509_ALGOR*>(
      ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR), mask->parameter)));
  return inner ? hash_of(inner.get()) : std::nullopt;
}

SignatureAlgorithm pss_of(const X509_ALGOR* algorithm) {
  SignatureAlgorithm result;
  const Pss pss(static_cast<RSA_PSS_PARAMS*>(
      ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter)));
  if (!pss) {
    return result;
  }
  result.scheme = SignatureAlgorithm::Scheme::kRsaPss;
  result.hash = hash_of(pss->hashAlgorithm);
  result.mgf1_hash = mgf1_hash_of(pss->maskGenAlgorithm);
  result.salt_bytes = 20;
  if (pss->saltLength != nullptr) {
    ASN1_INTEGER_get_int64(&result.salt_bytes, pss->saltLength);
  }
  return result;
}

}  // namespace

std::string describe(const SignatureAlgorithm& algorithm) {
  const std::string hash(algorithm.hash ? name(*algorithm.hash) : "an unknown hash");
  switch (algorithm.scheme) {
    case SignatureAlgorithm::Scheme::kRsaPkcs1:
      return "RSA PKCS #1 v1.5 with " + hash;
    case SignatureAlgorithm::Scheme::kRsaPss:
      return "RSA-PSS with " + hash + " and " + std::to_string(algorithm.salt_bytes) +
             " bytes of salt";
    case SignatureAlgorithm::Scheme::kEcdsa:
      return "ECDSA with " + hash;
    case SignatureAlgorithm::Scheme::kOther:
      break;
  }
  return "an unknown algorithm";
}

namespace x509 {

base::Result<Time> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) {
    return base::fail(base::ErrorCode::kCorrupt, "X.509: a time cannot be read");
  }
  const std::chrono::year_month_day day{std::chrono::year(parts.tm_year + 1900),
                                        std::chrono::month(static_cast<unsigned>(parts.tm_mon + 1)),
                                        std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  return std::chrono::sys_days(day) + std::chrono::hours(parts.tm_hour) +
         std::chrono::minutes(parts.tm_min) + std::chrono::seconds(parts.tm_sec);
}

std::string text_of(const ASN1_STRING* text) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, text);
  if (length < 0) {
    return {};
  }
  std::string result(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
  OPENSSL_free(utf8);
  return result;
}

std::string text_of(const X509_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()));
  char* text = nullptr;
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

base::Bytes magnitude_of(const ASN1_INTEGER* number) {
  const auto bytes = openssl::view(ASN1_STRING_get0_data(number), ASN1_STRING_length(number));
  std::size_t zeros = 0;
  while (zeros < bytes.size() && bytes[zeros] == std::byte{0}) {
    ++zeros;
  }
  return base::copy_of(bytes.subspan(zeros));
}

SignatureAlgorithm algorithm_of(const X509_ALGOR* algorithm) {
  const openssl::ClearedErrors errors;
  const int nid = OBJ_obj2nid(algorithm->algorithm);
  if (nid == NID_rsassaPss) {
    return pss_of(algorithm);
  }
  SignatureAlgorithm result;
  int hash = NID_undef;
  int key = NID_undef;
  if (OBJ_find_sigid_algs(nid, &hash, &key) != 1) {
    return result;
  }
  result.hash = hash_of(hash);
  if (key == NID_rsaEncryption) {
    result.scheme = SignatureAlgorithm::Scheme::kRsaPkcs1;
  } else if (key == NID_X9_62_id_ecPublicKey) {
    result.scheme = SignatureAlgorithm::Scheme::kEcdsa;
  }
  return result;
}

}  // namespace x509

}  // namespace keybroker::crypto
