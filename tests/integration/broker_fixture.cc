// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/broker_fixture.h"

#include <algorithm>

#include "keybroker/broker/answer.h"
#include "keybroker/broker/worker.h"
#include "keybroker/protocol/broker.pb.h"
#include "tests/support/simulated_mints.h"
#include "vmgs/crypto/random.h"

namespace tests::integration {

namespace {

namespace pb = strongroom::broker::v1;
namespace evidence = keybroker::evidence;

std::string policy_with(const std::string& test) {
  return R"({"version":"1.0.0","anyOf":[{"authority":")" + kAuthorityName +
         R"(","allOf":[{"claim":"strongroom-root-class","equals":"simulated"},)" +
         R"({"claim":"strongroom-debug","equals":false},)" + test + "]}]}";
}

broker::EvidenceRules evidence_rules() {
  broker::EvidenceRules rules;
  rules.policy.snp.measurements = evidence::Expectation::any();
  rules.policy.tdx.mr_td = evidence::Expectation::any();
  evidence::Collateral collateral;
  std::vector<evidence::SlottedRoot> roots;
  add_snp(collateral, roots);
  add_tdx(collateral, roots);
  rules.simulated = *evidence::TrustStore::simulated(roots);
  rules.collateral = [collateral](evidence::Evidence&) -> base::Result<evidence::Collateral> {
    return collateral;
  };
  return rules;
}

std::unique_ptr<keybroker::hsm::SoftwareKeys> software_keys() {
  std::vector<keybroker::hsm::MasterKey> masters;
  masters.push_back({1, *vmgs::crypto::random_secret<32>()});
  return std::make_unique<keybroker::hsm::SoftwareKeys>(
      *keybroker::hsm::SoftwareKeys::create(std::move(masters)));
}

broker::BrokerRules rules_under(const broker::BrokerRoot& root, crypto::Time now) {
  auto signer = *broker::make_answer_key(root, now)->signer();
  const auto pinned = signer.root();
  return {*broker::ClusterSecrets::generate(),
          std::move(signer),
          {pinned},
          evidence_rules(),
          {kAuthorityName}};
}

}  // namespace

const std::string kAllowing = policy_with(R"({"claim":"strongroom-tee","in":["sev-snp","tdx"]})");
const std::string kDenying = policy_with(R"({"claim":"strongroom-measurement","equals":"00"})");

TestBroker::TestBroker(Connect its_connect)
    : connect(std::move(its_connect)),
      root(*broker::make_broker_root(support::mint_begin())),
      rules(rules_under(root, support::mint_begin())),
      keys(software_keys()),
      records(open()),
      now(support::mint_begin()) {
  EXPECT_TRUE(records.create_tenant({.tenant_id = kTenant, .name = "tenant"}, act()));
  EXPECT_TRUE(records.create_tenant({.tenant_id = kOtherOwner, .name = "other owner"}, act()));
  EXPECT_TRUE(records.add_kek(broker::kek_of(*keys->make(kTenant, "state"), 1), act()));
}

store::BrokerRecords TestBroker::open() const {
  auto sql = connect ? connect() : store::open_sqlite(folder / "broker.sqlite");
  return *store::BrokerRecords::over(*std::move(sql),
                                     store::RecordSeal::under(base::Secret<32>::zero()));
}

broker::Registrar TestBroker::registrar() {
  return {records, *keys, root.certificate.fingerprint()};
}

store::Act TestBroker::act() {
  store::Act made;
  EXPECT_TRUE(vmgs::crypto::random_bytes(made.request_id));
  made.now = now;
  return made;
}

protocol::Sha256Digest TestBroker::put(const std::string& policy) {
  const auto stored =
      broker::put_policy(records, policy, keybroker::policy::Compatibility::kStrict, now);
  EXPECT_TRUE(stored) << stored.error().message;
  return stored->digest;
}

protocol::LaunchDocument document_for(const TestBroker& at, std::uint8_t vm,
                                      protocol::TeeFamily family) {
  protocol::LaunchDocument document;
  document.vm_id.fill(std::byte{vm});
  document.tenant = kTenant;
  document.tee_family = family;
  document.broker_root_hashes = {at.root.certificate.fingerprint()};
  document.protection = protocol::Protection::kBroker;
  document.anchor_class = protocol::AnchorClass::kBoot;
  return document;
}

broker::NewVm new_vm(TestBroker& at, const protocol::LaunchDocument& document) {
  broker::NewVm vm;
  vm.launch_document = *protocol::encode(document);
  vm.root_class = evidence::RootClass::kSimulated;
  vm.policies = {{kTenant, at.put(kAllowing)}};
  return vm;
}

void register_vm(TestBroker& at, const protocol::LaunchDocument& document) {
  auto registrar = at.registrar();
  const auto made = broker::register_vm(registrar, kTenant, new_vm(at, document), at.act());
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_TRUE(*made);
}

TestInstance::TestInstance(TestBroker& its_broker, protocol::LaunchDocument its_document,
                           std::uint8_t its_boot)
    : at(its_broker), document(std::move(its_document)), thread(at) {
  boot.belief.vm_id = document.vm_id;
  boot.belief.broker_roots = {at.root.certificate.fingerprint()};
  boot.boot_id.fill(std::byte{its_boot});
  boot.launch_digest = base::copy_of(
      protocol::launch_digest(*protocol::encode(document), document.tee_family).bytes);
  if (document.tee_family == protocol::TeeFamily::kSevSnp) {
    boot.launch_digest.resize(32);
  }
  shows = [this](base::ByteView launch, base::ByteView report_data) {
    return document.tee_family == protocol::TeeFamily::kSevSnp
               ? show_snp(launch, report_data, machine)
               : show_td(launch, report_data, machine);
  };
}

base::Result<base::Bytes> TestInstance::call(client::Method method, base::ByteView message,
                                             const std::stop_token&) {
  if (is_cut_off) {
    return base::fail(base::ErrorCode::kUnavailable, "the broker is out of reach");
  }
  auto bytes = base::copy_of(message);
  if (on_the_way) {
    on_the_way(method, bytes);
  }
  auto& worker = thread.worker;
  if (method == client::Method::kChallenge) {
    return broker::answer_challenge(worker, "host-1", bytes, at.now);
  }
  sent = bytes;
  auto answered = method == client::Method::kRelease
                      ? broker::answer_release(worker, "host-1", bytes, at.now)
                      : broker::answer_anchor(worker, certifiers, "host-1", bytes, at.now);
  answer = answered ? *answered : base::Bytes();
  return answered;
}

std::string TestInstance::release() {
  released.reset();
  const auto begun = client::Release::begin(*this, boot, {});
  if (!begun) {
    return begun.error().message;
  }
  const auto evidence = shows(boot.launch_digest, begun->report_data());
  auto outcome = begun->request(*this, evidence, receipt, {});
  if (!outcome) {
    return outcome.error().message;
  }
  if (auto* refused = std::get_if<client::Refusal>(&*outcome)) {
    detail = refused->detail;
    return refused->reason;
  }
  released = std::move(std::get<client::Released>(*outcome));
  return "released";
}

std::string TestInstance::anchor(std::uint64_t sequence, client::AnchorKind kind, bool restored) {
  anchored.reset();
  client::Notice notice{kind, sequence, {}, restored};
  notice.digest.fill(static_cast<std::byte>(sequence));
  const auto request =
      client::AnchorRequest::make(boot, released->epoch, released->boot_key, std::move(notice));
  if (!request) {
    return request.error().message;
  }
  auto outcome = request->send(*this, {});
  if (!outcome) {
    return outcome.error().message;
  }
  if (auto* refused = std::get_if<client::Refusal>(&*outcome)) {
    detail = refused->detail;
    return refused->reason;
  }
  anchored = std::move(std::get<client::Anchored>(*outcome));
  receipt = anchored->receipt;
  return "anchored";
}

std::string TestInstance::again(client::Method method, const base::Bytes& message) {
  return word_in(call(method, message, {}));
}

std::string word_in(const base::Result<base::Bytes>& answered) {
  if (!answered) {
    return answered.error().message;
  }
  pb::Answer answer;
  const auto message = broker::decode_signed_message(*answered);
  EXPECT_TRUE(message);
  EXPECT_TRUE(answer.ParseFromArray(message->body.data(), static_cast<int>(message->body.size())));
  if (answer.has_released()) {
    return "released";
  }
  return answer.has_anchored() ? "anchored" : answer.refused().reason();
}

}  // namespace tests::integration
