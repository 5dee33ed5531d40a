// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/broker/workload_keys.h"
#include "keybroker/broker/workload_release.h"
#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/jws.h"
#include "keybroker/crypto/key_transfer.h"
#include "keybroker/crypto/rsa_aes_wrap.h"
#include "keybroker/protocol/guest_attestation.h"
#include "tests/integration/token_guest.h"
#include "vmgs/crypto/base64.h"

namespace tests::integration {
namespace {

namespace json = boost::json;
using store::WorkloadKeyKind;
using testing::HasSubstr;
using testing::StartsWith;

const crypto::PrivateKey& rsa() {
  static const auto key = *crypto::PrivateKey::generate_rsa(3072);
  return key;
}

base::Bytes decoded(const json::value& text) {
  return *vmgs::crypto::decode_base64(text.as_string(), vmgs::crypto::Base64::kUrl);
}

json::object object_in(const base::Bytes& bytes) {
  return json::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}).as_object();
}

class BrokerWorkloadTest : public testing::Test {
 protected:
  BrokerWorkloadTest() {
    secret.fill(std::byte{0x5C});
    EXPECT_EQ(put("disk", kAllowing), "1");
  }

  // put() keeps a key, and gives its version or the error.
  std::string put(const std::string& name, const std::string& policy,
                  WorkloadKeyKind kind = WorkloadKeyKind::kOct,
                  std::optional<base::SecretBytes> material = {}, bool immutable = false) {
    broker::NewWorkloadKey key;
    key.name = name;
    key.kind = kind;
    key.material =
        material ? *std::move(material) : base::SecretBytes::taking(base::copy_of(secret));
    key.policy = at.put(policy);
    key.immutable = immutable;
    const auto version =
        broker::put_workload_key(guest.thread.worker, kTenant, std::move(key), at.act());
    return version ? std::to_string(*version) : version.error().message;
  }

  // release() gives the payload of the answer, or nothing and the word.
  std::optional<json::object> release(const std::string& token, const std::string& name = "disk",
                                      std::optional<std::uint64_t> version = {},
                                      const json::object& more = {}) {
    auto request = more;
    request["target"] = token;
    const auto answer =
        broker::answer_key_release(guest.thread.worker, guest.rules, "192.0.2.7", {name, version},
                                   json::serialize(request), at.now);
    word.clear();
    if (!answer) {
      word = word_of(answer.error());
      return std::nullopt;
    }
    const std::string jws(answer->at("value").as_string());
    const auto& key = guest.rules.keys.newest().public_key();
    const auto payload = crypto::verify_jws(jws, key, "strongroom.key-release+jws");
    EXPECT_TRUE(payload) << payload.error().message;
    return object_in(*payload);
  }

  static json::object key_hsm(const json::object& payload) {
    return object_in(decoded(payload.at("response").at("key").at("key").at("key_hsm")));
  }

  store::AuditRow line() {
    store::LogQuery query;
    query.subject = store::vm_subject(guest.guest.extended.vm_id);
    query.most = 1;
    return at.records.log(query)->at(0);
  }

  store::Sql& sql() { return at.records.sql(); }

  std::array<std::byte, 48> secret{};
  TestBroker at;
  TokenGuest guest{at};
  std::string word;
};

TEST_F(BrokerWorkloadTest, AKeyIsReleasedToTheKeyOfTheToken) {
  const auto token = guest.token(rsa().public_key());
  const auto payload = release(token, "disk", {}, {{"nonce", "n-1"}});
  ASSERT_TRUE(payload) << word;

  EXPECT_EQ(payload->at("request").at("nonce").as_string(), "n-1");
  EXPECT_EQ(payload->at("request").at("kid").as_string(), kAuthorityName + "/keys/disk/1");
  const auto wrapped = key_hsm(*payload);
  EXPECT_EQ(wrapped.at("header").at("enc").as_string(), "RSA_AES_KEY_WRAP_384");
  const auto opened =
      crypto::unwrap_rsa_aes(rsa(), crypto::Hash::kSha384, decoded(wrapped.at("ciphertext")));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(std::ranges::equal(opened->expose(), secret));

  EXPECT_EQ(line().kind, "key-released");
  EXPECT_THAT(line().content, HasSubstr(R"("workload_key":"disk")"));
  EXPECT_THAT(line().content, HasSubstr(R"("decided_by":"anyOf[0]")"));
}

TEST_F(BrokerWorkloadTest, ATokenGetsAKeyOnce) {
  const auto token = guest.token(rsa().public_key());
  EXPECT_TRUE(release(token));
  EXPECT_FALSE(release(token));
  EXPECT_EQ(word, "token-used");
  EXPECT_EQ(put("other", kAllowing), "1");
  EXPECT_TRUE(release(token, "other"));
}

TEST_F(BrokerWorkloadTest, AP384KeyGetsItByEcdh) {
  const auto ec = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  const auto payload = release(guest.token(ec.public_key()));
  ASSERT_TRUE(payload) << word;
  const auto wrapped = key_hsm(*payload);
  EXPECT_EQ(wrapped.at("header").at("enc").as_string(), "STRONGROOM_ECDH_P384");
  const auto sealed = decoded(wrapped.at("ciphertext"));
  const auto open = [&](const std::string& kid) {
    return crypto::open_sealed_to(ec, crypto::TransferAlgorithm::kEcdhP384,
                                  protocol::workload_info(kid), sealed);
  };
  const auto opened = open(kAuthorityName + "/keys/disk/1");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(std::ranges::equal(opened->expose(), secret));
  EXPECT_FALSE(open(kAuthorityName + "/keys/disk/2"));
}

TEST_F(BrokerWorkloadTest, RsaWithSha256IsThereAndWithSha1IsNot) {
  const auto payload =
      release(guest.token(rsa().public_key()), "disk", {}, {{"enc", "RSA_AES_KEY_WRAP_256"}});
  ASSERT_TRUE(payload) << word;
  EXPECT_TRUE(crypto::unwrap_rsa_aes(rsa(), crypto::Hash::kSha256,
                                     decoded(key_hsm(*payload).at("ciphertext"))));
  const auto token = guest.token(rsa().public_key());
  EXPECT_FALSE(release(token, "disk", {}, {{"enc", "CKM_RSA_AES_KEY_WRAP"}}));
  EXPECT_EQ(word, "transfer-key-unusable");
  EXPECT_FALSE(release(guest.token(crypto::PrivateKey::generate_rsa(2048)->public_key())));
  EXPECT_EQ(word, "transfer-key-unusable");
  EXPECT_FALSE(
      release(guest.token(crypto::PrivateKey::generate_ec(crypto::Curve::kP256)->public_key())));
  EXPECT_EQ(word, "transfer-key-unusable");
}

TEST_F(BrokerWorkloadTest, APolicyThatDoesNotHoldDeniesWithItsTrace) {
  EXPECT_EQ(put("denied", kDenying), "1");
  EXPECT_FALSE(release(guest.token(rsa().public_key()), "denied"));
  EXPECT_EQ(word, "policy-denied");
  EXPECT_EQ(line().reason, "policy-denied");
  EXPECT_THAT(line().content, HasSubstr("strongroom-measurement"));
  EXPECT_THAT(line().content, HasSubstr(R"("allowed":false)"));
}

// The policies that people have written for Azure Key Vault ask for what MAA says of a guest.
TEST_F(BrokerWorkloadTest, APolicyOfAkvsGrammarSeesMaasNames) {
  const auto akv = [](const std::string& last) {
    return R"({"version":"1.0.0","anyOf":[{"authority":")" + kAuthorityName + R"(","allOf":[)" +
           R"({"claim":"strongroom-root-class","equals":"simulated"},)" +
           R"({"claim":"x-ms-isolation-tee.x-ms-sevsnpvm-is-debuggable","equals":false},)" + last +
           "]}]}";
  };
  EXPECT_EQ(put("snp",
                akv(R"({"claim":"x-ms-isolation-tee.x-ms-attestation-type","equals":"sevsnpvm"})")),
            "1");
  EXPECT_EQ(
      put("tdx", akv(R"({"claim":"x-ms-isolation-tee.x-ms-attestation-type","equals":"tdxvm"})")),
      "1");
  const auto token = guest.token(rsa().public_key());
  EXPECT_TRUE(release(token, "snp")) << word;
  EXPECT_FALSE(release(token, "tdx"));
  EXPECT_EQ(word, "policy-denied");
}

TEST_F(BrokerWorkloadTest, ATokenThatIsNotOursOrNotForUsOrNotNowIsRefused) {
  const auto token = guest.token(rsa().public_key());
  EXPECT_FALSE(release(guest.token(rsa().public_key(), {{"aud", "https://bank.example"}})));
  EXPECT_EQ(word, "token-other-audience");
  EXPECT_FALSE(release(token + "A"));
  EXPECT_EQ(word, "token-forged");
  EXPECT_FALSE(release(""));
  EXPECT_EQ(word, "token-forged");
  at.now += std::chrono::seconds(300);
  EXPECT_FALSE(release(token));
  EXPECT_EQ(word, "token-expired");
}

// A token of ours whose key is not the one that it is bound to cannot come from us; a broker that
// signs one by mistake still releases nothing for it.
TEST_F(BrokerWorkloadTest, AKeyThatTheTokenIsNotBoundToGetsNothing) {
  auto claims = payload_of(guest.token(rsa().public_key()));
  const auto other = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  claims["x-ms-runtime"].as_object()["keys"] = json::array{crypto::encode_jwk(other.public_key())};
  const auto& signer = guest.rules.keys.newest();
  const auto token = *crypto::sign_jws(signer, crypto::jwk_thumbprint(signer.public_key()), "JWT",
                                       base::bytes_of(json::serialize(claims)));
  EXPECT_FALSE(release(token));
  EXPECT_EQ(word, "token-forged");
}

TEST_F(BrokerWorkloadTest, AVmThatIsNoLongerServedGetsNothing) {
  const auto token = guest.token(rsa().public_key());
  const auto& vm_id = guest.guest.extended.vm_id;
  ASSERT_TRUE(at.records.disable_vm(vm_id, at.act()));
  EXPECT_FALSE(release(token));
  EXPECT_EQ(word, "vm-disabled");
  ASSERT_TRUE(at.records.enable_vm(vm_id, at.act()));
  EXPECT_TRUE(release(token)) << word;
}

// Between the token and the release another boot has claimed the VM.
TEST_F(BrokerWorkloadTest, ABootThatAnotherHasFencedSinceGetsNothing) {
  const auto token = guest.token(rsa().public_key());
  const auto guests = at.rules.evidence;
  at.rules.evidence = TestBroker().rules.evidence;
  TestInstance later(at, guest.instance.document, 2);
  ASSERT_EQ(later.release(), "released") << later.detail;
  ASSERT_EQ(later.anchor(2), "anchored");
  at.rules.evidence = guests;

  EXPECT_FALSE(release(token));
  EXPECT_EQ(word, "state-not-fresh");
  EXPECT_FALSE(release(guest.token(rsa().public_key())));
  EXPECT_EQ(word, "state-not-fresh");
}

// A boot that has claimed and not yet anchored has a state that nobody has judged.
TEST_F(BrokerWorkloadTest, ABootBeforeItsAnchorGetsNothing) {
  TestBroker other;
  TokenGuest early(other, 3, false);
  EXPECT_EQ(payload_of(early.token(rsa().public_key())).at("strongroom-freshness").as_string(),
            "offline");
}

TEST_F(BrokerWorkloadTest, AnotherTenantsKeysHaveNoNameHere) {
  ASSERT_TRUE(
      at.records.add_kek(broker::kek_of(*at.keys->make(kOtherOwner, "state"), 1), at.act()));
  broker::NewWorkloadKey key;
  key.name = "theirs";
  key.material = base::SecretBytes::taking(base::copy_of(secret));
  key.policy = at.put(kAllowing);
  ASSERT_TRUE(broker::put_workload_key(guest.thread.worker, kOtherOwner, std::move(key), at.act()));
  EXPECT_FALSE(release(guest.token(rsa().public_key()), "theirs"));
  EXPECT_EQ(word, "key-unknown");
}

// The key of a VM's state is reached neither by a name that could be it, nor by who writes its
// wrapped form into the table of workload keys.
TEST_F(BrokerWorkloadTest, TheKeyOfAVmsStateIsNoWorkloadKey) {
  const auto token = guest.token(rsa().public_key());
  const auto& vm_id = guest.guest.extended.vm_id;
  for (const auto& name : {protocol::uuid_text(vm_id), std::string("vm_key"), std::string("state"),
                           std::string("' OR 1=1 --"), std::string()}) {
    EXPECT_FALSE(release(token, name)) << name;
    EXPECT_EQ(word, "key-unknown") << name;
  }
  for (const auto* path :
       {"vm_key/../disk/release", "../vm_key/release", "disk%2frelease/release", "disk/0/release",
        "disk/1/2/release", "disk/-1/release", "/release", "disk", "disk/release/"}) {
    EXPECT_FALSE(broker::parse_workload_key_path(path)) << path;
  }
  EXPECT_EQ(broker::parse_workload_key_path("disk/2/release")->version, 2U);

  const auto state = *at.records.newest_vm_key(vm_id);
  ASSERT_TRUE(sql().execute("UPDATE workload_key SET content_key = $1 WHERE name = 'disk'",
                            {state.wrapped}));
  EXPECT_FALSE(release(token));
  EXPECT_THAT(word, HasSubstr("on record"));
}

TEST_F(BrokerWorkloadTest, ARecordThatWasMovedDoesNotOpen) {
  EXPECT_EQ(put("other", kDenying), "1");
  const auto change = [&](const char* statement) { ASSERT_TRUE(sql().execute(statement, {})); };
  // What the policy of one key keeps from everybody, put behind the policy of another.
  change(
      "UPDATE workload_key SET sealed = (SELECT sealed FROM workload_key WHERE name = 'other'), "
      "content_key = (SELECT content_key FROM workload_key WHERE name = 'other') "
      "WHERE name = 'disk'");
  EXPECT_FALSE(release(guest.token(rsa().public_key())));
  EXPECT_EQ(word, "records-altered");
  auto moved = *store::workload_key(at.records, kTenant, "other", {});
  moved.kind = WorkloadKeyKind::kRsa;
  EXPECT_FALSE(broker::open_workload_key(guest.thread.worker, moved));
}

// Whoever could write the database put another policy before a key, and was given it.
TEST_F(BrokerWorkloadTest, ARowThatTheBrokerDidNotWriteGivesNothing) {
  EXPECT_EQ(put("shut", kDenying), "1");
  ASSERT_TRUE(sql().execute(
      "UPDATE workload_key SET policy = (SELECT policy FROM workload_key WHERE name = 'disk') "
      "WHERE name = 'shut'",
      {}));
  EXPECT_FALSE(release(guest.token(rsa().public_key()), "shut"));
  EXPECT_EQ(word, "records-altered");
  EXPECT_EQ(line().reason, "records-altered");
}

TEST_F(BrokerWorkloadTest, VersionsAscendAndTheNewestIsMeant) {
  secret.fill(std::byte{0x77});
  EXPECT_EQ(put("disk", kAllowing), "2");
  const auto payload = release(guest.token(rsa().public_key()));
  ASSERT_TRUE(payload);
  const auto opened = crypto::unwrap_rsa_aes(rsa(), crypto::Hash::kSha384,
                                             decoded(key_hsm(*payload).at("ciphertext")));
  EXPECT_TRUE(std::ranges::equal(opened->expose(), secret));
  EXPECT_TRUE(release(guest.token(rsa().public_key()), "disk", 1));
  EXPECT_FALSE(release(guest.token(rsa().public_key()), "disk", 3));
  EXPECT_EQ(word, "key-unknown");

  ASSERT_TRUE(store::delete_workload_key(at.records, kTenant, "disk", at.act()));
  EXPECT_FALSE(release(guest.token(rsa().public_key())));
  EXPECT_EQ(word, "key-unknown");
  EXPECT_EQ(store::delete_workload_key(at.records, kTenant, "disk", at.act()).error().code,
            base::ErrorCode::kNotFound);
}

TEST_F(BrokerWorkloadTest, AnImmutablePolicyStays) {
  const auto denying = at.put(kDenying);
  ASSERT_TRUE(store::set_workload_key_policy(at.records, kTenant, "disk", 1, denying, at.act()));
  EXPECT_FALSE(release(guest.token(rsa().public_key())));
  EXPECT_EQ(word, "policy-denied");

  EXPECT_EQ(put("fixed", kDenying, WorkloadKeyKind::kOct, {}, true), "1");
  EXPECT_EQ(
      store::set_workload_key_policy(at.records, kTenant, "fixed", 1, at.put(kAllowing), at.act())
          .error()
          .code,
      base::ErrorCode::kDenied);
}

TEST_F(BrokerWorkloadTest, OnlyKeysOfTheirKindAreKept) {
  const auto material = [](std::size_t size) { return base::SecretBytes(size); };
  EXPECT_THAT(put("a", kAllowing, WorkloadKeyKind::kOct, material(31)), HasSubstr("32 to 64"));
  EXPECT_THAT(put("a", kAllowing, WorkloadKeyKind::kOct, material(65)), HasSubstr("32 to 64"));
  EXPECT_THAT(put("a", kAllowing, WorkloadKeyKind::kEc, rsa().to_pkcs8().value()),
              HasSubstr("this one is RSA"));
  EXPECT_THAT(put("a", kAllowing, WorkloadKeyKind::kRsa, material(64)), HasSubstr("PKCS #8"));
  EXPECT_THAT(put("a b", kAllowing), HasSubstr("letters"));
  EXPECT_EQ(put("a", kAllowing, WorkloadKeyKind::kRsa, rsa().to_pkcs8().value()), "1");
  const auto payload = release(guest.token(rsa().public_key()), "a");
  ASSERT_TRUE(payload) << word;
  const auto opened = crypto::unwrap_rsa_aes(rsa(), crypto::Hash::kSha384,
                                             decoded(key_hsm(*payload).at("ciphertext")));
  EXPECT_EQ(crypto::PrivateKey::from_pkcs8(opened->expose())->public_key(), rsa().public_key());
  for (const auto kind : {WorkloadKeyKind::kOct, WorkloadKeyKind::kRsa, WorkloadKeyKind::kEc}) {
    EXPECT_EQ(put("drawn", kAllowing, kind, broker::generate_workload_key(kind).value()),
              std::to_string(static_cast<int>(kind)));
  }
}

}  // namespace
}  // namespace tests::integration
