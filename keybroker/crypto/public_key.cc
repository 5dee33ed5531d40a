// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/public_key.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <array>

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

using openssl::Bignum;
using openssl::ClearedErrors;
using openssl::in;

using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, openssl::Freed<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, openssl::Freed<OSSL_PARAM_free>>;
using Bio = std::unique_ptr<BIO, openssl::Freed<BIO_free>>;

auto invalid(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "public key: " + why);
}

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "public key: " + why);
}

const char* group_of(Curve curve) { return curve == Curve::kP256 ? "prime256v1" : "secp384r1"; }

std::size_t field_bytes(Curve curve) { return curve == Curve::kP256 ? 32 : 48; }

openssl::Key key_from(const char* type, OSSL_PARAM* params) {
  const openssl::KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    return nullptr;
  }
  return openssl::Key(key);
}

base::Bytes bytes_of(const EVP_PKEY* key, const char* name, std::size_t size = 0) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &number) != 1) {
    return {};
  }
  const Bignum owned(number);
  base::Bytes bytes(size != 0 ? size : static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()),
               static_cast<int>(bytes.size()));
  return bytes;
}

// A prime-order group has no small subgroups, so being on the curve and finite is all there is to
// check; the full check would cost as much as verifying a signature.
bool is_valid_point(EVP_PKEY* key) {
  const openssl::KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  return context && EVP_PKEY_public_check_quick(context.get()) == 1;
}

}  // namespace

base::Result<PublicKey> PublicKey::rsa(const RsaNumbers& numbers) {
  const ClearedErrors errors;
  constexpr int kMostBytes = 8192 / 8;
  if (numbers.modulus.size() > kMostBytes || numbers.exponent.size() > 4) {
    return invalid("an RSA modulus has at most 8192 bits and an exponent 32");
  }
  const Bignum modulus(
      BN_bin2bn(in(numbers.modulus), static_cast<int>(numbers.modulus.size()), nullptr));
  const Bignum exponent(
      BN_bin2bn(in(numbers.exponent), static_cast<int>(numbers.exponent.size()), nullptr));
  if (!modulus || BN_num_bits(modulus.get()) < 2048 || !BN_is_odd(modulus.get())) {
    return invalid("an RSA modulus is odd and has at least 2048 bits");
  }
  if (!exponent || BN_get_word(exponent.get()) < 65537 || !BN_is_odd(exponent.get())) {
    return invalid("an RSA exponent is odd and at least 65537");
  }
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return invalid(ClearedErrors::last());
  }
  const Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  const auto key = key_from("RSA", params.get());
  return key ? sharing(key.get()) : invalid(ClearedErrors::last());
}

base::Result<PublicKey> PublicKey::ec(const EcPoint& point) {
  const ClearedErrors errors;
  const std::size_t size = field_bytes(point.curve);
  if (point.x.size() != size || point.y.size() != size) {
    return invalid("a coordinate of this curve has " + std::to_string(size) + " bytes");
  }
  base::Bytes octets{std::byte{POINT_CONVERSION_UNCOMPRESSED}};
  octets.insert(octets.end(), point.x.begin(), point.x.end());
  octets.insert(octets.end(), point.y.begin(), point.y.end());
  std::array<OSSL_PARAM, 3> params{
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                       const_cast<char*>(group_of(point.curve)), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets.data(), octets.size()),
      OSSL_PARAM_construct_end()};
  const auto key = key_from("EC", params.data());
  if (!key || !is_valid_point(key.get())) {
    return invalid("the point does not lie on its curve");
  }
  return sharing(key.get());
}

base::Result<PublicKey> PublicKey::from_spki(base::ByteView der) {
  const ClearedErrors errors;
  const unsigned char* at = in(der);
  const openssl::Key key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key || at != in(der) + der.size()) {
    return corrupt("this is no SubjectPublicKeyInfo");
  }
  auto shared = sharing(key.get());
  return shared ? std::move(shared) : corrupt(shared.error().message);
}

base::Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  const ClearedErrors errors;
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // A public key is never encrypted; this keeps OpenSSL from asking at a terminal.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const openssl::Key key(bio ? PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr)
                             : nullptr);
  if (!key) {
    return corrupt("this is no PEM block PUBLIC KEY");
  }
  auto shared = sharing(key.get());
  return shared ? std::move(shared) : corrupt(shared.error().message);
}

base::Result<PublicKey> PublicKey::sharing(evp_pkey_st* key) {
  std::optional<Curve> curve;
  if (key == nullptr) {
    return invalid("there is none");
  }
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    std::array<char, 32> group{};
    std::size_t length = 0;
    EVP_PKEY_get_group_name(key, group.data(), group.size(), &length);
    for (const auto known : {Curve::kP256, Curve::kP384}) {
      if (std::string_view(group.data()) == group_of(known)) {
        curve = known;
      }
    }
    if (!curve) {
      return invalid("only the curves P-256 and P-384 are known here");
    }
  } else if (EVP_PKEY_is_a(key, "RSA") != 1) {
    return invalid("only RSA and elliptic-curve keys are known here");
  }
  EVP_PKEY_up_ref(key);
  return PublicKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free), curve);
}

std::optional<RsaNumbers> PublicKey::rsa_numbers() const {
  if (!is_rsa()) {
    return std::nullopt;
  }
  return RsaNumbers{bytes_of(key_.get(), OSSL_PKEY_PARAM_RSA_N),
                    bytes_of(key_.get(), OSSL_PKEY_PARAM_RSA_E)};
}

std::optional<EcPoint> PublicKey::ec_point() const {
  if (!curve_) {
    return std::nullopt;
  }
  const std::size_t size = field_bytes(*curve_);
  return EcPoint{*curve_, bytes_of(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, size),
                 bytes_of(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, size)};
}

std::size_t PublicKey::bits() const {
  return static_cast<std::size_t>(EVP_PKEY_get_bits(key_.get()));
}

base::Bytes PublicKey::spki() const { return openssl::encoded(i2d_PUBKEY, key_.get()); }

std::string PublicKey::describe() const {
  if (!curve_) {
    return "RSA-" + std::to_string(bits());
  }
  return *curve_ == Curve::kP256 ? "ECDSA P-256" : "ECDSA P-384";
}

bool operator==(const PublicKey& a, const PublicKey& b) {
  const ClearedErrors errors;
  return EVP_PKEY_eq(a.key_.get(), b.key_.get()) == 1;
}

}  // namespace keybroker::crypto
