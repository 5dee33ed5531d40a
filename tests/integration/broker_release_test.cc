// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "keybroker/broker/challenge.h"
#include "keybroker/broker/policy_trial.h"
#include "keybroker/crypto/key_transfer.h"
#include "keybroker/protocol/broker.pb.h"
#include "keybroker/protocol/uuid.h"
#include "tests/integration/broker_release_case.h"
#include "vmgs/crypto/digest.h"

// Key releases, from the instance's own client to the record store. Each test spoils one thing of a
// request that is granted.
namespace tests::integration {
namespace {

namespace pb = strongroom::broker::v1;
using protocol::TeeFamily;
using ::testing::HasSubstr;

using BrokerReleaseTest = BrokerReleaseCase;

TEST_F(BrokerReleaseTest, ReleasesTheSameKeyToEachBootAndABootKeyOfItsOwn) {
  auto first = instance(1);
  ASSERT_EQ(first.release(), "released") << first.detail;
  EXPECT_EQ(first.released->epoch, 1U);
  EXPECT_EQ(first.released->key_version, 1U);
  EXPECT_FALSE(first.released->anchor);
  EXPECT_FALSE(first.released->vm_key.bytes.is_all_zero());
  auto second = instance(2);
  ASSERT_EQ(second.release(), "released") << second.detail;
  EXPECT_EQ(second.released->epoch, 2U);
  EXPECT_TRUE(second.released->vm_key.bytes.equals_in_constant_time(first.released->vm_key.bytes));
  EXPECT_FALSE(
      second.released->boot_key.bytes.equals_in_constant_time(first.released->boot_key.bytes));
  EXPECT_FALSE(
      second.released->vm_key.bytes.equals_in_constant_time(second.released->boot_key.bytes));
}

TEST_F(BrokerReleaseTest, ReleasesToATdByEitherTransferAlgorithm) {
  const auto document = document_for(at_, 0xB2, TeeFamily::kTdx);
  register_vm(at_, document);
  TestInstance td(at_, document);
  td.boot.transfer_algorithm = protocol::TransferAlgorithm::kRsa3072OaepSha384;
  ASSERT_EQ(td.release(), "released") << td.detail;
  TestInstance again(at_, document, 2);
  ASSERT_EQ(again.release(), "released") << again.detail;
  EXPECT_TRUE(again.released->vm_key.bytes.equals_in_constant_time(td.released->vm_key.bytes));
}

TEST_F(BrokerReleaseTest, EachVmHasAKeyOfItsOwn) {
  const auto other = document_for(at_, 0xA2);
  register_vm(at_, other);
  auto a = instance();
  TestInstance b(at_, other);
  ASSERT_EQ(a.release(), "released");
  ASSERT_EQ(b.release(), "released");
  EXPECT_FALSE(a.released->vm_key.bytes.equals_in_constant_time(b.released->vm_key.bytes));
}

TEST_F(BrokerReleaseTest, ANewAttemptOfOneBootKeepsItsEpoch) {
  auto asking = instance();
  ASSERT_EQ(asking.release(), "released");
  ASSERT_EQ(asking.release(), "released");
  EXPECT_EQ(asking.released->epoch, 1U);
}

TEST_F(BrokerReleaseTest, ARepeatedRequestGetsItsOutcomeAndMovesNothing) {
  auto asking = instance();
  ASSERT_EQ(asking.release(), "released");
  const auto request = asking.sent;
  EXPECT_EQ(asking.again(client::Method::kRelease, request), "released");
  EXPECT_EQ(at_.records.vm(document_.vm_id)->epoch, 1U);
  // Other bytes under the same id are another request: here a report that is not looked at twice.
  pb::ReleaseRequest other;
  ASSERT_TRUE(other.ParseFromArray(request.data(), static_cast<int>(request.size())));
  other.set_receipt("something else");
  const auto bytes = other.SerializeAsString();
  EXPECT_EQ(asking.again(client::Method::kRelease, base::copy_of(base::bytes_of(bytes))),
            "request-id-used");
}

TEST_F(BrokerReleaseTest, RefusesAVmThatNobodyRegistered) {
  TestInstance stranger(at_, document_for(at_, 0xEE));
  EXPECT_EQ(stranger.release(), "vm-unregistered");
}

TEST_F(BrokerReleaseTest, RefusesADisabledAndADeletedVm) {
  ASSERT_TRUE(broker::set_enabled(at_.records, kTenant, document_.vm_id, false, at_.act()));
  auto asking = instance();
  EXPECT_EQ(asking.release(), "vm-disabled");
  ASSERT_TRUE(broker::set_enabled(at_.records, kTenant, document_.vm_id, true, at_.act()));
  EXPECT_EQ(asking.release(), "released");
  ASSERT_TRUE(broker::delete_vm(at_.records, kTenant, document_.vm_id, at_.act()));
  EXPECT_EQ(asking.release(), "vm-deleted");
}

TEST_F(BrokerReleaseTest, RefusesAReplayedChallenge) {
  auto asking = instance();
  ASSERT_EQ(asking.release(), "released");
  pb::ReleaseRequest request;
  ASSERT_TRUE(request.ParseFromArray(asking.sent.data(), static_cast<int>(asking.sent.size())));
  request.set_request_id(std::string(16, 'x'));
  const auto bytes = request.SerializeAsString();
  EXPECT_EQ(asking.again(client::Method::kRelease, base::copy_of(base::bytes_of(bytes))),
            "challenge-used");
}

TEST_F(BrokerReleaseTest, RefusesAnExpiredChallenge) {
  auto asking = instance();
  asking.on_the_way = [&](client::Method method, base::Bytes&) {
    if (method == client::Method::kRelease) {
      at_.now += broker::kChallengeLife;
    }
  };
  EXPECT_EQ(asking.release(), "challenge-expired");
}

// The claims of a VM with a challenge that was given to another.
TEST_F(BrokerReleaseTest, RefusesAChallengeOfAnotherVmAndOfNobody) {
  const auto other = document_for(at_, 0xA2);
  register_vm(at_, other);
  auto asking = instance();
  asking.on_the_way = [&](client::Method method, base::Bytes& message) {
    if (method == client::Method::kChallenge) {
      pb::ChallengeRequest changed;
      changed.set_vm_id(std::string(16, '\xA2'));
      message = base::copy_of(base::bytes_of(changed.SerializeAsString()));
    }
  };
  EXPECT_EQ(asking.release(), "challenge-other-vm");

  asking.on_the_way = nullptr;
  TestBroker elsewhere;
  TestInstance deceived(elsewhere, document_);
  deceived.boot.belief = asking.boot.belief;
  const auto begun = client::Release::begin(deceived, deceived.boot, {});
  ASSERT_TRUE(begun);
  const auto shown = asking.shows(asking.boot.launch_digest, begun->report_data());
  const auto outcome = begun->request(asking, shown, {}, {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(std::get<client::Refusal>(*outcome).reason, "challenge-unknown");
  EXPECT_TRUE(std::get<client::Refusal>(*outcome).begin_again);
}

TEST_F(BrokerReleaseTest, RefusesAReportOfOlderClaims) {
  auto asking = instance();
  client::ShownEvidence first;
  asking.shows = [&](base::ByteView launch, base::ByteView report_data) {
    if (first.report.empty()) {
      first = show_snp(launch, report_data);
    }
    return first;
  };
  ASSERT_EQ(asking.release(), "released");
  EXPECT_EQ(asking.release(), "report-data-mismatch");
}

TEST_F(BrokerReleaseTest, RefusesAnotherTransferKeyThanTheReportCommitsTo) {
  auto asking = instance();
  const auto attackers =
      crypto::TransferKey::generate(crypto::TransferAlgorithm::kEcdhP384)->public_key().spki();
  asking.on_the_way = [&](client::Method method, base::Bytes& message) {
    if (method != client::Method::kRelease) {
      return;
    }
    pb::ReleaseRequest request;
    ASSERT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    auto claims = *protocol::decode_release_claims(base::bytes_of(request.claims()));
    claims.transfer_key = attackers;
    const auto encoded = *protocol::encode(claims);
    request.set_claims(encoded.data(), encoded.size());
    message = base::copy_of(base::bytes_of(request.SerializeAsString()));
  };
  // The instance takes no answer to a request that it did not send; what counts is that no key
  // left.
  EXPECT_NE(asking.release(), "released");
  EXPECT_EQ(word_in(asking.answer), "report-data-mismatch");
}

TEST_F(BrokerReleaseTest, RefusesAReportThatAGuestCanAskFor) {
  const auto as_guest = [](base::ByteView report_data) {
    base::Bytes visible(64);
    std::ranges::copy(vmgs::crypto::sha256(report_data), visible.begin());
    return visible;
  };
  auto asking = instance();
  asking.shows = [&](base::ByteView launch, base::ByteView report_data) {
    return show_snp(launch, as_guest(report_data));
  };
  EXPECT_EQ(asking.release(), "guest-report");

  const auto document = document_for(at_, 0xB2, TeeFamily::kTdx);
  register_vm(at_, document);
  TestInstance td(at_, document);
  td.shows = [&](base::ByteView launch, base::ByteView report_data) {
    return show_td(launch, as_guest(report_data));
  };
  EXPECT_EQ(td.release(), "guest-report");
}

TEST_F(BrokerReleaseTest, RefusesReportsOfTheGuestsOwnLevels) {
  at_.rules.evidence.policy.snp.vmpls = {0, 1, 2, 3};
  for (const std::uint32_t vmpl : {1U, 2U, 3U}) {
    auto asking = instance();
    asking.machine.vmpl = vmpl;
    EXPECT_EQ(asking.release(), "snp-vmpl-refused") << vmpl;
  }
}

// Whatever the broker's own policy says of debugging.
TEST_F(BrokerReleaseTest, RefusesDebugging) {
  at_.rules.evidence.policy.snp.allow_debug = true;
  at_.rules.evidence.policy.tdx.allow_debug = true;
  auto asking = instance();
  asking.machine.debug = true;
  EXPECT_EQ(asking.release(), "snp-debug-allowed");
  const auto document = document_for(at_, 0xB2, TeeFamily::kTdx);
  register_vm(at_, document);
  TestInstance td(at_, document);
  td.machine.debug = true;
  EXPECT_EQ(td.release(), "tdx-debug");
}

TEST_F(BrokerReleaseTest, RefusesAnOlderTcbThanTheFloor) {
  keybroker::evidence::TcbVersion floor;
  floor.microcode = 220;  // the machines here have 219
  at_.rules.evidence.policy.snp.min_tcb[keybroker::evidence::SnpProduct::kGenoa] = floor;
  auto asking = instance();
  EXPECT_EQ(asking.release(), "snp-tcb-too-low");
}

TEST_F(BrokerReleaseTest, RefusesASimulatorUnderProductionRoots) {
  const auto document = document_for(at_, 0xA3);
  auto registrar = at_.registrar();
  auto vm = new_vm(at_, document);
  vm.root_class = keybroker::evidence::RootClass::kProduction;
  ASSERT_TRUE(broker::register_vm(registrar, kTenant, vm, at_.act()));
  TestInstance asking(at_, document);
  EXPECT_EQ(asking.release(), "simulated-in-production");
}

TEST_F(BrokerReleaseTest, ABrokerWithoutASimulatorBelievesNone) {
  at_.rules.evidence.simulated.reset();
  auto asking = instance();
  EXPECT_EQ(asking.release(), "simulated-not-accepted");
}

// Same image, same chip, and all that VM B can do: it claims to be A in its own claims, which its
// own report commits to.
TEST_F(BrokerReleaseTest, RefusesVmBThatClaimsToBeA) {
  const auto document_b = document_for(at_, 0xA2);
  register_vm(at_, document_b);
  TestInstance b(at_, document_b);
  const auto digest_b = b.boot.launch_digest;
  b.boot.belief.vm_id = document_.vm_id;
  EXPECT_EQ(b.release(), "launch-document-other");
  b.boot.launch_digest = instance().boot.launch_digest;
  b.shows = [&](base::ByteView, base::ByteView report_data) {
    return show_snp(digest_b, report_data);
  };
  EXPECT_EQ(b.release(), "snp-host-data-unknown");
}

TEST_F(BrokerReleaseTest, RefusesASwappedLaunchDocument) {
  const auto other_root = *broker::make_broker_root(at_.now);
  auto pin = document_;
  pin.broker_root_hashes = {other_root.certificate.fingerprint()};
  auto mode = document_;
  mode.protection = protocol::Protection::kHardware;
  auto offline = document_;
  offline.offline_rule = protocol::OfflineRule::kAllow;
  for (const auto& swapped : {pin, mode, offline}) {
    TestInstance asking(at_, swapped);
    EXPECT_EQ(asking.release(), "launch-document-other");
  }
  auto td = document_;
  td.tee_family = TeeFamily::kTdx;
  TestInstance asking(at_, td);
  EXPECT_EQ(asking.release(), "tee-other");
}

TEST_F(BrokerReleaseTest, APolicyThatDeniesNamesTheClauseInTheLogAndNotInTheAnswer) {
  const auto denying = at_.put(kDenying);
  ASSERT_TRUE(broker::set_policies(at_.records, kTenant, document_.vm_id, std::span(&denying, 1),
                                   at_.act()));
  auto asking = instance();
  EXPECT_EQ(asking.release(), "policy-denied");
  EXPECT_THAT(asking.detail, ::testing::Not(HasSubstr("strongroom-measurement")));
  const auto line = last_line(document_.vm_id);
  EXPECT_EQ(line.kind, "refused");
  EXPECT_EQ(line.reason, "policy-denied");
  EXPECT_THAT(line.content, HasSubstr(R"("decided_by":"anyOf[0].allOf[2]")"));
  EXPECT_THAT(line.content, HasSubstr("strongroom-measurement"));
  EXPECT_THAT(line.content, HasSubstr("host-1"));
  // What another policy would have said of the same claims.
  const auto allowing = *keybroker::policy::parse_release_policy(
      kAllowing, keybroker::policy::Compatibility::kStrict);
  const auto tried = broker::try_policy(at_.records, kTenant, document_.vm_id, line.sequence,
                                        allowing, {kAuthorityName});
  ASSERT_TRUE(tried) << tried.error().message;
  EXPECT_TRUE(tried->allowed);
}

TEST_F(BrokerReleaseTest, EveryOwnerHasToAllow) {
  const auto document = document_for(at_, 0xA4);
  auto registrar = at_.registrar();
  auto vm = new_vm(at_, document);
  vm.policies.push_back({kOtherOwner, at_.put(kAllowing)});
  ASSERT_TRUE(broker::register_vm(registrar, kTenant, vm, at_.act()));
  TestInstance asking(at_, document);
  EXPECT_EQ(asking.release(), "released");
  const auto denying = at_.put(kDenying);
  ASSERT_TRUE(broker::set_policies(at_.records, kOtherOwner, document.vm_id, std::span(&denying, 1),
                                   at_.act()));
  EXPECT_EQ(asking.release(), "policy-denied");
  EXPECT_THAT(asking.detail, HasSubstr(protocol::uuid_text(kOtherOwner)));
}

TEST_F(BrokerReleaseTest, AnExecutionPolicyHasToBeTheOneOfTheLaunchDocument) {
  const auto text = base::copy_of(base::bytes_of("package agent_policy"));
  auto document = document_for(at_, 0xA5);
  document.policy_digest = vmgs::crypto::sha256(text);
  auto registrar = at_.registrar();
  auto vm = new_vm(at_, document);
  vm.execution_policy = text;
  ASSERT_TRUE(broker::register_vm(registrar, kTenant, vm, at_.act()));
  TestInstance asking(at_, document);
  ASSERT_EQ(asking.release(), "released") << asking.detail;
  // A registration that the broker itself would not have made, in the place of this one.
  const auto alter = [&](const std::optional<base::Bytes>& to) {
    auto launch = at_.records.vm(document.vm_id)->registration.launch;
    launch.execution_policy = to;
    const auto version = at_.records.vm(document.vm_id)->conf_version;
    ASSERT_TRUE(at_.records.convert(document.vm_id, version, launch, at_.now, at_.act()));
    ASSERT_TRUE(at_.records.confirm_conversion(document.vm_id, version + 1, at_.act()));
  };
  alter(base::copy_of(base::bytes_of("package another_policy")));
  EXPECT_EQ(asking.release(), "execution-policy-altered");
  alter(std::nullopt);
  EXPECT_EQ(asking.release(), "execution-policy-missing");
}

TEST_F(BrokerReleaseTest, TwoFirstBootsAtOnceHaveOneOwner) {
  auto one = instance(1);
  auto two = instance(2);
  // Mints and policies are made before, so that the threads meet where they should.
  const auto launch = one.boot.launch_digest;
  std::vector<std::string> words(2);
  {
    std::jthread first([&] { words[0] = one.release(); });
    std::jthread second([&] { words[1] = two.release(); });
  }
  ASSERT_THAT(words, ::testing::Each("released"));
  EXPECT_EQ(one.released->epoch + two.released->epoch, 3U);
  auto& owner = one.released->epoch == 2 ? one : two;
  auto& fenced = one.released->epoch == 2 ? two : one;
  EXPECT_EQ(fenced.anchor(1), "anchor-fenced");
  EXPECT_EQ(owner.anchor(1), "anchored");
}

TEST_F(BrokerReleaseTest, OversizedMessagesAreRefusedBeforeAnythingElse) {
  auto asking = instance();
  ASSERT_EQ(asking.release(), "released");
  pb::ReleaseRequest good;
  ASSERT_TRUE(good.ParseFromArray(asking.sent.data(), static_cast<int>(asking.sent.size())));
  const auto word = [&](const std::function<void(pb::ReleaseRequest&)>& change) {
    auto changed = good;
    change(changed);
    return asking.again(client::Method::kRelease,
                        base::copy_of(base::bytes_of(changed.SerializeAsString())));
  };
  const auto too_large = [](std::size_t most) { return std::string(most + 1, 'x'); };
  const auto large = ::testing::StartsWith("request-too-large");
  EXPECT_THAT(
      asking.again(client::Method::kRelease, base::Bytes(broker::kMaxReleaseRequestBytes + 1)),
      large);
  EXPECT_THAT(word([&](auto& r) { r.set_claims(too_large(protocol::kMaxReleaseClaimsBytes)); }),
              large);
  EXPECT_THAT(word([&](auto& r) { r.set_report(too_large(broker::kMaxReportBytes)); }), large);
  EXPECT_THAT(
      word([&](auto& r) { r.set_certificate_table(too_large(broker::kMaxCertificateTableBytes)); }),
      large);
  EXPECT_THAT(word([&](auto& r) { r.set_receipt(too_large(broker::kMaxReceiptBytes)); }), large);
  const auto malformed = ::testing::StartsWith("request-malformed");
  EXPECT_THAT(word([&](auto& r) { r.set_request_id("short"); }), malformed);
  EXPECT_THAT(word([&](auto& r) { r.clear_claims(); }), malformed);
  EXPECT_THAT(asking.again(client::Method::kRelease, base::Bytes(7, std::byte{0xFF})), malformed);
  EXPECT_THAT(
      asking.again(client::Method::kAnchor, base::Bytes(broker::kMaxAnchorRequestBytes + 1)),
      large);
}

TEST_F(BrokerReleaseTest, RefusesACertificateTableThatIsNone) {
  auto asking = instance();
  asking.shows = [&](base::ByteView launch, base::ByteView report_data) {
    auto shown = show_snp(launch, report_data);
    shown.certificate_table.resize(30, std::byte{1});
    return shown;
  };
  EXPECT_EQ(asking.release(), "certificate-table-malformed");
}

TEST_F(BrokerReleaseTest, AHostThatAsksAllTheTimeHasToWait) {
  std::string word;
  auto asking = instance();
  int releases = 0;
  while (releases < 20 && (word = asking.release()) == "released") {
    ++releases;
  }
  EXPECT_EQ(releases, 8);  // two requests each
  EXPECT_THAT(word, HasSubstr("too-many-requests"));
  at_.now += std::chrono::seconds(4);
  EXPECT_EQ(asking.release(), "released");
}

TEST_F(BrokerReleaseTest, AnAnswerIsToItsRequestItsKeyAndItsVmOnly) {
  auto asking = instance();
  ASSERT_EQ(asking.release(), "released");
  const auto request = asking.sent;
  const auto answer = asking.answer;
  const auto begun = client::Release::begin(asking, asking.boot, {});
  ASSERT_TRUE(begun);
  // Another attempt has another key and other claims.
  EXPECT_FALSE(begun->open(answer, request));
  // One bit of the request, and of each part of the answer.
  auto other = request;
  other.back() ^= std::byte{1};
  ASSERT_EQ(asking.release(), "released");
  for (std::size_t at = 0; at < asking.answer.size(); at += 97) {
    auto forged = asking.answer;
    forged[at] ^= std::byte{1};
    const auto opened = begun->open(forged, asking.sent);
    EXPECT_FALSE(opened && std::holds_alternative<client::Released>(*opened)) << at;
  }
}

// A broker under another root is believed by nobody who does not name it.
TEST_F(BrokerReleaseTest, AnAnswerUnderARootThatIsNotPinnedIsNone) {
  auto asking = instance();
  asking.boot.belief.broker_roots = {broker::make_broker_root(at_.now)->certificate.fingerprint()};
  EXPECT_THAT(asking.release(), HasSubstr("not believed"));
}

TEST_F(BrokerReleaseTest, WritesDownWhatAPolicyCanBeTriedOnLater) {
  auto asking = instance();
  ASSERT_EQ(asking.release(), "released");
  const auto line = last_line(document_.vm_id);
  EXPECT_EQ(line.kind, "claimed");
  EXPECT_THAT(line.content, HasSubstr("strongroom-root-class"));
  EXPECT_THAT(line.content, HasSubstr("evidence_sha256"));
  EXPECT_THAT(line.content, HasSubstr(R"("owner":")" + protocol::uuid_text(kTenant)));
  const auto tried = [&](const std::string& text, const protocol::Uuid& tenant) {
    using namespace keybroker::policy;
    return broker::try_policy(at_.records, tenant, document_.vm_id, line.sequence,
                              *parse_release_policy(text, Compatibility::kStrict),
                              {kAuthorityName});
  };
  const auto allowed = tried(kAllowing, kTenant);
  ASSERT_TRUE(allowed) << allowed.error().message;
  EXPECT_TRUE(allowed->allowed);
  const auto denied = tried(kDenying, kTenant);
  ASSERT_TRUE(denied);
  EXPECT_FALSE(denied->allowed);
  EXPECT_EQ(denied->decided_by(), "anyOf[0].allOf[2]");
  EXPECT_FALSE(tried(kAllowing, kOtherOwner));
}

}  // namespace
}  // namespace tests::integration
