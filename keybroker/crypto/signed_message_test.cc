// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/signed_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/crypto/der.h"
#include "keybroker/crypto/issue.h"
#include "tests/support/error_code.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::crypto {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;

constexpr auto kAuthentication = base::ErrorCode::kAuthentication;
constexpr auto kInvalidArgument = base::ErrorCode::kInvalidArgument;
constexpr std::string_view kLabel = "strongroom.answer/1";

const Time kFrom = *parse_time("2026-01-01T00:00:00Z");
const Time kUntil = *parse_time("2027-01-01T00:00:00Z");
const Time kNow = *parse_time("2026-06-01T00:00:00Z");
const auto kContext = vmgs::crypto::sha384(base::bytes_of("the request"));
const auto kBody = base::bytes_of("the answer");

PrivateKey drawn() { return *PrivateKey::generate_ec(Curve::kP384); }

const PrivateKey& root_key() {
  static const auto key = drawn();
  return key;
}

const PrivateKey& signer_key() {
  static const auto key = drawn();
  return key;
}

const Certificate& root() {
  static const auto certificate = *issue_message_root(root_key(), "Broker root", kFrom, kUntil);
  return certificate;
}

const Certificate& signer_certificate() {
  static const auto certificate = *issue_message_signer(
      root(), root_key(), signer_key().public_key(), "Broker 1", kFrom, kUntil);
  return certificate;
}

const MessageSigner& signer() {
  static const auto made =
      *MessageSigner::create(signer_key(), {signer_certificate().der(), root().der()});
  return made;
}

SignedMessage message() { return *signer().sign(kLabel, kContext, kBody); }

base::Result<base::ByteView> verify(const SignedMessage& given,
                                    std::optional<Time> now = std::nullopt) {
  const std::vector<Fingerprint> pins{Fingerprint{}, root().fingerprint()};
  return verify_signed_message(kLabel, kContext, given, pins, now);
}

std::string why(const SignedMessage& given, std::optional<Time> now = std::nullopt) {
  const auto verified = verify(given, now);
  return verified                                                    ? "verifies"
         : verified.error().code == base::ErrorCode::kAuthentication ? verified.error().message
                                                                     : "another code";
}

// The signer's certificate as it is, for a test to spoil.
CertificateSpec signer_spec() {
  CertificateSpec spec;
  spec.serial = {std::byte{7}};
  spec.issuer = {{"O", "Strongroom"}, {"CN", "Broker root"}};
  spec.subject = {{"O", "Strongroom"}, {"CN", "Other"}};
  spec.not_before = kFrom;
  spec.not_after = kUntil;
  spec.end_entity = true;
  spec.extensions = {
      {"2.5.29.37", false,
       encode_der_constructed(0x30, {encode_der_oid(std::string(kMessageSigningOid))})}};
  return spec;
}

CertificateSpec ca_spec() {
  auto spec = signer_spec();
  spec.subject = {{"O", "Strongroom"}, {"CN", "Broker CA"}};
  spec.end_entity = false;
  spec.authority = AuthorityConstraints{.path_length = 0, .signs_lists = false};
  spec.extensions.clear();
  return spec;
}

// The good message with another chain below the root, and the signature of that chain's key.
SignedMessage signed_under(const std::vector<Certificate>& chain, const PrivateKey& key) {
  auto bytes = base::copy_of(base::bytes_of(std::string(kLabel) + '\0'));
  bytes.insert(bytes.end(), kContext.begin(), kContext.end());
  bytes.insert(bytes.end(), kBody.begin(), kBody.end());
  const auto signature = *sign_p384(key, bytes);
  SignedMessage given{base::copy_of(kBody), {}, {}};
  std::ranges::copy(signature.r, given.signature.begin());
  std::ranges::copy(signature.s, given.signature.begin() + 48);
  for (const auto& certificate : chain) {
    given.chain.push_back(certificate.der());
  }
  return given;
}

std::string why_leaf(const CertificateSpec& spec) {
  const auto leaf = *issue(spec, signer_key().public_key(), root_key());
  return why(signed_under({leaf, root()}, signer_key()));
}

TEST(SignedMessageTest, VerifiesWhatASignerOfAPinnedRootSigned) {
  const auto given = message();
  const auto body = verify(given);

  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(body->data(), given.body.data());
  EXPECT_TRUE(verify(given, kNow));
  EXPECT_EQ(signer().root(), root().fingerprint());
}

// Written out here, so that another implementation can follow.
TEST(SignedMessageTest, SignsLabelZeroContextBody) {
  EXPECT_EQ(why(signed_under({signer_certificate(), root()}, signer_key())), "verifies");
}

TEST(SignedMessageTest, AMessageWithoutContextIsAnother) {
  const auto receipt = *signer().sign("strongroom.receipt/1", {}, kBody);
  const std::vector<Fingerprint> pins{root().fingerprint()};

  EXPECT_TRUE(verify_signed_message("strongroom.receipt/1", {}, receipt, pins, kNow));
  EXPECT_EQ(
      error_code(verify_signed_message("strongroom.receipt/1", kContext, receipt, pins, kNow)),
      kAuthentication);
}

TEST(SignedMessageTest, AnotherLabelContextBodyOrSignatureDoesNotVerify) {
  const std::vector<Fingerprint> pins{root().fingerprint()};
  auto given = message();
  EXPECT_EQ(error_code(verify_signed_message("strongroom.answer/2", kContext, given, pins, {})),
            kAuthentication);
  const auto other = vmgs::crypto::sha384(base::bytes_of("another request"));
  EXPECT_EQ(error_code(verify_signed_message(kLabel, other, given, pins, {})), kAuthentication);
  given.body.push_back(std::byte{0});
  EXPECT_THAT(why(given), HasSubstr("signature"));
  for (const std::size_t at : {0U, 47U, 48U, 95U}) {
    given = message();
    given.signature[at] ^= std::byte{1};
    EXPECT_THAT(why(given), HasSubstr("signature"));
  }
  given = message();
  given.signature.fill(std::byte{0});
  EXPECT_THAT(why(given), HasSubstr("signature"));
}

TEST(SignedMessageTest, ARootThatIsNotPinnedVouchesForNobody) {
  const auto key = drawn();
  const auto fake = *issue_message_root(key, "Broker root", kFrom, kUntil);
  const auto leaf =
      *issue_message_signer(fake, key, signer_key().public_key(), "Broker 1", kFrom, kUntil);
  EXPECT_THAT(why(signed_under({leaf, fake}, signer_key())), HasSubstr("none of those pinned"));
  // Its own leaf under the pinned root.
  EXPECT_THAT(why(signed_under({leaf, root()}, signer_key())), HasSubstr("chain does not hold"));
  // And nobody at all without pins.
  EXPECT_EQ(error_code(verify_signed_message(kLabel, kContext, message(), {}, {})),
            kAuthentication);
}

TEST(SignedMessageTest, OnlyACertificateForMessagesSignsThem) {
  EXPECT_EQ(why_leaf(signer_spec()), "verifies");
  auto spec = signer_spec();
  spec.extensions.clear();
  EXPECT_THAT(why_leaf(spec), HasSubstr("not issued for signing messages"));
  // An AK certificate (TCG OID Registry, tcg-kp-AIKCertificate).
  spec.extensions = {
      {"2.5.29.37", true, encode_der_constructed(0x30, {encode_der_oid("2.23.133.8.3")})}};
  EXPECT_THAT(why_leaf(spec), HasSubstr("not issued for signing messages"));
  spec = signer_spec();
  spec.use = EndEntityUse::kKeyAgreement;
  EXPECT_THAT(why_leaf(spec), HasSubstr("key usage"));
  spec = signer_spec();
  spec.end_entity = false;  // neither constraints nor key usage
  EXPECT_THAT(why_leaf(spec), HasSubstr("key usage"));
  spec.authority = AuthorityConstraints{.path_length = 0, .signs_lists = false};
  EXPECT_THAT(why_leaf(spec), HasSubstr("key usage"));
}

TEST(SignedMessageTest, ACaSignsNoneEvenIfItMaySign) {
  auto spec = signer_spec();
  spec.end_entity = false;
  spec.extensions.push_back({"2.5.29.19", true, *base::from_hex("30030101ff")});
  spec.extensions.push_back({"2.5.29.15", true, *base::from_hex("03020284")});
  EXPECT_THAT(why_leaf(spec), HasSubstr("key usage"));
}

TEST(SignedMessageTest, NoCertificateIsSignedWithSha1) {
  auto spec = signer_spec();
  spec.algorithm = kEcdsaSha384;
  EXPECT_EQ(why_leaf(spec), "verifies");
  spec.algorithm->hash = Hash::kSha1;
  EXPECT_THAT(why_leaf(spec), HasSubstr("is signed with"));
}

TEST(SignedMessageTest, AnUnknownCriticalExtensionIsNotPassedOver) {
  auto spec = signer_spec();
  spec.extensions.push_back({"1.2.3.4", true, base::Bytes(4)});
  EXPECT_THAT(why_leaf(spec), HasSubstr("chain does not hold"));
}

TEST(SignedMessageTest, OnlyAKeyOfP384Signs) {
  const auto p256 = *PrivateKey::generate_ec(Curve::kP256);
  const auto leaf = *issue(signer_spec(), p256.public_key(), root_key());

  EXPECT_THAT(why(signed_under({leaf, root()}, signer_key())), HasSubstr("no key of P-384"));
}

TEST(SignedMessageTest, AChainMayHaveOneCaBetween) {
  const auto ca_key = drawn();
  const auto ca = *issue(ca_spec(), ca_key.public_key(), root_key());
  auto spec = signer_spec();
  spec.issuer = ca_spec().subject;
  const auto leaf = *issue(spec, signer_key().public_key(), ca_key);
  EXPECT_EQ(why(signed_under({leaf, ca, root()}, signer_key())), "verifies");
  EXPECT_TRUE(MessageSigner::create(signer_key(), {leaf.der(), ca.der(), root().der()}));

  // In another order, without the CA, or with the CA twice it is no chain.
  EXPECT_THAT(why(signed_under({leaf, root()}, signer_key())), HasSubstr("chain does not hold"));
  EXPECT_THAT(why(signed_under({leaf, ca, ca, root()}, signer_key())),
              HasSubstr("chain does not hold"));
  // The CA itself is no signer, though its key is good.
  EXPECT_THAT(why(signed_under({ca, root()}, ca_key)), HasSubstr("key usage"));
}

TEST(SignedMessageTest, PathLengthsAndCaFlagsAreKept) {
  const auto first_key = drawn();
  const auto first = *issue(ca_spec(), first_key.public_key(), root_key());
  auto below = ca_spec();
  below.issuer = ca_spec().subject;
  below.subject = {{"O", "Strongroom"}, {"CN", "Below"}};
  const auto second_key = drawn();
  const auto second = *issue(below, second_key.public_key(), first_key);
  auto spec = signer_spec();
  spec.issuer = below.subject;
  const auto leaf = *issue(spec, signer_key().public_key(), second_key);
  EXPECT_THAT(why(signed_under({leaf, second, first, root()}, signer_key())),
              HasSubstr("path length"));

  // A signer's certificate issues none.
  auto under_signer = signer_spec();
  under_signer.issuer = {{"O", "Strongroom"}, {"CN", "Broker 1"}};
  const auto forged_key = drawn();
  const auto forged = *issue(under_signer, forged_key.public_key(), signer_key());
  EXPECT_THAT(why(signed_under({forged, signer_certificate(), root()}, forged_key)),
              HasSubstr("chain does not hold"));
}

TEST(SignedMessageTest, ChainsOfOtherLengthsAreRefused) {
  auto given = message();
  given.chain = {signer_certificate().der()};
  EXPECT_THAT(why(given), HasSubstr("2 to 4 certificates"));
  given.chain.clear();
  EXPECT_THAT(why(given), HasSubstr("2 to 4 certificates"));
  given.chain.assign(5, root().der());
  EXPECT_THAT(why(given), HasSubstr("2 to 4 certificates"));
  given.chain = {root().der(), root().der()};
  EXPECT_THAT(why(given), HasSubstr("key usage"));
  given.chain = {signer_certificate().der(), base::Bytes(10)};
  EXPECT_EQ(error_code(verify(given)), base::ErrorCode::kCorrupt);
}

TEST(SignedMessageTest, TimesCountWhereThereIsAClock) {
  const auto given = message();
  const Time early = kFrom - std::chrono::seconds(1);
  const Time late = kUntil + std::chrono::seconds(1);

  EXPECT_THAT(why(given, early), HasSubstr("not valid at this time"));
  EXPECT_THAT(why(given, late), HasSubstr("not valid at this time"));
  EXPECT_EQ(why(given, kFrom), "verifies");
  EXPECT_EQ(why(given, kUntil - std::chrono::seconds(1)), "verifies");
  // Without a clock even a root that ended before its signer began vouches for it.
  const auto ended = *issue_message_root(root_key(), "Broker root", kFrom - std::chrono::days(9),
                                         kFrom - std::chrono::days(1));
  const std::vector<Fingerprint> pins{ended.fingerprint()};
  const auto old = signed_under({signer_certificate(), ended}, signer_key());
  EXPECT_TRUE(verify_signed_message(kLabel, kContext, old, pins, {}));
  EXPECT_EQ(error_code(verify_signed_message(kLabel, kContext, old, pins, kNow)), kAuthentication);
}

TEST(SignedMessageTest, LabelsAndContextsHaveOneReading) {
  const std::string zero("a\0b", 3);
  const base::Bytes digest(48);
  const std::vector<Fingerprint> pins{root().fingerprint()};
  EXPECT_EQ(error_code(signer().sign("", digest, kBody)), kInvalidArgument);
  EXPECT_EQ(error_code(signer().sign(zero, digest, kBody)), kInvalidArgument);
  for (const std::size_t size : {1U, 32U, 47U, 49U, 64U}) {
    EXPECT_EQ(error_code(signer().sign(kLabel, base::Bytes(size), kBody)), kInvalidArgument);
    EXPECT_EQ(error_code(verify_signed_message(kLabel, base::Bytes(size), message(), pins, kNow)),
              kInvalidArgument);
  }
}

TEST(SignedMessageTest, ASignerIsMadeOfAKeyAndItsOwnChain) {
  const std::vector<base::Bytes> chain{signer_certificate().der(), root().der()};
  EXPECT_EQ(error_code(MessageSigner::create(root_key(), chain)), kInvalidArgument);
  EXPECT_EQ(error_code(MessageSigner::create(*PrivateKey::generate_ec(Curve::kP256), chain)),
            kInvalidArgument);
  EXPECT_EQ(error_code(MessageSigner::create(signer_key(), {chain[0]})), kInvalidArgument);
  EXPECT_EQ(error_code(MessageSigner::create(signer_key(), {chain[1], chain[0]})),
            kInvalidArgument);
}

TEST(SignedMessageTest, CertificatesAreIssuedForP384UnderTheirOwnRootOnly) {
  const auto p256 = *PrivateKey::generate_ec(Curve::kP256);
  EXPECT_EQ(error_code(issue_message_root(p256, "Root", kFrom, kUntil)), kInvalidArgument);
  EXPECT_EQ(
      error_code(issue_message_signer(root(), root_key(), p256.public_key(), "1", kFrom, kUntil)),
      kInvalidArgument);
  EXPECT_EQ(error_code(issue_message_signer(root(), signer_key(), signer_key().public_key(), "1",
                                            kFrom, kUntil)),
            kInvalidArgument);
}

}  // namespace
}  // namespace keybroker::crypto
