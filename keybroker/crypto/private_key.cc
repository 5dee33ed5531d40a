// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/private_key.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <string>

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

using openssl::Bignum;
using openssl::ClearedErrors;
using openssl::in;

using SecretBignum = std::unique_ptr<BIGNUM, openssl::Freed<BN_clear_free>>;
using BignumContext = std::unique_ptr<BN_CTX, openssl::Freed<BN_CTX_free>>;
using Group = std::unique_ptr<EC_GROUP, openssl::Freed<EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, openssl::Freed<EC_POINT_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, openssl::Freed<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, openssl::Freed<OSSL_PARAM_free>>;
using Bio = std::unique_ptr<BIO, openssl::Freed<BIO_free>>;
using KeyInfo = std::unique_ptr<PKCS8_PRIV_KEY_INFO, openssl::Freed<PKCS8_PRIV_KEY_INFO_free>>;
using EcdsaParts = std::unique_ptr<ECDSA_SIG, openssl::Freed<ECDSA_SIG_free>>;

constexpr unsigned kLeastRsaBits = 2048;
constexpr unsigned kMostRsaBits = 8192;

auto unavailable(const std::string& what) {
  return base::fail(base::ErrorCode::kUnavailable, what + ": " + ClearedErrors::last());
}

unsigned char* out(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

const char* group_of(Curve curve) { return curve == Curve::kP256 ? "prime256v1" : "secp384r1"; }

// scalar_of() is (seed mod (n - 1)) + 1: the seed has 128 bits or more beyond the order, so no
// scalar is noticeably likelier than another.
SecretBignum scalar_of(const EC_GROUP* group, const base::Secret<64>& seed) {
  const BignumContext context(BN_CTX_secure_new());
  const Bignum order_less_one(BN_dup(EC_GROUP_get0_order(group)));
  SecretBignum scalar(
      BN_bin2bn(in(seed.expose()), static_cast<int>(seed.expose().size()), nullptr));
  if (!context || !order_less_one || !scalar) {
    return nullptr;
  }
  BN_set_flags(scalar.get(), BN_FLG_CONSTTIME);
  if (BN_sub_word(order_less_one.get(), 1) != 1 ||
      BN_mod(scalar.get(), scalar.get(), order_less_one.get(), context.get()) != 1 ||
      BN_add_word(scalar.get(), 1) != 1) {
    return nullptr;
  }
  return scalar;
}

base::Bytes point_of(const EC_GROUP* group, const BIGNUM* scalar) {
  const Point point(EC_POINT_new(group));
  const BignumContext context(BN_CTX_secure_new());
  if (!point || !context ||
      EC_POINT_mul(group, point.get(), scalar, nullptr, nullptr, context.get()) != 1) {
    return {};
  }
  constexpr auto kForm = POINT_CONVERSION_UNCOMPRESSED;
  base::Bytes octets(EC_POINT_point2oct(group, point.get(), kForm, nullptr, 0, context.get()));
  EC_POINT_point2oct(group, point.get(), kForm, out(octets), octets.size(), context.get());
  return octets;
}

EVP_PKEY* key_of(Curve curve, const EC_GROUP* group, const BIGNUM* scalar) {
  const auto octets = point_of(group, scalar);
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  const openssl::KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  if (!builder || !context ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group_of(curve),
                                      0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, octets.data(),
                                       octets.size()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, scalar) != 1) {
    return nullptr;
  }
  const Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  EVP_PKEY* key = nullptr;
  if (!params || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()) != 1) {
    return nullptr;
  }
  return key;
}

template <std::size_t N>
base::Result<EcdsaSignature<N>> sign(const PrivateKey& key, const EVP_MD* digest,
                                     base::ByteView message) {
  const ClearedErrors errors;
  const openssl::DigestContext context(EVP_MD_CTX_new());
  std::array<unsigned char, 2 * N + 16> der{};  // two INTEGERs and their headers
  std::size_t size = der.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key.handle()) != 1 ||
      EVP_DigestSign(context.get(), der.data(), &size, in(message), message.size()) != 1) {
    return unavailable("cannot sign");
  }
  const unsigned char* at = der.data();
  const EcdsaParts parts(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  EcdsaSignature<N> signature;
  if (!parts ||
      BN_bn2binpad(ECDSA_SIG_get0_r(parts.get()), out(signature.r), static_cast<int>(N)) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(parts.get()), out(signature.s), static_cast<int>(N)) < 0) {
    return unavailable("cannot sign");
  }
  return signature;
}

base::Result<void> check_curve(const PrivateKey& key, Curve curve) {
  if (key.public_key().curve() != curve) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      key.public_key().describe() + " cannot sign for this");
  }
  return {};
}

}  // namespace

base::Result<PrivateKey> PrivateKey::taking(evp_pkey_st* key) {
  const openssl::Key owned(key);
  TRY_ASSIGN(public_key, PublicKey::sharing(key));
  return PrivateKey(std::move(public_key));
}

base::Result<PrivateKey> PrivateKey::generate_rsa(unsigned bits) {
  const ClearedErrors errors;
  if (bits < kLeastRsaBits || bits > kMostRsaBits) {
    return base::fail(base::ErrorCode::kInvalidArgument, "an RSA key has 2048 to 8192 bits");
  }
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{bits});
  return key != nullptr ? taking(key) : unavailable("cannot generate an RSA key");
}

base::Result<PrivateKey> PrivateKey::generate_ec(Curve curve) {
  const ClearedErrors errors;
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", group_of(curve));
  return key != nullptr ? taking(key) : unavailable("cannot generate a curve key");
}

base::Result<PrivateKey> PrivateKey::from_seed(Curve curve, const base::Secret<64>& seed) {
  const ClearedErrors errors;
  const Group group(
      EC_GROUP_new_by_curve_name(curve == Curve::kP256 ? NID_X9_62_prime256v1 : NID_secp384r1));
  const auto scalar = group ? scalar_of(group.get(), seed) : nullptr;
  EVP_PKEY* key = scalar ? key_of(curve, group.get(), scalar.get()) : nullptr;
  return key != nullptr ? taking(key) : unavailable("cannot make a curve key");
}

base::Result<PrivateKey> PrivateKey::from_pem(base::ByteView pem) {
  const ClearedErrors errors;
  // Keeps OpenSSL from asking at a terminal: an encrypted key is simply refused.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EVP_PKEY* key = bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr) : nullptr;
  auto taken = key != nullptr ? taking(key)
                              : base::Result<PrivateKey>(base::fail(base::ErrorCode::kCorrupt, ""));
  if (!taken) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "private key: this is no unencrypted PEM block of RSA, P-256 or P-384");
  }
  return taken;
}

base::Result<base::SecretBytes> PrivateKey::to_pem() const {
  const ClearedErrors errors;
  const Bio bio(BIO_new(BIO_s_secmem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), handle(), nullptr, nullptr, 0, nullptr,
                                            nullptr) != 1) {
    return unavailable("cannot write a private key");
  }
  char* text = nullptr;
  const auto size = static_cast<std::size_t>(BIO_get_mem_data(bio.get(), &text));
  base::SecretBytes pem(size);
  std::copy_n(reinterpret_cast<const std::byte*>(text), size, pem.fill().data());
  return pem;
}

base::Result<PrivateKey> PrivateKey::from_pkcs8(std::span<const std::byte> der) {
  const ClearedErrors errors;
  const unsigned char* at = in(der);
  const KeyInfo info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  EVP_PKEY* key = info && at == in(der) + der.size() ? EVP_PKCS82PKEY(info.get()) : nullptr;
  auto taken = key != nullptr ? taking(key)
                              : base::Result<PrivateKey>(base::fail(base::ErrorCode::kCorrupt, ""));
  if (!taken || (taken->public_key().is_rsa() && (taken->public_key().bits() < kLeastRsaBits ||
                                                  taken->public_key().bits() > kMostRsaBits))) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "private key: this is no PKCS#8 of RSA (2048 to 8192 bits), P-256 or P-384");
  }
  return taken;
}

base::Result<base::SecretBytes> PrivateKey::to_pkcs8() const {
  const ClearedErrors errors;
  const KeyInfo info(EVP_PKEY2PKCS8(handle()));
  const int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr) : 0;
  if (size <= 0) {
    return unavailable("cannot write a private key");
  }
  base::SecretBytes der(static_cast<std::size_t>(size));
  unsigned char* at = out(der.fill());
  i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at);
  return der;
}

base::Result<P256Signature> sign_p256(const PrivateKey& key, base::ByteView message) {
  TRY(check_curve(key, Curve::kP256));
  return sign<32>(key, EVP_sha256(), message);
}

base::Result<P384Signature> sign_p384(const PrivateKey& key, base::ByteView message) {
  TRY(check_curve(key, Curve::kP384));
  return sign<48>(key, EVP_sha384(), message);
}

}  // namespace keybroker::crypto
