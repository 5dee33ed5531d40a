// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>

#include "keybroker/broker/attestation_request.h"
#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/jws.h"
#include "tests/integration/token_guest.h"
#include "tests/support/command.h"
#include "vmgs/crypto/base64.h"

namespace tests::integration {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::StartsWith;

// The keys are drawn once: RSA takes a second.
const crypto::PrivateKey& rsa() {
  static const auto key = *crypto::PrivateKey::generate_rsa(3072);
  return key;
}

class BrokerTokenTest : public testing::Test {
 protected:
  std::string opened(const std::string& token) {
    const auto claims = broker::open_token(guest.rules, token, at.now);
    return claims ? "accepted" : word_of(claims.error());
  }

  // The line of the VM's log that was written last.
  store::AuditRow line() {
    store::LogQuery query;
    query.subject = store::vm_subject(guest.guest.extended.vm_id);
    query.most = 1;
    return at.records.log(query)->at(0);
  }

  TestBroker at;
  TokenGuest guest{at};
};

TEST_F(BrokerTokenTest, AGuestGetsATokenThatSaysWhatItsEvidenceSays) {
  const auto token = guest.token(rsa().public_key(), {{"client-payload", {{"a", "b"}}}});
  ASSERT_THAT(token, StartsWith("ey")) << guest.detail;
  const auto claims = payload_of(token);
  EXPECT_EQ(opened(token), "accepted");

  EXPECT_EQ(claims.at("iss").as_string(), kAuthorityName);
  EXPECT_EQ(claims.at("aud").as_string(), kAuthorityName);
  EXPECT_EQ(claims.at("sub").as_string(), "urn:uuid:01010101-0101-0101-0101-010101010101");
  EXPECT_EQ(claims.at("exp").to_number<std::int64_t>() - claims.at("iat").to_number<std::int64_t>(),
            300);
  EXPECT_EQ(claims.at("x-ms-ver").as_string(), "1.0");
  EXPECT_EQ(claims.at("x-ms-attestation-type").as_string(), "azurevm");
  EXPECT_EQ(claims.at("x-ms-isolation-tee").at("x-ms-attestation-type").as_string(), "sevsnpvm");
  EXPECT_EQ(claims.at("strongroom-freshness").as_string(), "fresh");
  EXPECT_EQ(claims.at("strongroom-root-class").as_string(), "simulated");
  EXPECT_EQ(claims.at("cnf").at("jkt").as_string(), crypto::jwk_thumbprint(rsa().public_key()));
  const auto& runtime = claims.at("x-ms-runtime").as_object();
  EXPECT_EQ(*crypto::decode_jwk(runtime.at("keys").as_array().at(0).as_object()),
            rsa().public_key());
  EXPECT_EQ(runtime.at("client-payload").at("a").as_string(), "b");

  EXPECT_EQ(line().kind, "attested");
  EXPECT_THAT(line().content, HasSubstr(std::string(claims.at("jti").as_string())));
}

// The signature is of the algorithm that the header names, by the key that is served: OpenSSL's own
// program says so.
TEST_F(BrokerTokenTest, OpenSslVerifiesATokenByTheServedKey) {
  const auto token = guest.token(rsa().public_key());
  const auto second = token.rfind('.');
  const auto raw =
      *vmgs::crypto::decode_base64(token.substr(second + 1), vmgs::crypto::Base64::kUrl);
  ASSERT_EQ(raw.size(), 96U);
  const support::TempFolder folder;
  std::ofstream(folder / "message", std::ios::binary) << token.substr(0, second);
  // DER of the two numbers, by hand: what the program reads. A sign byte each, always.
  std::string der("\x30\x66", 2);
  for (const auto half : {0U, 48U}) {
    const bool high = (std::to_integer<unsigned>(raw[half]) & 0x80U) != 0;
    der += high ? std::string("\x02\x31\x00", 3) : std::string("\x02\x30", 2);
    der.append(reinterpret_cast<const char*>(raw.data()) + half, 48);
  }
  der[1] = static_cast<char>(der.size() - 2);
  std::ofstream(folder / "signature", std::ios::binary) << der;
  const auto jwks = guest.rules.keys.jwks();
  const auto spki = crypto::decode_jwk(jwks.at("keys").as_array().at(0).as_object())->spki();
  std::ofstream(folder / "key", std::ios::binary)
      .write(reinterpret_cast<const char*>(spki.data()), static_cast<std::streamsize>(spki.size()));
  const auto verify = [&folder] {
    return support::run_command({"/usr/bin/openssl", "dgst", "-sha384", "-keyform", "DER",
                                 "-verify", folder / "key", "-signature", folder / "signature",
                                 folder / "message"});
  };
  EXPECT_THAT(verify().out, HasSubstr("Verified OK"));
  std::ofstream(folder / "message", std::ios::binary | std::ios::app) << "x";
  EXPECT_THAT(verify().out, testing::Not(HasSubstr("Verified OK")));
}

TEST_F(BrokerTokenTest, AChallengeIsUsedOnce) {
  const auto parts = guest.parts(rsa().public_key());
  EXPECT_THAT(guest.ask(parts), StartsWith("ey"));
  EXPECT_EQ(guest.ask(parts), "challenge-used");
  EXPECT_EQ(line().reason, "challenge-used");
}

TEST_F(BrokerTokenTest, AnotherKeyThanTheEvidenceCommitsToIsRefused) {
  auto parts = guest.parts(rsa().public_key());
  const auto other = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  parts.runtime_data =
      json::serialize(json::object{{"keys", json::array{crypto::encode_jwk(other.public_key())}}});
  EXPECT_EQ(guest.ask(parts), "user-data-mismatch") << guest.detail;
}

TEST_F(BrokerTokenTest, EvidenceForAnotherChallengeIsRefused) {
  auto parts = guest.parts(rsa().public_key());
  parts.challenge = guest.challenge();
  EXPECT_EQ(guest.ask(parts), "user-data-mismatch") << guest.detail;

  parts = guest.parts(rsa().public_key());
  at.now += std::chrono::minutes(6);
  EXPECT_EQ(guest.ask(parts), "challenge-expired");
}

// A quote alone proves that a TPM is alive, not that it runs in this machine now.
TEST_F(BrokerTokenTest, AnOldReportBesideANewQuoteIsRefused) {
  const auto old = guest.parts(rsa().public_key());
  auto parts = guest.parts(rsa().public_key());
  parts.evidence["hcl_report"] = old.evidence.at("hcl_report");
  EXPECT_EQ(guest.ask(parts), "user-data-mismatch") << guest.detail;
}

// Nor does a report alone prove that the TPM whose AK it names still lives in that machine.
TEST_F(BrokerTokenTest, AnOldQuoteBesideANewReportIsRefused) {
  const auto old = guest.parts(rsa().public_key());
  auto parts = guest.parts(rsa().public_key());
  parts.evidence["quotes"] = old.evidence.at("quotes");
  EXPECT_EQ(guest.ask(parts), "nonce-mismatch") << guest.detail;

  parts = guest.parts(rsa().public_key());
  parts.evidence.erase("quotes");
  EXPECT_EQ(guest.ask(parts), "quote-missing") << guest.detail;
}

TEST_F(BrokerTokenTest, AVmThatIsNotTheRegisteredOneIsRefused) {
  auto unknown = guest.guest.extended.vm_id;
  guest.guest.extended.vm_id.fill(std::byte{0x77});
  EXPECT_EQ(guest.token(rsa().public_key()), "vm-unregistered");
  EXPECT_TRUE(guest.before_evidence);
  guest.guest.extended.vm_id = unknown;

  guest.guest.extended.launch.assign(32, std::byte{0x66});
  EXPECT_EQ(guest.token(rsa().public_key()), "launch-document-other");
  EXPECT_TRUE(guest.before_evidence);
}

// What a caller may hear, and what is only for the log: it is known by its evidence and nothing
// else.
TEST_F(BrokerTokenTest, ARefusalIsForTheLogAloneUntilTheEvidenceVerifies) {
  const auto parts = guest.parts(rsa().public_key());
  ASSERT_THAT(guest.ask(parts), StartsWith("ey"));
  EXPECT_EQ(guest.ask(parts), "challenge-used");
  EXPECT_FALSE(guest.before_evidence);

  guest.guest.report.host_data.fill(std::byte{0x66});
  EXPECT_EQ(guest.token(rsa().public_key()), "snp-host-data-unknown");
  EXPECT_TRUE(guest.before_evidence);
}

// Anybody can ask about any VM: what they get written into its log has an end.
TEST_F(BrokerTokenTest, RefusalsBeforeTheEvidenceAreWrittenSixteenTimes) {
  const auto vm_id = guest.guest.extended.vm_id;
  const auto before = *store::verify_chain(at.records.sql(), store::vm_subject(vm_id));
  guest.guest.extended.launch.assign(32, std::byte{0x66});
  for (int i = 0; i < 40; ++i) {
    guest.caller = "10.0.0." + std::to_string(i);
    EXPECT_EQ(guest.token(rsa().public_key()), "launch-document-other");
  }
  EXPECT_EQ(*store::verify_chain(at.records.sql(), store::vm_subject(vm_id)), before + 16);
}

// What a host that cannot forge a report can still do: another VM's hardware under this VM's
// claims.
TEST_F(BrokerTokenTest, AnotherLaunchUnderTheClaimsOfThisVmIsRefused) {
  guest.guest.report.host_data.fill(std::byte{0x66});
  EXPECT_EQ(guest.token(rsa().public_key()), "snp-host-data-unknown") << guest.detail;
}

TEST_F(BrokerTokenTest, DebugAndOtherVmplsAreRefused) {
  guest.guest.report.vmpl = 2;
  EXPECT_THAT(guest.token(rsa().public_key()), HasSubstr("vmpl")) << guest.detail;
  guest.guest.report.vmpl = 0;
  guest.guest.report.policy = guest.guest.report.policy.value() | (1U << 19U);
  EXPECT_THAT(guest.token(rsa().public_key()), HasSubstr("debug")) << guest.detail;
}

TEST_F(BrokerTokenTest, ADisabledVmGetsNone) {
  ASSERT_TRUE(at.records.disable_vm(guest.guest.extended.vm_id, at.act()));
  EXPECT_EQ(guest.token(rsa().public_key()), "vm-disabled");
  ASSERT_TRUE(at.records.enable_vm(guest.guest.extended.vm_id, at.act()));
  EXPECT_THAT(guest.token(rsa().public_key()), StartsWith("ey"));
}

TEST_F(BrokerTokenTest, ABootThatAnotherHasFencedIsNotFresh) {
  TestInstance later(at, guest.instance.document, 2);
  at.rules.evidence = TestBroker().rules.evidence;
  ASSERT_EQ(later.release(), "released") << later.detail;
  at.rules.evidence.simulated = guest.guest.store();
  at.rules.evidence.collateral = [collateral = guest.guest.collateral()](
                                     auto&) -> base::Result<keybroker::evidence::Collateral> {
    return collateral;
  };
  const auto claims = payload_of(guest.token(rsa().public_key()));
  EXPECT_EQ(claims.at("strongroom-freshness").as_string(), "offline");
}

TEST_F(BrokerTokenTest, ATokenCountsForItsMinutesAndItsAudience) {
  const auto token = guest.token(rsa().public_key());
  const auto elsewhere = guest.token(rsa().public_key(), {{"aud", "https://bank.example"}});
  EXPECT_EQ(payload_of(elsewhere).at("aud").as_string(), "https://bank.example");
  EXPECT_EQ(opened(token), "accepted");
  EXPECT_EQ(opened(elsewhere), "token-other-audience");
  at.now += std::chrono::seconds(299);
  EXPECT_EQ(opened(token), "accepted");
  at.now += std::chrono::seconds(1);
  EXPECT_EQ(opened(token), "token-expired");
  at.now -= std::chrono::seconds(301);
  EXPECT_EQ(opened(token), "token-expired");
}

TEST_F(BrokerTokenTest, ATokenOfAnotherKeyOrOfNoneIsForged) {
  const auto token = guest.token(rsa().public_key());
  const auto encoded = [](std::string_view text) {
    return vmgs::crypto::encode_base64(base::bytes_of(text), vmgs::crypto::Base64::kUrl);
  };
  const auto first = token.find('.');
  const auto second = token.rfind('.');
  const auto payload = token.substr(first, second - first);
  EXPECT_EQ(opened(encoded(R"({"alg":"none","typ":"JWT"})") + payload + "."), "token-forged");

  const auto other = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  const auto claims = json::serialize(payload_of(token));
  // Signed by a key that names itself, and by one that takes the name of ours.
  const auto& ours = crypto::jwk_thumbprint(guest.rules.keys.newest().public_key());
  EXPECT_EQ(opened(*crypto::sign_jws(other, crypto::jwk_thumbprint(other.public_key()), "JWT",
                                     base::bytes_of(claims))),
            "token-forged");
  EXPECT_EQ(opened(*crypto::sign_jws(other, ours, "JWT", base::bytes_of(claims))), "token-forged");
  // Ours, and of another type.
  EXPECT_EQ(
      opened(*crypto::sign_jws(guest.rules.keys.newest(), ours, "other", base::bytes_of(claims))),
      "token-forged");
  // Ours, by another issuer.
  auto changed = payload_of(token);
  changed["iss"] = "https://elsewhere.example";
  EXPECT_EQ(opened(*crypto::sign_jws(guest.rules.keys.newest(), ours, "JWT",
                                     base::bytes_of(json::serialize(changed)))),
            "token-forged");

  guest.rules.keys = *guest.rules.keys.adding_one();
  EXPECT_EQ(opened(token), "accepted");
}

TEST_F(BrokerTokenTest, WhatIsNoRequestIsAnErrorAndNoLineInALog) {
  const auto before = line();
  auto parts = guest.parts(rsa().public_key());
  const auto with = [&](const std::string& runtime) {
    auto changed = parts;
    changed.runtime_data = runtime;
    return guest.ask(changed);
  };
  auto jwk = crypto::encode_jwk(rsa().public_key());
  const auto keys = [](const json::value& list) {
    return json::serialize(json::object{{"keys", list}});
  };
  EXPECT_THAT(with("{}"), StartsWith("request-malformed"));
  EXPECT_THAT(with(keys(json::array{})), StartsWith("request-malformed"));
  EXPECT_THAT(with(keys(json::array{jwk, jwk})), StartsWith("request-malformed"));
  EXPECT_THAT(with(R"({"keys":[{"kty":"oct","k":"AA"}]})"), StartsWith("request-malformed"));
  jwk["d"] = "AQ";
  EXPECT_THAT(with(keys(json::array{jwk})), HasSubstr("private half"));
  EXPECT_THAT(with(std::string(9'000, ' ')), StartsWith("request-malformed"));
  parts.evidence.erase("extended_claims");
  EXPECT_THAT(guest.ask(parts), StartsWith("request-malformed"));
  EXPECT_THAT(word_of(broker::answer_attestation(guest.thread.worker, guest.rules, "somebody",
                                                 std::string(600'000, ' '), at.now)
                          .error()),
              StartsWith("request-too-large"));
  EXPECT_EQ(line(), before);
}

}  // namespace
}  // namespace tests::integration
