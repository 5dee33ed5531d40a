// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/jws.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "keybroker/crypto/jwk.h"
#include "tests/support/error_code.h"
#include "tests/support/wrapping_vectors.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::crypto {
namespace {

using tests::support::error_code;
using vmgs::crypto::Base64;

constexpr auto kAuthentication = base::ErrorCode::kAuthentication;
constexpr auto kCorrupt = base::ErrorCode::kCorrupt;
constexpr auto kInvalidArgument = base::ErrorCode::kInvalidArgument;

// Signed by kP384 with the Python package cryptography; the payload is {"iss":"somebody"}.
constexpr std::string_view kToken =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJzb21lYm9keSJ9.93fke8E1YijxY32ELCgLCn-1rVQ_"
    "cBV-0vqznRMEKucJXgsHoe9EaaRPtiFkPflxx2k24LEIrl_anUTUbLn7cT9dNS8UcgD40Z5HOwpmC3oq-M651QIvZ1"
    "S2vT60M8In";

const PrivateKey& key() {
  static const auto read =
      *PrivateKey::from_pkcs8(*base::from_hex(tests::support::wrapping_vectors::kP384));
  return read;
}

std::string url(std::string_view text) {
  return vmgs::crypto::encode_base64(base::bytes_of(text), Base64::kUrl);
}

// A token with this header, rightly signed over it.
std::string with_header(std::string_view header) {
  const auto covered = url(header) + "." + url("{}");
  const auto signature = *sign_p384(key(), base::bytes_of(covered));
  auto numbers = base::copy_of(signature.r);
  numbers.insert(numbers.end(), signature.s.begin(), signature.s.end());
  return covered + "." + vmgs::crypto::encode_base64(numbers, Base64::kUrl);
}

auto verify(std::string_view token) { return verify_jws(token, key().public_key(), "JWT"); }

TEST(JwsTest, VerifiesWhatAnotherImplementationSigned) {
  const auto payload = verify(kToken);

  ASSERT_TRUE(payload) << payload.error().message;
  EXPECT_EQ(*payload, base::copy_of(base::bytes_of(R"({"iss":"somebody"})")));
  EXPECT_EQ(*unverified_key_id(kToken), "");
}

TEST(JwsTest, VerifiesWhatItSigned) {
  const auto token = sign_jws(key(), "a key", "JWT", base::bytes_of("what is said"));

  ASSERT_TRUE(token);
  EXPECT_EQ(token->substr(0, token->find('.')),
            url(R"({"alg":"ES384","kid":"a key","typ":"JWT"})"));
  EXPECT_EQ(*verify(*token), base::copy_of(base::bytes_of("what is said")));
  EXPECT_EQ(*unverified_key_id(*token), "a key");
  EXPECT_EQ(error_code(verify_jws(*token, key().public_key(), "other")), kCorrupt);
}

TEST(JwsTest, AnotherKeyOrByteDoesNotVerify) {
  const auto other = *PrivateKey::generate_ec(Curve::kP384);
  EXPECT_EQ(error_code(verify_jws(kToken, other.public_key(), "JWT")), kAuthentication);
  std::string token(kToken);
  const auto payload = token.find('.') + 5;
  token[payload] = token[payload] == 'A' ? 'B' : 'A';
  EXPECT_EQ(error_code(verify(token)), kAuthentication);
  token = kToken;
  token[token.size() - 20] = token[token.size() - 20] == 'A' ? 'B' : 'A';
  EXPECT_EQ(error_code(verify(token)), kAuthentication);
}

TEST(JwsTest, HeadersThatSayWhatToTrustAreRefused) {
  EXPECT_TRUE(verify(with_header(R"({"alg":"ES384"})")));
  for (const std::string_view header :
       {R"({"alg":"none"})", R"({"alg":"ES256"})", R"({"alg":"HS384"})", R"({"alg":"es384"})", "{}",
        "[]", R"({"alg":1})", R"({"alg":"ES384","alg":"ES384"})",
        R"({"alg":"ES384","crit":["exp"]})", R"({"alg":"ES384","jku":"https://a.invalid"})",
        R"({"alg":"ES384","jwk":{}})", R"({"alg":"ES384","x5c":[]})",
        R"({"alg":"ES384","typ":"other"})"}) {
    EXPECT_EQ(error_code(verify(with_header(header))), kCorrupt) << header;
  }
}

TEST(JwsTest, OtherFormsAreCorrupt) {
  const std::string token(kToken);
  const auto second = token.rfind('.');
  for (const std::string& text :
       {std::string(), std::string(".."), token.substr(0, second), token.substr(0, second + 1),
        token + "A", token + "=", token + ".", token + "." + url("{}"), " " + token,
        token.substr(0, second + 1) + url(std::string(95, 'x')),
        std::string(kMostJwsBytes + 1, 'A')}) {
    EXPECT_EQ(error_code(verify(text)), kCorrupt) << text.substr(0, 300);
    EXPECT_EQ(error_code(unverified_key_id(text)), kCorrupt);
  }
}

TEST(JwsTest, OnlyP384Signs) {
  const auto p256 = *PrivateKey::generate_ec(Curve::kP256);
  EXPECT_EQ(error_code(sign_jws(p256, "", "JWT", {})), kInvalidArgument);
  EXPECT_EQ(error_code(verify_jws(kToken, p256.public_key(), "JWT")), kInvalidArgument);
  EXPECT_EQ(error_code(sign_jws(key(), "", "JWT", base::Bytes(kMostJwsBytes))), kInvalidArgument);
}

boost::json::object json(std::string_view text) { return boost::json::parse(text).as_object(); }

// RFC 7638, 3.1.
TEST(JwkTest, TheThumbprintIsThatOfTheStandard) {
  const auto rsa = decode_jwk(json(
      R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"})"));

  ASSERT_TRUE(rsa) << rsa.error().message;
  EXPECT_EQ(jwk_thumbprint(*rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

TEST(JwkTest, KeysComeBack) {
  for (const auto& made :
       {*PrivateKey::generate_ec(Curve::kP256), key(), *PrivateKey::generate_rsa(2048)}) {
    const auto jwk = encode_jwk(made.public_key());
    const auto read = decode_jwk(jwk);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(*read == made.public_key());
    // Spoilt member by member.
    for (const auto& member : jwk) {
      auto spoilt = jwk;
      spoilt.erase(member.key());
      EXPECT_EQ(error_code(decode_jwk(spoilt)), kCorrupt) << member.key();
      spoilt[member.key()] = 1;
      EXPECT_EQ(error_code(decode_jwk(spoilt)), kCorrupt) << member.key();
      spoilt[member.key()] = "!";
      EXPECT_EQ(error_code(decode_jwk(spoilt)), kCorrupt) << member.key();
      spoilt[member.key()] = "AA";
      EXPECT_EQ(error_code(decode_jwk(spoilt)), kCorrupt) << member.key();
    }
  }
}

TEST(JwkTest, NumbersHaveOneForm) {
  auto point = encode_jwk(key().public_key());
  point["crv"] = "P-256";
  EXPECT_EQ(error_code(decode_jwk(point)), kCorrupt);
  auto rsa = encode_jwk(PrivateKey::generate_rsa(2048)->public_key());
  rsa["e"] = "AAEAAQ";  // 00 01 00 01
  EXPECT_EQ(error_code(decode_jwk(rsa)), kCorrupt);
}

}  // namespace
}  // namespace keybroker::crypto
