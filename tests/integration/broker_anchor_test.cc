// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "keybroker/evidence/ak_statement.h"
#include "keybroker/evidence/snp_certificates.h"
#include "keybroker/protocol/broker.pb.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/certificate_database.h"
#include "tests/integration/broker_fixture.h"
#include "tests/support/simulated_guest.h"
#include "vmgs/crypto/digest.h"

// What a boot tells the broker of its state, and what comes of it.
namespace tests::integration {
namespace {

namespace pb = strongroom::broker::v1;
namespace evidence = keybroker::evidence;
using client::AnchorKind;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string field(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class BrokerAnchorTest : public ::testing::Test {
 protected:
  BrokerAnchorTest() { register_vm(at_, document_); }

  // One that has its key.
  struct Booted : TestInstance {
    Booted(TestBroker& its_broker, const protocol::LaunchDocument& its_document,
           std::uint8_t its_boot)
        : TestInstance(its_broker, its_document, its_boot) {
      EXPECT_EQ(release(), "released") << detail;
    }
  };

  Booted booted(std::uint8_t boot) { return {at_, document_, boot}; }

  [[nodiscard]] store::VmRecord record() { return *at_.records.vm(document_.vm_id); }

  TestBroker at_;
  protocol::LaunchDocument document_ = document_for(at_, 0xA1);
};

TEST_F(BrokerAnchorTest, TheNextBootHearsOfTheNewestState) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(7), "anchored") << first.detail;
  EXPECT_FALSE(first.anchored->receipt.empty());
  ASSERT_EQ(first.anchor(9, AnchorKind::kClosed), "anchored");
  const auto next = booted(2);
  ASSERT_TRUE(next.released->anchor);
  EXPECT_EQ(next.released->anchor->epoch, 1U);
  EXPECT_EQ(next.released->anchor->sequence, 9U);
}

TEST_F(BrokerAnchorTest, RefusesABootThatAnotherOneHasFenced) {
  auto first = booted(1);
  auto second = booted(2);
  EXPECT_EQ(first.anchor(1), "anchor-fenced");
  EXPECT_EQ(second.anchor(1), "anchored");
}

TEST_F(BrokerAnchorTest, RefusesAnAnchorThatGoesBack) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(7), "anchored");
  EXPECT_EQ(first.anchor(7), "anchor-stale");
  EXPECT_EQ(first.anchor(6), "anchor-stale");
  auto second = booted(2);
  EXPECT_EQ(second.anchor(6), "anchor-stale");
  EXPECT_EQ(record().anchor->state.sequence, 7U);
}

TEST_F(BrokerAnchorTest, RefusesAMessageWithoutTheBootKey) {
  auto first = booted(1);
  auto second = booted(2);
  // The key of the boot before, and the numbers of this one.
  first.released->epoch = second.released->epoch;
  first.boot.boot_id = second.boot.boot_id;
  EXPECT_EQ(first.anchor(1), "anchor-mac");
  second.on_the_way = [](client::Method, base::Bytes& message) {
    pb::AnchorRequest request;
    ASSERT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    pb::AnchorBody body;
    ASSERT_TRUE(body.ParseFromString(request.body()));
    body.set_sequence(body.sequence() + 1);
    request.set_body(body.SerializeAsString());
    message = base::copy_of(base::bytes_of(request.SerializeAsString()));
  };
  EXPECT_NE(second.anchor(1), "anchored");
  EXPECT_EQ(word_in(second.answer), "anchor-mac");
  EXPECT_FALSE(record().anchor);
}

TEST_F(BrokerAnchorTest, ABootKeyOutlivesTheClusterSecretThatIsReplaced) {
  auto first = booted(1);
  at_.rules.secrets = *at_.rules.secrets.adding_one();
  EXPECT_EQ(first.anchor(1), "anchored");
  at_.rules.secrets = *broker::ClusterSecrets::generate();
  EXPECT_EQ(first.anchor(2), "anchor-mac");
}

TEST_F(BrokerAnchorTest, ARepeatedRequestGetsTheSameBytesAndMovesNothing) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(3), "anchored");
  const auto request = first.sent;
  const auto answer = first.answer;
  at_.now += std::chrono::seconds(30);
  const auto again = first.call(client::Method::kAnchor, request, {});
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, answer);
  ASSERT_EQ(first.anchor(4), "anchored");
  EXPECT_EQ(*first.call(client::Method::kAnchor, request, {}), answer);
  EXPECT_EQ(record().anchor->state.sequence, 4U);
}

TEST_F(BrokerAnchorTest, ARestoreIsAllowedOnceByTheTenant) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(5), "anchored");
  const auto old_receipt = first.receipt;
  at_.now += std::chrono::seconds(60);
  ASSERT_EQ(first.anchor(9, AnchorKind::kClosed), "anchored");
  EXPECT_FALSE(broker::allow_restore_by_receipt(at_.records, kOtherOwner, document_.vm_id,
                                                old_receipt, at_.rules.receipt_roots,
                                                broker::kRestoreLife, at_.act()));
  const auto state =
      broker::allow_restore_by_receipt(at_.records, kTenant, document_.vm_id, old_receipt,
                                       at_.rules.receipt_roots, broker::kRestoreLife, at_.act());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->sequence, 5U);
  auto second = booted(2);
  ASSERT_TRUE(second.released->allowed_restore);
  EXPECT_EQ(second.released->allowed_restore->sequence, 5U);
  ASSERT_EQ(second.anchor(6, AnchorKind::kBoot, true), "anchored") << second.detail;
  EXPECT_EQ(second.anchored->restores, 1U);
  const auto third = booted(3);
  EXPECT_FALSE(third.released->allowed_restore);
  EXPECT_EQ(third.released->restores, 1U);
  EXPECT_EQ(third.released->anchor->sequence, 6U);
}

TEST_F(BrokerAnchorTest, ARestoreByTimeTakesTheAnchorOfThen) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(5), "anchored");
  const auto then = at_.now + std::chrono::seconds(10);
  at_.now += std::chrono::seconds(60);
  ASSERT_EQ(first.anchor(9, AnchorKind::kClosed), "anchored");
  const auto allow = [&](crypto::Time point, std::chrono::seconds life) {
    return broker::allow_restore_of(at_.records, kTenant, document_.vm_id, point, life, at_.act());
  };
  EXPECT_EQ(allow(then, broker::kRestoreLife)->sequence, 5U);
  EXPECT_FALSE(allow(then, broker::kMaxRestoreLife + std::chrono::seconds(1)));
  EXPECT_FALSE(allow(then, std::chrono::seconds(0)));
  EXPECT_FALSE(allow(then - std::chrono::hours(1), broker::kRestoreLife));
}

// The database came back from a backup that knows less than the disks of its VMs.
TEST_F(BrokerAnchorTest, InRecoveryANewerReceiptMovesTheRecordForward) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(5), "anchored");
  ASSERT_EQ(first.anchor(9, AnchorKind::kClosed), "anchored");
  for (const auto* statement : {"UPDATE vm SET a_seq = 5 WHERE vm_id = $1",
                                "DELETE FROM anchor WHERE vm_id = $1 AND seq = 9"}) {
    ASSERT_TRUE(at_.records.sql().execute(statement, {base::copy_of(document_.vm_id)}));
  }
  TestInstance next(at_, document_, 2);
  next.receipt = first.receipt;
  ASSERT_EQ(next.release(), "released");
  EXPECT_EQ(next.released->anchor->sequence, 5U) << "outside recovery a receipt moves nothing";

  at_.rules.recovery_until = at_.now + std::chrono::hours(1);
  TestInstance recovering(at_, document_, 3);
  recovering.receipt = first.receipt;
  ASSERT_EQ(recovering.release(), "released") << recovering.detail;
  EXPECT_EQ(recovering.released->anchor->sequence, 9U);
  EXPECT_GT(recovering.released->epoch, 1U);
}

// Under a new root every VM that carried a receipt of the old one was refused as a forger, when a
// recovery was needed most.
TEST_F(BrokerAnchorTest, InRecoveryAReceiptOfAnEarlierRootCountsOnceThatIsKnown) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(9), "anchored");
  for (const auto* statement : {"UPDATE vm SET a_seq = 5 WHERE vm_id = $1",
                                "DELETE FROM anchor WHERE vm_id = $1 AND seq = 9"}) {
    ASSERT_TRUE(at_.records.sql().execute(statement, {base::copy_of(document_.vm_id)}));
  }
  const auto earlier = at_.rules.receipt_roots;
  const auto root = *broker::make_broker_root(at_.now);
  at_.rules.receipt_roots = {root.certificate.fingerprint()};
  at_.rules.recovery_until = at_.now + std::chrono::hours(1);
  TestInstance second(at_, document_, 2);
  second.receipt = first.receipt;
  ASSERT_EQ(second.release(), "released") << second.detail;
  EXPECT_EQ(second.released->anchor->sequence, 5U);

  at_.rules.receipt_roots.push_back(earlier.front());
  TestInstance third(at_, document_, 3);
  third.receipt = first.receipt;
  ASSERT_EQ(third.release(), "released") << third.detail;
  EXPECT_EQ(third.released->anchor->sequence, 9U);
}

TEST_F(BrokerAnchorTest, InRecoveryAReceiptOfSomebodyElseIsRefused) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(5), "anchored");
  const auto other = document_for(at_, 0xA2);
  register_vm(at_, other);
  at_.rules.recovery_until = at_.now + std::chrono::hours(1);
  TestInstance asking(at_, other);
  asking.receipt = first.receipt;
  EXPECT_EQ(asking.release(), "receipt-other-vm");
  asking.receipt[10] ^= std::byte{1};
  EXPECT_EQ(asking.release(), "receipt-forged");
  at_.now += std::chrono::hours(1);
  EXPECT_EQ(asking.release(), "released") << "the window has closed";
}

TEST_F(BrokerAnchorTest, RefusesMessagesThatDoNotFitThemselves) {
  auto first = booted(1);
  ASSERT_EQ(first.anchor(1), "anchored");
  pb::AnchorRequest good;
  ASSERT_TRUE(good.ParseFromArray(first.sent.data(), static_cast<int>(first.sent.size())));
  const auto word = [&](const std::function<void(pb::AnchorBody&)>& change) {
    auto changed = good;
    pb::AnchorBody body;
    EXPECT_TRUE(body.ParseFromString(good.body()));
    change(body);
    changed.set_body(body.SerializeAsString());
    return first.again(client::Method::kAnchor,
                       base::copy_of(base::bytes_of(changed.SerializeAsString())));
  };
  const auto malformed = StartsWith("request-malformed");
  EXPECT_THAT(word([](auto& b) { b.set_digest("short"); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.set_vm_id("short"); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.set_boot_id("short"); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.set_request_id("short"); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.set_sequence(0); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.clear_kind(); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.set_launch_digest(std::string(49, 'x')); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.set_kind(pb::AnchorBody::CLOSED); }), malformed);
  EXPECT_THAT(word([](auto& b) { b.set_kind(pb::AnchorBody::RENEWAL); }), malformed);
  EXPECT_THAT(word([](auto& b) {
                b.set_kind(pb::AnchorBody::CONDEMNED);
                b.clear_launch_digest();
                b.set_used_restore(true);
              }),
              malformed);
}

// The AK of a TPM that is real, in a VM whose hardware is simulated.
class BrokerCertificationTest : public BrokerAnchorTest {
 protected:
  BrokerCertificationTest()
      : certificates_(*keybroker::store::CertificateDatabase::open(at_.folder / "ca.sqlite")),
        authority_({{keybroker::authority::AkClass::kSimulated,
                     *keybroker::authority::make_issuing_ca(
                         keybroker::authority::AkClass::kSimulated, at_.now)}},
                   certificates_),
        requests_(authority_, certificates_, rules()) {}

  keybroker::authority::ConfidentialRules rules() {
    keybroker::authority::ConfidentialRules made;
    made.policy = at_.rules.evidence.policy;
    made.policy->hcl.own_form = true;
    made.collateral = at_.rules.evidence.collateral;
    made.simulated = at_.rules.evidence.simulated;
    return made;
  }

  strongroom::instance::v1::ConfidentialCertification certification(const TestInstance& of) {
    auto guest = support::booted();
    guest.extended.vm_id = of.document.vm_id;
    guest.extended.launch = of.boot.launch_digest;
    guest.extended.state_protection.mode = protocol::Protection::kBroker;
    guest.runtime.vm.vm_unique_id = protocol::uuid_text(of.document.vm_id);
    std::ranges::copy(of.boot.launch_digest, guest.report.host_data.begin());
    const auto shown = guest.evidence();
    const auto& chain = shown.snp_certificates;
    strongroom::instance::v1::ConfidentialCertification asked;
    asked.set_hcl_report(field(*shown.hcl_report));
    asked.set_extended_claims(*shown.extended_claims);
    asked.set_certificate_table(
        field(evidence::encode_snp_certificates({{evidence::kVcekGuid, chain.at(0).der()},
                                                 {evidence::kAskGuid, chain.at(1).der()},
                                                 {evidence::kArkGuid, chain.at(2).der()}})));
    return asked;
  }

  std::string notify(TestInstance& of, client::Notice notice) {
    of.certifiers = {nullptr, &requests_};
    const auto request = client::AnchorRequest::make(of.boot, of.released->epoch,
                                                     of.released->boot_key, std::move(notice));
    auto outcome = request->send(of, {});
    if (!outcome) {
      return outcome.error().message;
    }
    if (auto* refused = std::get_if<client::Refusal>(&*outcome)) {
      return refused->reason;
    }
    of.anchored = std::move(std::get<client::Anchored>(*outcome));
    if (!of.anchored->certificates && !of.anchored->certification_refusal) {
      return of.anchored->wants_certification ? "wanted" : "noted";
    }
    return of.anchored->certificates ? "certified" : of.anchored->certification_refusal->reason();
  }

  client::Notice first_notice(const TestInstance& of) {
    client::Notice notice{AnchorKind::kBoot, 1, {}, false, certification(of)};
    notice.digest.fill(std::byte{1});
    return notice;
  }

  keybroker::store::CertificateDatabase certificates_;
  keybroker::authority::Authority authority_;
  keybroker::authority::InstanceRequests requests_;
};

TEST_F(BrokerCertificationTest, TheFirstAnchorBringsACertificateThatNamesTheEpoch) {
  auto before = booted(1);
  auto asking = booted(2);
  ASSERT_EQ(notify(asking, first_notice(asking)), "certified");
  const auto certificate =
      *crypto::Certificate::decode(base::bytes_of(asking.anchored->certificates->ak()));
  const auto statement = evidence::ak_statement_of(certificate);
  ASSERT_TRUE(statement);
  EXPECT_EQ(statement->vm_id, document_.vm_id);
  EXPECT_EQ(statement->epoch, 2U);
  EXPECT_EQ(statement->protection, protocol::Protection::kBroker);
  EXPECT_EQ(record().ak_name, statement->ak_name);
  // The boot that is fenced gets none, neither at an anchor nor by a renewal.
  EXPECT_EQ(notify(before, first_notice(before)), "anchor-fenced");
  client::Notice renewal{AnchorKind::kRenewal, 0, {}, false, certification(before)};
  EXPECT_EQ(notify(before, renewal), "anchor-fenced");
  EXPECT_EQ(notify(asking, renewal), "certified");
  EXPECT_TRUE(asking.anchored->receipt.empty());
  EXPECT_EQ(record().anchor->state.sequence, 1U);
}

// A certificate and why there is none once left no line in the log.
TEST_F(BrokerCertificationTest, EachCertificationIsInTheLogWithItsCertificatesOrWhyNot) {
  const auto lines = [this](const std::string& kind) {
    store::LogQuery query;
    query.subject = store::vm_subject(document_.vm_id);
    query.kind = kind;
    return *at_.records.log(query);
  };
  auto asking = booted(1);
  ASSERT_EQ(notify(asking, first_notice(asking)), "certified");
  ASSERT_EQ(lines("certified").size(), 1U);
  EXPECT_THAT(lines("certified")[0].content,
              HasSubstr(base::to_hex(
                  vmgs::crypto::sha256(base::bytes_of(asking.anchored->certificates->ak())))));
  client::Notice renewal{AnchorKind::kRenewal, 0, {}, false, certification(asking)};
  ASSERT_EQ(notify(asking, renewal), "certified");
  EXPECT_EQ(lines("certified").size(), 2U);

  renewal.certification->set_extended_claims("{}");
  EXPECT_THAT(notify(asking, renewal), HasSubstr("no AK certificate"));
  ASSERT_EQ(lines("not-certified").size(), 1U);
  EXPECT_THAT(lines("not-certified")[0].content, HasSubstr("no AK certificate"));
}

TEST_F(BrokerCertificationTest, WhatIsNotCertifiedIsAnchoredAllTheSame) {
  auto asking = booted(1);
  auto notice = first_notice(asking);
  notice.certification->set_extended_claims("{}");
  EXPECT_THAT(notify(asking, notice), HasSubstr("no AK certificate"));
  EXPECT_FALSE(asking.anchored->receipt.empty());
  EXPECT_EQ(record().anchor->state.sequence, 1U);
}

// No authority is there, and nothing is certified.
TEST_F(BrokerAnchorTest, AnAnchorUnderTheNewLaunchAloneEndsAConversion) {
  auto old_boot = booted(1);
  auto registrar = at_.registrar();
  auto changed = document_;
  changed.offline_rule = protocol::OfflineRule::kAllow;
  ASSERT_TRUE(
      broker::convert_vm(registrar, kTenant, *protocol::encode(changed), std::nullopt, at_.act()));
  ASSERT_EQ(old_boot.release(), "released");
  ASSERT_EQ(old_boot.anchor(1), "anchored");
  EXPECT_EQ(record().status, store::VmStatus::kConverting) << "it ran under the launch before";
  TestInstance new_boot(at_, changed, 2);
  ASSERT_EQ(new_boot.release(), "released") << new_boot.detail;
  EXPECT_EQ(record().status, store::VmStatus::kConverting) << "it may die before its first commit";

  ASSERT_EQ(new_boot.anchor(2), "anchored");

  EXPECT_EQ(record().status, store::VmStatus::kActive);
  EXPECT_EQ(record().registration.origin, store::Origin::kOwn);
  EXPECT_EQ(old_boot.release(), "launch-document-other");
  EXPECT_EQ(new_boot.anchor(3, AnchorKind::kClosed), "anchored");
}

// An offline boot that the broker finds out about when it is back.
TEST_F(BrokerCertificationTest, WhatACondemnedBootMayHaveShownIsRevoked) {
  auto honest = booted(1);
  auto notice = first_notice(honest);
  notice.sequence = 7;
  ASSERT_EQ(notify(honest, notice), "certified");
  const auto certificate =
      *crypto::Certificate::decode(base::bytes_of(honest.anchored->certificates->ak()));
  const auto crl = [&] {
    return *authority_.crl(keybroker::authority::AkClass::kSimulated, at_.now);
  };
  const auto newest = [&] {
    store::LogQuery query;
    query.subject = store::vm_subject(document_.vm_id);
    query.most = 1;
    return at_.records.log(query)->at(0);
  };
  auto on_old_copy = booted(2);
  client::Notice condemned{AnchorKind::kCondemned, 3};

  EXPECT_EQ(notify(honest, condemned), "anchor-fenced");
  EXPECT_FALSE(crl().revokes(certificate)) << "only the owner says so";
  ASSERT_EQ(notify(on_old_copy, condemned), "noted");

  EXPECT_TRUE(on_old_copy.anchored->receipt.empty());
  EXPECT_TRUE(crl().revokes(certificate));
  EXPECT_EQ(newest().kind, "refused");
  EXPECT_EQ(newest().reason, "stale-state");
  EXPECT_EQ(record().anchor->state.sequence, 7U);
  condemned.sequence = 8;
  ASSERT_EQ(notify(on_old_copy, condemned), "noted");
  EXPECT_EQ(newest().reason, "forked-state");

  // The next one brings the same AK and a certificate that nobody should believe.
  auto next = booted(3);
  client::Notice plain{AnchorKind::kBoot, 9};
  EXPECT_EQ(notify(next, plain), "wanted");
  client::Notice renewal{AnchorKind::kRenewal, 0, {}, false, certification(next)};
  ASSERT_EQ(notify(next, renewal), "certified");
  EXPECT_FALSE(crl().revokes(
      *crypto::Certificate::decode(base::bytes_of(next.anchored->certificates->ak()))));
  plain.sequence = 10;
  EXPECT_EQ(notify(next, plain), "noted");
}

TEST_F(BrokerCertificationTest, TheFirstAnchorUnderTheNewLaunchEndsAConversion) {
  auto old_boot = booted(1);
  auto registrar = at_.registrar();
  auto changed = document_;
  changed.offline_rule = protocol::OfflineRule::kAllow;
  const auto converted =
      broker::convert_vm(registrar, kTenant, *protocol::encode(changed), std::nullopt, at_.act());
  ASSERT_TRUE(converted) << converted.error().message;
  EXPECT_THAT(converted->changes, ::testing::ElementsAre("offline_rule: deny -> allow"));
  EXPECT_EQ(old_boot.release(), "released") << "the launch before still counts";
  EXPECT_EQ(notify(old_boot, first_notice(old_boot)), "certified");
  EXPECT_EQ(record().status, store::VmStatus::kConverting);
  TestInstance new_boot(at_, changed, 2);
  ASSERT_EQ(new_boot.release(), "released") << new_boot.detail;
  EXPECT_TRUE(
      new_boot.released->vm_key.bytes.equals_in_constant_time(old_boot.released->vm_key.bytes));
  auto notice = first_notice(new_boot);
  notice.sequence = 2;
  EXPECT_EQ(notify(new_boot, notice), "certified");
  EXPECT_EQ(record().status, store::VmStatus::kActive);
  EXPECT_EQ(old_boot.release(), "launch-document-other");
}

}  // namespace
}  // namespace tests::integration
