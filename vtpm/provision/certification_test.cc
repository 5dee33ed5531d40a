// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/certification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "keybroker/evidence/hcl_report.h"
#include "keybroker/protocol/extended_claims.h"
#include "tests/support/error_code.h"
#include "tests/support/fake_certifier.h"
#include "tests/support/fake_tee.h"
#include "vmgs/crypto/digest.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/provision/credential.h"
#include "vtpm/provision/provision.h"
#include "vtpm/provision/tpm_life.h"

namespace vtpm::provision {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using tests::support::FakeCertifier;
using tests::support::FakeTee;

constexpr TSS2_RC kDone = TSS2_RC_SUCCESS;
constexpr ESYS_TR kNone = ESYS_TR_NONE;
constexpr ESYS_TR kPassword = ESYS_TR_PASSWORD;

using Deed = std::function<void(ESYS_CONTEXT*)>;

base::SecretBytes new_tpm() {
  engine::MemoryNvStore memory;
  auto engine = *engine::Engine::create(memory);
  EXPECT_TRUE(engine->start(engine::Origin::kManufacture));
  return *engine->state_blob(engine::BlobKind::kPermanent);
}

Deed set_auth(ESYS_TR hierarchy) {
  return [hierarchy](ESYS_CONTEXT* esys) {
    const TPM2B_AUTH secret{.size = 3, .buffer = {1, 2, 3}};
    EXPECT_EQ(Esys_HierarchyChangeAuth(esys, hierarchy, kPassword, kNone, kNone, &secret), kDone);
  };
}

base::SecretBytes live(const base::SecretBytes& state, const std::vector<Deed>& deeds) {
  auto life = TpmLife::begin(state.expose());
  EXPECT_TRUE(life) << life.error().message;
  for (const auto& deed : deeds) {
    deed((*life)->esys());
  }
  return *(*life)->end();
}

struct Space {
  TPMA_NV attributes = 0;
  std::size_t size = 0;
};

std::optional<Space> space_of(ESYS_CONTEXT* esys, TPM2_HANDLE index) {
  ESYS_TR object = kNone;
  if (Esys_TR_FromTPMPublic(esys, index, kNone, kNone, kNone, &object) != kDone) {
    return std::nullopt;
  }
  TPM2B_NV_PUBLIC* area = nullptr;
  EXPECT_EQ(Esys_NV_ReadPublic(esys, object, kNone, kNone, kNone, &area, nullptr), kDone);
  const Space space{area->nvPublic.attributes, area->nvPublic.dataSize};
  Esys_Free(area);
  Esys_TR_Close(esys, &object);
  return space;
}

// A VM of either kind, and who certifies it.
class CertificationTest : public testing::TestWithParam<bool> {
 protected:
  CertificationTest() { statement_.launch = base::Bytes(32, std::byte{0x33}); }

  [[nodiscard]] bool confidential() const { return GetParam(); }

  ProvisionWishes wishes() {
    return {.vouching = Vouching{.certifier = certifier_,
                                 .statement = statement_,
                                 .tee = confidential() ? &tee_ : nullptr},
            .now = certifier_.now + std::chrono::hours(1)};
  }

  Provisioned made() {
    auto provisioned = provision(new_tpm().expose(), Past::kNew, wishes());
    EXPECT_TRUE(provisioned) << provisioned.error().message;
    return *std::move(provisioned);
  }

  Provisioned again(const base::SecretBytes& state) {
    auto provisioned = provision(state.expose(), Past::kUsed, wishes());
    EXPECT_TRUE(provisioned) << provisioned.error().message;
    return *std::move(provisioned);
  }

  // What a guest reads, by the owner's authorization, which it has not set.
  static base::Bytes read(const Provisioned& provisioned, TPM2_HANDLE index) {
    base::Bytes content;
    live(provisioned.permanent_state, {[&](ESYS_CONTEXT* esys) {
           if (auto there = read_index(esys, index)) {
             content = *std::move(there);
           }
         }});
    return content;
  }

  static void expect_certified(const Provisioned& provisioned) {
    EXPECT_FALSE(provisioned.uncertified) << provisioned.uncertified->message;
    EXPECT_TRUE(provisioned.renew_at);
    const auto leaf = certificates_in(read(provisioned, kAkCertificateIndex));
    ASSERT_TRUE(leaf) << leaf.error().message;
    ASSERT_EQ(leaf->size(), 1U);
    EXPECT_TRUE(is_for(leaf->front(), *provisioned.rsa_ak));
    const auto chain = certificates_in(read(provisioned, kAkChainIndex));
    ASSERT_TRUE(chain) << chain.error().message;
    EXPECT_TRUE(keybroker::crypto::verify_issued(leaf->front(), *chain->front().public_key()));
    EXPECT_TRUE(has_certificate(read(provisioned, 0x01C00002), *provisioned.rsa_ek));
    EXPECT_TRUE(has_certificate(read(provisioned, 0x01C0000A), *provisioned.ecc_ek));
  }

  FakeTee tee_ = FakeTee::snp();
  Statement statement_;
  FakeCertifier certifier_;
};

TEST_P(CertificationTest, ANewTpmHasItsCertificatesBeforeItsGuest) {
  const auto provisioned = made();
  expect_certified(provisioned);
  EXPECT_EQ(provisioned.renew_at, certifier_.now + certifier_.life / 2);
  EXPECT_EQ(provisioned.ends_at, certifier_.now + certifier_.life);
  EXPECT_EQ(again(provisioned.permanent_state).ends_at, provisioned.ends_at);
  EXPECT_EQ(certifier_.asked, 1);
}

// A conversion of the VM leaves its certificate behind, however young.
TEST_P(CertificationTest, ACertificateStatesTheLaunchThatThereWas) {
  using keybroker::protocol::TeeFamily;
  auto& states = certifier_.states.emplace();
  states.tee = confidential() ? TeeFamily::kSevSnp : TeeFamily::kNone;
  states.launch = statement_.launch;
  auto provisioned = made();
  provisioned = again(provisioned.permanent_state);
  EXPECT_EQ(certifier_.asked, 1) << "it states what is";

  states.launch = statement_.launch = base::Bytes(48, std::byte{0x44});
  provisioned = again(provisioned.permanent_state);
  EXPECT_EQ(certifier_.asked, 2);
  expect_certified(provisioned);

  states.tee = TeeFamily::kTdx;
  statement_.launch[0] = std::byte{0x55};
  states.launch = statement_.launch;
  provisioned = again(provisioned.permanent_state);
  EXPECT_EQ(certifier_.asked, 3);
  provisioned = again(provisioned.permanent_state);
  EXPECT_EQ(certifier_.asked, 4) << "it states another TEE";

  certifier_.refuses = base::Error{ErrorCode::kUnavailable, "not now"};
  statement_.launch[0] = std::byte{0x66};
  provisioned = again(provisioned.permanent_state);
  EXPECT_TRUE(provisioned.uncertified);
  EXPECT_EQ(provisioned.renew_at, std::nullopt);
  EXPECT_TRUE(read(provisioned, kAkCertificateIndex).empty()) << "none is better than that one";
}

// swtpm_setup 0.7 with --lock-nvram: 0x62072801, the size of the certificate.
TEST_P(CertificationTest, EkCertificatesLieAsSwtpmSetupPutsThem) {
  const auto provisioned = made();
  live(provisioned.permanent_state, {[&](ESYS_CONTEXT* esys) {
         for (const auto index : {0x01C00002U, 0x01C0000AU}) {
           const auto space = space_of(esys, index);
           ASSERT_TRUE(space);
           EXPECT_EQ(space->attributes, 0x62072801U);
           EXPECT_EQ(space->size, read_index(esys, index)->size());
           EXPECT_TRUE(certificates_in(*read_index(esys, index)));
         }
       }});
}

TEST_P(CertificationTest, AsksForWhatItCanShow) {
  const auto provisioned = made();
  if (!confidential()) {
    ASSERT_TRUE(certifier_.of_host);
    EXPECT_TRUE(certifier_.of_host->new_seeds);
    EXPECT_TRUE(certifier_.of_host->wants_ek_certificates);
    EXPECT_EQ(certifier_.of_host->ak, provisioned.rsa_ak->area);
    EXPECT_EQ(certifier_.of_host->rsa_ek, provisioned.rsa_ek->area);
    EXPECT_EQ(certifier_.of_host->ecc_ek, provisioned.ecc_ek->area);
    EXPECT_EQ(certifier_.of_host->claims_digest.size(), 32U);
    return;
  }
  ASSERT_TRUE(certifier_.of_evidence);
  const auto& bound = certifier_.of_evidence->bound;
  const auto hcl = *keybroker::evidence::decode_hcl_report(bound.report.hcl);
  const auto digest = base::to_hex(vmgs::crypto::sha256(base::bytes_of(hcl.claims)));
  EXPECT_EQ(base::to_hex(base::ByteView(bound.evidence.report).subspan(0x50, 32)), digest);
  EXPECT_EQ(hcl.hardware_report, bound.evidence.report) << "one report is asked for";
  EXPECT_EQ(tee_.reported, 1);
  const auto extended = *keybroker::protocol::decode_extended_claims(bound.report.extended_claims);
  EXPECT_EQ(extended.ecc_ek_name, provisioned.ecc_ek->name);
  EXPECT_EQ(certifier_.of_evidence->rsa_ek, provisioned.rsa_ek->area);
}

TEST_P(CertificationTest, NobodyIsAskedAgainWhileTheCertificateIsGood) {
  const auto first = made();
  const auto next = again(live(first.permanent_state, {}));
  EXPECT_EQ(certifier_.asked, 1);
  EXPECT_TRUE(next.twin) << "nobody waits for it";
  EXPECT_EQ(next.renew_at, first.renew_at);
  expect_certified(next);
}

TEST_P(CertificationTest, AGuestsAuthorizationsDoNotHideItsCertificate) {
  const auto first = made();
  const auto state = live(
      first.permanent_state,
      {set_auth(ESYS_TR_RH_OWNER), set_auth(ESYS_TR_RH_ENDORSEMENT), set_auth(ESYS_TR_RH_LOCKOUT)});
  const auto next = again(state);
  EXPECT_EQ(certifier_.asked, 1);
  EXPECT_EQ(next.renew_at, first.renew_at);
  ASSERT_TRUE(next.index_password);
  live(next.permanent_state, {[&](ESYS_CONTEXT* esys) {
         const auto leaf = read_index(esys, kAkCertificateIndex, *next.index_password);
         ASSERT_TRUE(leaf) << leaf.error().message;
         EXPECT_TRUE(has_certificate(*leaf, *first.rsa_ak));
       }});
}

TEST_P(CertificationTest, ACertificateThatHasEndedIsReplaced) {
  const auto first = made();
  certifier_.now += certifier_.life;
  const auto next = again(first.permanent_state);
  EXPECT_EQ(certifier_.asked, 2);
  EXPECT_FALSE(next.twin) << "only an AK that was proven is certified";
  EXPECT_EQ(next.renew_at, certifier_.now + certifier_.life / 2);
  expect_certified(next);
  if (!confidential()) {
    EXPECT_FALSE(certifier_.of_host->new_seeds) << "their EK has its certificate";
    EXPECT_TRUE(certifier_.of_host->wants_ek_certificates) << "that has ended too";
  }
}

TEST_P(CertificationTest, ALostIndexIsFilledAgain) {
  const auto first = made();
  for (const auto index : {kAkCertificateIndex, kRsaEkCertificateIndex}) {
    const auto state = live(first.permanent_state,
                            {[&](ESYS_CONTEXT* esys) { EXPECT_TRUE(drop_index(esys, index)); }});
    certifier_.asked = 0;
    expect_certified(again(state));
    EXPECT_EQ(certifier_.asked, 1);
  }
}

TEST_P(CertificationTest, OtherSeedsAreCertifiedAsOthers) {
  const auto first = made();
  const auto state =
      live(first.permanent_state, {[](ESYS_CONTEXT* esys) {
             EXPECT_EQ(Esys_ChangeEPS(esys, ESYS_TR_RH_PLATFORM, kPassword, kNone, kNone), kDone);
           }});
  const auto next = again(state);
  EXPECT_NE(next.rsa_ak->name, first.rsa_ak->name);
  expect_certified(next);
  if (!confidential()) {
    EXPECT_TRUE(certifier_.of_host->new_seeds);
  }
}

TEST_P(CertificationTest, ARefusalKeepsNoTpmFromStarting) {
  certifier_.refuses = base::Error{ErrorCode::kDenied, "not this one"};
  const auto provisioned = made();
  ASSERT_TRUE(provisioned.uncertified);
  EXPECT_EQ(provisioned.uncertified->code, ErrorCode::kDenied);
  EXPECT_THAT(provisioned.uncertified->message, testing::HasSubstr("not this one"));
  EXPECT_FALSE(provisioned.renew_at);
  EXPECT_EQ(provisioned.obstacle, Obstacle::kNone);
  EXPECT_TRUE(read(provisioned, kAkCertificateIndex).empty());
  EXPECT_TRUE(read(provisioned, kRsaEkCertificateIndex).empty());

  certifier_.refuses.reset();
  expect_certified(again(provisioned.permanent_state));
}

TEST_P(CertificationTest, WithoutAnAuthorityNothingIsExpected) {
  const auto provisioned = *provision(new_tpm().expose(), Past::kNew);
  EXPECT_FALSE(provisioned.uncertified);
  EXPECT_FALSE(provisioned.renew_at);
  const auto certified = made();
  const auto alone = *provision(certified.permanent_state.expose(), Past::kUsed);
  EXPECT_TRUE(has_certificate(base::ByteView(read(alone, kAkCertificateIndex)), *alone.rsa_ak))
      << "what is there stays";
}

// What an authority sends is written only if it is what a guest can use.
TEST_P(CertificationTest, WhatAnAuthoritySendsIsLookedAt) {
  const auto other = *provision(new_tpm().expose(), Past::kNew);
  const std::vector<std::pair<const char*, std::function<void(Certificates&)>>> spoilt = {
      {"another key's",
       [&](Certificates& c) { c.ak = certifier_.issue(other.rsa_ak->area).der(); }},
      {"cut", [](Certificates& c) { c.ak.pop_back(); }},
      {"none", [](Certificates& c) { c.ak.clear(); }},
      {"two", [](Certificates& c) { c.ak.insert(c.ak.end(), c.ak.begin(), c.ak.end()); }},
      {"long", [](Certificates& c) { c.ak.resize(kIndexBytes + 1); }},
      {"no chain", [](Certificates& c) { c.ak_chain.clear(); }},
      {"no issuer",
       [&](Certificates& c) { c.ak_chain = certifier_.issue(other.ecc_ak->area).der(); }},
      {"chain and more", [](Certificates& c) { c.ak_chain.push_back(std::byte{1}); }}};
  for (const auto& [what, spoil] : spoilt) {
    certifier_.spoils = spoil;
    const auto provisioned = made();
    EXPECT_TRUE(provisioned.uncertified) << what;
    EXPECT_TRUE(read(provisioned, kAkCertificateIndex).empty()) << what;
  }
  certifier_.spoils = [&](Certificates& c) {
    c.rsa_ek = certifier_.issue(other.rsa_ek->area).der();
    c.ecc_ek.pop_back();
  };
  const auto provisioned = made();
  EXPECT_FALSE(provisioned.uncertified) << "the AK's is good";
  EXPECT_TRUE(read(provisioned, kRsaEkCertificateIndex).empty());
  EXPECT_TRUE(read(provisioned, kEccEkCertificateIndex).empty());
}

TEST_P(CertificationTest, AStartInTheSecondHalfOfACertificateAsksForAnother) {
  const auto first = made();
  auto wanted = wishes();
  wanted.now = certifier_.now + certifier_.life / 2 - std::chrono::hours(1);
  EXPECT_TRUE(provision(first.permanent_state.expose(), Past::kUsed, wanted));
  EXPECT_EQ(certifier_.asked, 1);
  certifier_.now = wanted.now = certifier_.now + certifier_.life / 2 + std::chrono::hours(1);
  const auto next = *provision(first.permanent_state.expose(), Past::kUsed, wanted);
  EXPECT_EQ(certifier_.asked, 2);
  expect_certified(next);
  EXPECT_EQ(next.renew_at, certifier_.now + certifier_.life / 2);
  if (!confidential()) {
    EXPECT_FALSE(certifier_.of_host->new_seeds);
  }
  for (const auto index : {kAkCertificateIndex, kRsaEkCertificateIndex, kEccEkCertificateIndex}) {
    EXPECT_NE(read(next, index), read(first, index)) << index;
  }
}

TEST_P(CertificationTest, WhatIsNotOnRecordIsAskedForAndCountsForNothing) {
  const auto first = made();
  auto wanted = wishes();
  wanted.ask_for_certificates = true;
  certifier_.refuses = base::Error{ErrorCode::kUnavailable, "away"};
  const auto refused = *provision(first.permanent_state.expose(), Past::kUsed, wanted);
  EXPECT_FALSE(refused.renew_at) << "what lies there was revoked";
  EXPECT_TRUE(refused.uncertified);

  certifier_.refuses.reset();
  const auto next = *provision(refused.permanent_state.expose(), Past::kUsed, wanted);
  expect_certified(next);
  for (const auto index : {kAkCertificateIndex, kRsaEkCertificateIndex, kEccEkCertificateIndex}) {
    EXPECT_NE(read(next, index), read(first, index)) << index;
  }
}

TEST_P(CertificationTest, ACertificateOfTheFutureIsNone) {
  const auto first = made();
  const auto stored = StoredCertificates::in(first.permanent_state.expose());
  const auto is_good = [&](std::chrono::sys_seconds now) {
    return good_certificate(stored.ak, *first.rsa_ak, now).has_value();
  };
  EXPECT_TRUE(is_good(certifier_.now - kClockSkew));
  EXPECT_FALSE(is_good(certifier_.now - kClockSkew - std::chrono::seconds(1)));
  EXPECT_TRUE(is_good(certifier_.now + certifier_.life - std::chrono::seconds(1)));
  EXPECT_FALSE(is_good(certifier_.now + certifier_.life));
}

TEST_P(CertificationTest, ANewEndorsementSeedTakesTheOldCertificatesWithIt) {
  const auto first = made();
  const auto state = live(first.permanent_state, {set_auth(ESYS_TR_RH_ENDORSEMENT)});
  auto wanted = wishes();
  wanted.new_endorsement_seed = true;
  certifier_.refuses = base::Error{ErrorCode::kUnavailable, "away"};

  const auto next = *provision(state.expose(), Past::kUsed, wanted);

  EXPECT_NE(next.rsa_ak->name, first.rsa_ak->name);
  EXPECT_NE(next.ecc_ek->name, first.ecc_ek->name);
  for (const auto index :
       {kAkCertificateIndex, kAkChainIndex, kRsaEkCertificateIndex, kEccEkCertificateIndex}) {
    EXPECT_TRUE(read(next, index).empty());
  }
  std::optional<PublicKey> before;
  std::optional<PublicKey> after;
  live(first.permanent_state,
       {[&](ESYS_CONTEXT* esys) { before = *key_at(esys, storage_places()[0].handle); }});
  live(next.permanent_state,
       {[&](ESYS_CONTEXT* esys) { after = *primary_key(esys, storage_places()[0]); }});
  EXPECT_EQ(before, after) << "the owner's seed stays";

  certifier_.refuses.reset();
  expect_certified(again(next.permanent_state));
  if (!confidential()) {
    EXPECT_TRUE(certifier_.of_host->new_seeds) << "nobody was told in the start before";
  }
}

INSTANTIATE_TEST_SUITE_P(Vms, CertificationTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& kind) {
                           return kind.param ? "Confidential" : "Ordinary";
                         });

// The guest's authorizations may forbid the proof, and nothing else.
TEST(HostCertificationTest, AnEndorsementAuthorizationIsAnObstacleAndNoError) {
  FakeCertifier certifier;
  Statement statement;
  statement.launch = base::Bytes(32);
  const ProvisionWishes wishes{
      .vouching = Vouching{.certifier = certifier, .statement = statement, .tee = nullptr},
      .now = certifier.now};
  const auto first = *provision(new_tpm().expose(), Past::kNew);
  const auto state = live(first.permanent_state, {set_auth(ESYS_TR_RH_ENDORSEMENT)});

  const auto provisioned = provision(state.expose(), Past::kUsed, wishes);

  ASSERT_TRUE(provisioned) << provisioned.error().message;
  EXPECT_EQ(provisioned->obstacle, Obstacle::kNone);
  ASSERT_TRUE(provisioned->uncertified);
  EXPECT_EQ(provisioned->uncertified->code, ErrorCode::kDenied);
  EXPECT_THAT(provisioned->uncertified->message, testing::HasSubstr("endorsement"));
}

TEST(HostCertificationTest, AChallengeForAnotherTpmIsNotAnswered) {
  const auto mine = *provision(new_tpm().expose(), Past::kNew);
  const auto life = *TpmLife::begin(mine.permanent_state.expose());
  CredentialChallenge challenge{.credential_blob = base::Bytes(52, std::byte{1}),
                                .encrypted_secret = base::Bytes(256, std::byte{1})};
  EXPECT_EQ(error_code(activate_credential(life->esys(), challenge)), ErrorCode::kAuthentication);
  challenge.credential_blob.resize(4096);
  EXPECT_EQ(error_code(activate_credential(life->esys(), challenge)), ErrorCode::kAuthentication);
}

}  // namespace
}  // namespace vtpm::provision
