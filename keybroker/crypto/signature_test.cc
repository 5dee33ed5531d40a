// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;

base::Bytes hex(const char* digits) { return *base::from_hex(digits); }

const auto kMessage = base::bytes_of("message");

// Keys and signatures of python-cryptography 48.
EcPoint p256() {
  return {Curve::kP256, hex("000d17b15e67cebc1bba7ac61f650ade2c3e063a92d7b5ad2d6ddd6cb4013fc0"),
          hex("320788cc3ab49cd0bf141f94edde23c24f5e4031e91b28f9bbb965439bf752d4")};
}

const auto kP256R = hex("f90cfa193312d0f8808c7272d2973edb53f8ec1265f05ed4079027eb798234d0");
const auto kP256S = hex("819acf8dd54505c01c1924c73ef958f4c6061767fb40552d5f739572c528d2e6");
const auto kP256Order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

EcPoint p384() {
  return {Curve::kP384,
          hex("d9d09d1cf3d6aa72e983c604597f8fac9e9a3630520cd2724f56c855f6993859"
              "8262971d74c793033085f368c9fa7f0b"),
          hex("154fa20ebabe8c7c5b4bd4e8a9b1e817d5be6699c469d1c8d15022206899b5f7"
              "b8e5d627b8b070f1484088a1b294c08a")};
}

const auto kP384R =
    hex("4cf375d6da4d70f3f4b2b0388875bb37bfcc332dfd9ae15eeafc6901ab6d3b8f7a9d0877690373e974b8d289"
        "c69dd021");
const auto kP384S =
    hex("997ff05e7e41fc7dc6757cb5d8b292f2c93b0f6b3f91995830fa0152ec861267b44a22fde91376853283a908"
        "4297760d");

RsaNumbers rsa() {
  return {hex("ed5dcc7b6e786ab36e79def30242eef5768a7f18818ce67fb38c28a3f58981f38225fbb6f1f376037c5d"
              "42d42c54aa8325b116ebe50ac353077bbf8b16d290ad2929a964c990b045825b42a4a7df254c43b47e25"
              "0c2ad018f4d3b26e016c94100700b18801351a7962bfed4cc690b2085112c14bc581e619265da221ad7c"
              "f3fdb0c70624fe36af942ab682d7f54c9d03707240fad1adb2b072029b2b0764bd56daabee005b13513c"
              "a8c7b9e3c98964480b43ae13608beab77713cda994ca6bf8739ac4b5e472566e2cd723306da4279c2129"
              "9120b6ce1197da2c75f0f8dfd5f5053129daf0a4c6f845c39f387b92461b3f47663f4618bc152313574d"
              "6821d5f9"),
          hex("010001")};
}

const auto kPkcs1 = hex(
    "0db3d935b7075a16ee07f50ae5b06e8896013c2509271f36bfd94a1c2017dd6fff7dd5451746755fe17eee9f20e9"
    "3275cd69ae3aae8b340af509f250e01876368d569cb7bee168a44bb8bf035a50ce314cd02d2933fc92188e817ca7"
    "56a9666132e98534d83cc8647509e19a312f42311fe5693b54db8c7b26b91da1c7ce59ad54ae346c35d487eafc0f"
    "94dbcb1156cc0adec5c502b9f9748750b7bdf5204a5f7c8eb0c27e40d93eb04c3d334bdb0c33a695cd7b9a07264b"
    "c2e82eadf3fc81f5f5bdac45eaaa0753e82f0ebf8a251a066577d0809f7d52a60a8780659bbc2531d30e63efcb71"
    "aef11a61950d0df86c0d7a06f0896c53bea29627098dcc280ea3");

// PSS with 32 bytes of salt, and with the longest salt that fits, as TPMs may choose.
const auto kPss32 = hex(
    "50890ede98431be41df35f34357453c06e31f4ea4e1feb11c58c37244f61cbbf168b6f2b33745f239fc1a9fcfc44"
    "e8aa69b8e187b60f7bbb583455248de27e9512fe6d1830d65b8fc33a1a7acbd8d47d507df0235e8217144f355b09"
    "524ce86f8234ee3886bf576e290354aea935e712ac5206705aa84a2d7be9c6142c885cd83dc9bccea5b0a4e1314d"
    "346d22e8ec895c2b64e84d448220a22295b96ff74a5e902e10b8ae5fc601ed6ad1deabeb86448e33bc691764cb1e"
    "f62cdc2609e01685d9a2fca6db5c0c86376d31a777f12866937ddd15f8f11ff96e13280e0ccc8efa6bcad4ce27ca"
    "4905f650e22f3c5bbaf158a87f0527b067c0798ab3569bcc023a");
const auto kPss222 = hex(
    "c17ff698806f27d53e495d2d30733f11f69c12a26ca72961add436e31462ac479c8a43ec9fa69749d81c28908307"
    "295323fc157fb903d07f2e61dabdd1bbf3ddb27d09c5f028660da59fb008433100c1782e0e5cf38455ed6e325a2b"
    "24999879ffb66e89e0316fffca9a77680503a353df285487c9d018ced397e33c2e3c53bf6ea953055baf6800debc"
    "ad95599ad34b8c9fa896c4ad7f62853078ded9c81e90069283bd0f1282a4397658ab58d6f0200f67484c9c5f51e9"
    "93437de66f0fa7a942e41dfafb025a0c766905d6c207addd8f5ef833cdf52fb2c1ef58b15a9196846058744f4c6f"
    "f9928246745b80234a28df3081cfec04aafd7dac16685f41e52f");

base::Bytes spoiled(base::Bytes bytes) {
  bytes[bytes.size() / 2] ^= std::byte{1};
  return bytes;
}

TEST(SignatureTest, VerifiesEcdsaOnBothCurves) {
  const auto small = *PublicKey::ec(p256());
  const auto large = *PublicKey::ec(p384());

  EXPECT_TRUE(verify_ecdsa(small, Hash::kSha256, kMessage, {kP256R, kP256S}));
  EXPECT_TRUE(verify_ecdsa(large, Hash::kSha384, kMessage, {kP384R, kP384S}));
}

TEST(SignatureTest, RefusesEveryOtherEcdsaSignature) {
  const auto key = *PublicKey::ec(p256());
  const auto refused = [&](Hash hash, base::ByteView message, const EcdsaNumbers& numbers) {
    return error_code(verify_ecdsa(key, hash, message, numbers)) ==
           base::ErrorCode::kAuthentication;
  };
  const base::Bytes zero(32);

  EXPECT_TRUE(refused(Hash::kSha256, base::bytes_of("massage"), {kP256R, kP256S}));
  EXPECT_TRUE(refused(Hash::kSha384, kMessage, {kP256R, kP256S}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {spoiled(kP256R), kP256S}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {kP256S, kP256R}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {zero, kP256S}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {kP256R, zero}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {kP256Order, kP256S}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {kP256R, kP256Order}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {{}, {}}));
  EXPECT_TRUE(refused(Hash::kSha256, kMessage, {base::Bytes(1000, std::byte{1}), kP256S}));
}

// ECDSA is malleable by design; whoever needs an identity hashes what was signed.
TEST(SignatureTest, AcceptsTheOtherSOfAnEcdsaSignature) {
  // n - s of kP256S.
  const auto other = hex("7e6530712abafa40e3e6db38c106a70af6e0e345abd7495794463550373a526b");

  EXPECT_TRUE(verify_ecdsa(*PublicKey::ec(p256()), Hash::kSha256, kMessage, {kP256R, other}));
}

TEST(SignatureTest, VerifiesBothRsaSchemes) {
  const auto key = *PublicKey::rsa(rsa());

  EXPECT_TRUE(verify_rsa_pkcs1(key, Hash::kSha256, kMessage, kPkcs1));
  EXPECT_TRUE(verify_rsa_pss(key, Hash::kSha256, kMessage, kPss32));
  EXPECT_TRUE(verify_rsa_pss(key, Hash::kSha256, kMessage, kPss222));
}

TEST(SignatureTest, RefusesAnRsaSignatureOfTheOtherScheme) {
  const auto key = *PublicKey::rsa(rsa());
  const auto code = base::ErrorCode::kAuthentication;

  EXPECT_EQ(error_code(verify_rsa_pss(key, Hash::kSha256, kMessage, kPkcs1)), code);
  EXPECT_EQ(error_code(verify_rsa_pkcs1(key, Hash::kSha256, kMessage, kPss32)), code);
  EXPECT_EQ(error_code(verify_rsa_pkcs1(key, Hash::kSha384, kMessage, kPkcs1)), code);
  EXPECT_EQ(error_code(verify_rsa_pkcs1(key, Hash::kSha256, kMessage, spoiled(kPkcs1))), code);
  EXPECT_EQ(error_code(verify_rsa_pkcs1(key, Hash::kSha256, kMessage, {})), code);
}

TEST(SignatureTest, RefusesAKeyOfTheOtherKind) {
  const auto code = base::ErrorCode::kInvalidArgument;

  EXPECT_EQ(error_code(verify_ecdsa(*PublicKey::rsa(rsa()), Hash::kSha256, kMessage, {})), code);
  EXPECT_EQ(error_code(verify_rsa_pkcs1(*PublicKey::ec(p256()), Hash::kSha256, kMessage, {})),
            code);
}

TEST(PublicKeyTest, ComesBackAsItsNumbersAndAsDer) {
  for (const auto& point : {p256(), p384()}) {
    const auto key = *PublicKey::ec(point);
    EXPECT_EQ(*key.ec_point(), point);
    EXPECT_FALSE(key.rsa_numbers());
    EXPECT_EQ(*PublicKey::from_spki(key.spki()), key);
  }
  const auto key = *PublicKey::rsa(rsa());
  EXPECT_EQ(*key.rsa_numbers(), rsa());
  EXPECT_EQ(*PublicKey::from_spki(key.spki()), key);
  EXPECT_EQ(key.describe(), "RSA-2048");
  EXPECT_FALSE(key == *PublicKey::ec(p256()));
  EXPECT_FALSE(*PublicKey::ec(p384()) == *PublicKey::ec(p256()));
}

TEST(PublicKeyTest, RefusesPointsThatAreOnNoCurve) {
  auto point = p256();
  point.y = spoiled(point.y);
  EXPECT_EQ(error_code(PublicKey::ec(point)), base::ErrorCode::kInvalidArgument);

  point = p256();
  point.x = point.y = base::Bytes(32);
  EXPECT_EQ(error_code(PublicKey::ec(point)), base::ErrorCode::kInvalidArgument);

  point = p256();
  point.curve = Curve::kP384;
  EXPECT_EQ(error_code(PublicKey::ec(point)), base::ErrorCode::kInvalidArgument);

  // x + p would be the same point in a lenient decoder.
  point = p256();
  point.x = base::Bytes(32, std::byte{0xFF});
  EXPECT_EQ(error_code(PublicKey::ec(point)), base::ErrorCode::kInvalidArgument);
}

TEST(PublicKeyTest, RefusesWeakRsa) {
  const auto refusal = [](const RsaNumbers& numbers) {
    const auto key = PublicKey::rsa(numbers);
    return key ? "accepted" : key.error().message;
  };
  auto numbers = rsa();
  for (const char* exponent : {"", "00", "01", "03", "010000", "0100000001"}) {
    numbers.exponent = hex(exponent);
    EXPECT_THAT(refusal(numbers), HasSubstr("exponent")) << exponent;
  }
  numbers = rsa();
  numbers.modulus.resize(128);
  EXPECT_THAT(refusal(numbers), HasSubstr("at least 2048"));
  numbers = rsa();
  numbers.modulus.back() &= std::byte{0xFE};
  EXPECT_THAT(refusal(numbers), HasSubstr("odd"));
  numbers.modulus = base::Bytes(1025, std::byte{0xFF});
  EXPECT_THAT(refusal(numbers), HasSubstr("at most 8192"));
}

TEST(PublicKeyTest, RefusesOtherDer) {
  auto der = PublicKey::ec(p256())->spki();
  der.push_back(std::byte{0});
  EXPECT_EQ(error_code(PublicKey::from_spki(der)), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(PublicKey::from_spki({})), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\n")),
            base::ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace keybroker::crypto
