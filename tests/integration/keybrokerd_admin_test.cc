// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <chrono>

#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/evidence/bundle.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/audit_log.h"
#include "keybroker/store/broker_records.h"
#include "keybroker/store/columns.h"
#include "keybroker/store/sqlite.h"
#include "tests/integration/keybrokerd.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/base64.h"

// What people ask of a broker, and what somebody can do who can write its records: keybrokerd and
// kbctl as real programs.
namespace tests::integration {
namespace {

namespace json = boost::json;
namespace store = keybroker::store;
using testing::HasSubstr;

constexpr const char* kTenant = "11111111-2222-4333-8444-555555555555";
constexpr const char* kVm = "cccccccc-0000-4000-8000-000000000003";
constexpr int kFoundProblem = 3;

std::string text(const json::object& object, const char* member) {
  const auto* found = object.if_contains(member);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

class KeybrokerdAdminTest : public testing::Test {
 protected:
  KeybrokerdAdminTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
    const auto published = support::run_command(
        {SIMULATED_MACHINE, "publish", folder_ / "vendor", "--tee", "sev-snp"});
    EXPECT_EQ(published.status, 0) << published.err;
    broker_.emplace(folder_ / "broker", folder_ / "vendor");
    std::ofstream(broker_->config(), std::ios::app) << "[guests]\nport = " << guest_port_ << "\n";
    broker_->start();
    operator_ = broker_->issue("operator", "alice");
    auditor_ = broker_->issue("auditor", "carol");
    tenant_ = broker_->issue("tenant", "ann", kTenant);
    EXPECT_EQ(broker_->kbctl(operator_, {"tenant", "create", "acme", "--id", kTenant}).status, 0);
  }

  ~KeybrokerdAdminTest() override { ::unsetenv("STRONGROOM_SIMULATED_MACHINE"); }

  void await_health(const std::string& wanted) const {
    EXPECT_EQ(broker_->await_health(wanted), wanted) << broker_->log();
  }

  // A broker that has not looked at its log yet is not ready either.
  void await_altered_log() const {
    const std::string altered = "the audit log is not what was signed";
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    do {
      await_health("503");
    } while (broker_->log().find(altered) == std::string::npos &&
             std::chrono::steady_clock::now() < end);
    EXPECT_THAT(broker_->log(), HasSubstr(altered));
  }

  void restart() {
    ASSERT_EQ(broker_->stop(), 0);
    broker_->start();
  }

  // with_records() does something with the database of a broker that is stopped.
  template <typename Work>
  void with_records(Work work) {
    ASSERT_EQ(broker_->stop(), 0);
    {
      auto records =
          store::BrokerRecords::over(*store::open_sqlite(broker_->state() / "records.db"),
                                     store::RecordSeal::under(base::Secret<32>::zero()));
      ASSERT_TRUE(records) << records.error().message;
      work(*records);
    }
    broker_->start();
  }

  // rewrite_log() puts another name into the first line of the tenant's log, and makes all hashes
  // fit. It takes no key.
  void rewrite_log() {
    with_records([](store::BrokerRecords& records) {
      const auto subject = store::tenant_subject(*keybroker::protocol::parse_uuid(kTenant));
      const auto end = *store::verify_chain(records.sql(), subject);
      store::Sha256Digest previous{};
      for (std::uint64_t at = 1; at <= end; ++at) {
        auto line = *records.log_line(subject, at);
        line.content = at == 1 ? R"({"by":"mallory"})" : line.content;
        line.hash = store::audit_hash(previous, line);
        ASSERT_TRUE(records.sql().execute(
            "UPDATE audit SET content = $3, hash = $4 WHERE subject = $1 AND seq = $2",
            {store::value_of(subject), store::value_of(at), line.content,
             store::value_of(line.hash)}));
        previous = line.hash;
      }
      ASSERT_TRUE(records.sql().execute("UPDATE chain SET head = $2 WHERE subject = $1",
                                        {store::value_of(subject), store::value_of(previous)}));
    });
  }

  [[nodiscard]] std::string put_policy() const {
    std::ofstream(folder_ / "release.json")
        << R"({"version":"1.0.0","anyOf":[{"authority":")" << Keybrokerd::kAuthority
        << R"(","allOf":[{"claim":"strongroom-debug","equals":false}]}]})";
    return text(broker_->kbctl_json(tenant_, {"policy", "put", folder_ / "release.json"}),
                "digest");
  }

  void register_vm() {
    (void)keep();
    const auto made = support::run_command({KBCTL, "launch-document", "make", kVm, "--tee",
                                            "sev-snp", "--tenant", kTenant, "--broker-root",
                                            folder_ / "root.pem", "--out", folder_ / "vm.launch"});
    EXPECT_EQ(made.status, 0) << made.err;
    (void)broker_->kbctl_json(tenant_, {"vm", "register", folder_ / "vm.launch", "--policy",
                                        put_policy(), "--root-class", "simulated"});
  }

  // guests() asks at the face for guests, as anybody may: the body and the status.
  [[nodiscard]] std::string guests(const std::string& path, const json::object& body = {}) const {
    std::vector<std::string> line = {"/usr/bin/curl",
                                     "--silent",
                                     "--cacert",
                                     auditor_ + "/ca.pem",
                                     "--write-out",
                                     " %{http_code}",
                                     "https://localhost:" + std::to_string(guest_port_) + path};
    if (!body.empty()) {
      line.insert(line.end(), {"--json", json::serialize(body)});
    }
    return support::run_command(line).out;
  }

  // attest() makes up evidence of a VM.
  [[nodiscard]] std::string attest(const std::string& vm) const {
    using vmgs::crypto::Base64;
    using vmgs::crypto::encode_base64;
    const auto url = [](const std::string& bytes) {
      return encode_base64(base::bytes_of(bytes), Base64::kUrl);
    };
    const auto padded = [](const std::string& bytes) {
      return encode_base64(base::bytes_of(bytes), Base64::kPadded);
    };
    const auto given = guests("/challenge", {{"vm_id", vm}});
    const auto challenge = json::parse(given.substr(0, given.rfind(' '))).as_object();
    const auto key = *keybroker::crypto::PrivateKey::generate_ec(keybroker::crypto::Curve::kP384);
    const json::object extended{
        {"purpose", "x"},
        {"vm-id", vm},
        {"boot-id", std::string(32, '0')},
        {"launch", std::string(64, '1')},
        {"home", "paravisor"},
        {"origin", "own"},
        {"lifetime", "persistent"},
        {"state-protection", {{"mode", "broker"}, {"kek", ""}, {"tcb", ""}}},
        {"ek-name", "000b" + std::string(64, '2')},
        {"ak-name", "000b" + std::string(64, '3')},
        {"tee-simulated", false}};
    return guests("/attest/guest",
                  {{"challenge", challenge.at("challenge")},
                   {"runtime_data",
                    url(json::serialize(json::object{
                        {"keys", json::array{keybroker::crypto::encode_jwk(key.public_key())}}}))},
                   {"evidence",
                    {{"schema", keybroker::evidence::kBundleSchema},
                     {"extended_claims", padded(json::serialize(extended))},
                     {"hcl_report", padded("x")}}}});
  }

  [[nodiscard]] support::Ran audit(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "audit");
    return broker_->kbctl(auditor_, more);
  }

  // keep() writes a checkpoint where an auditor keeps it.
  [[nodiscard]] std::string keep() const {
    const auto roots = broker_->kbctl(auditor_, {"status", "--roots"});
    std::ofstream(folder_ / "root.pem") << roots.out;
    const auto newest = broker_->kbctl(auditor_, {"checkpoint", "--root", folder_ / "root.pem"});
    EXPECT_EQ(newest.status, 0) << newest.err;
    std::ofstream(folder_ / "kept.json") << newest.out;
    return folder_ / "kept.json";
  }

  support::TempFolder folder_;
  std::uint16_t guest_port_ = free_port();
  std::optional<Keybrokerd> broker_;
  std::string operator_;
  std::string auditor_;
  std::string tenant_;
};

TEST_F(KeybrokerdAdminTest, ARewrittenLogIsNeitherSignedNorServedAsReady) {
  restart();
  await_health("200");
  EXPECT_EQ(audit().status, 0) << audit().out;
  const auto kept = keep();
  EXPECT_EQ(audit({"--checkpoint", kept, "--root", folder_ / "root.pem"}).status, 0);

  rewrite_log();
  await_altered_log();
  const auto found = audit();
  EXPECT_EQ(found.status, kFoundProblem) << found.out;
  EXPECT_THAT(found.out, HasSubstr("BROKEN"));
  EXPECT_EQ(text(broker_->kbctl_json(auditor_, {"checkpoint"}), "body"),
            text(json::parse(content_of(kept)).get_object(), "body"))
      << "something was signed since";
}

// Without its checkpoints a log looks as if it never had one. The broker remembers, and so does
// whoever kept one.
TEST_F(KeybrokerdAdminTest, ALogWithoutItsCheckpointsIsNotSigned) {
  restart();
  await_health("200");
  const auto kept = keep();
  with_records([](store::BrokerRecords& records) {
    for (const auto* statement : {"DELETE FROM checkpoint_head", "DELETE FROM checkpoint",
                                  "DELETE FROM audit", "DELETE FROM chain"}) {
      ASSERT_TRUE(records.sql().execute(statement, {})) << statement;
    }
  });
  await_health("503");
  EXPECT_THAT(broker_->log(), HasSubstr("is not on record any more"));
  const auto without_copy = audit();
  EXPECT_EQ(without_copy.status, kFoundProblem) << without_copy.out;
  EXPECT_THAT(without_copy.out, HasSubstr("is not on record any more"));
  const auto found = audit({"--checkpoint", kept});
  EXPECT_EQ(found.status, kFoundProblem) << found.out;

  // A copy is worth what its signature is.
  auto forged = content_of(kept);
  forged.replace(forged.find("\"signature\":\"") + 60, 4, "AAAA");
  std::ofstream(folder_ / "forged.json") << forged;
  EXPECT_NE(audit({"--checkpoint", folder_ / "forged.json", "--root", folder_ / "root.pem"}).status,
            0);
}

// No line of a log without an end was looked at.
TEST_F(KeybrokerdAdminTest, ALogWhoseEndWasTakenOutIsFound) {
  restart();
  await_health("200");
  const auto kept = keep();
  with_records([](store::BrokerRecords& records) {
    const auto subject =
        store::value_of(store::tenant_subject(*keybroker::protocol::parse_uuid(kTenant)));
    ASSERT_TRUE(records.sql().execute("DELETE FROM chain WHERE subject = $1", {subject}));
    ASSERT_TRUE(records.sql().execute(
        "UPDATE audit SET content = '{}' WHERE subject = $1 AND seq = 1", {subject}));
  });
  await_health("503");
  const auto found = audit();
  EXPECT_EQ(found.status, kFoundProblem) << found.out;
  EXPECT_THAT(found.out, HasSubstr("was taken out"));
  EXPECT_EQ(audit({"--checkpoint", kept}).status, kFoundProblem);
}

// It was told as done, with the VM's key left under the key-encryption key from before.
TEST_F(KeybrokerdAdminTest, ARotationThatCannotReadAKeyIsNotDone) {
  await_health("200");
  register_vm();
  with_records([](store::BrokerRecords& records) {
    ASSERT_TRUE(records.sql().execute("UPDATE vm_key SET wrapped = 17", {}));
  });
  const auto rotated = broker_->kbctl(operator_, {"tenant", "rotate-key", kTenant});
  EXPECT_NE(rotated.status, 0) << rotated.out;
}

TEST_F(KeybrokerdAdminTest, ARevokedCallerStaysOutside) {
  const auto mallory = broker_->issue("operator", "mallory");
  ASSERT_EQ(broker_->kbctl(mallory, {"status"}).status, 0);
  const auto revoked =
      support::run_command({KEYBROKERD, "revoke", "--config", broker_->config(), mallory});
  ASSERT_EQ(revoked.status, 0) << revoked.err;
  restart();
  const auto refused = broker_->kbctl(mallory, {"status"});
  EXPECT_NE(refused.status, 0) << refused.out;
  EXPECT_THAT(broker_->log(), HasSubstr("certificate revoked"));
  EXPECT_EQ(broker_->kbctl(operator_, {"status"}).status, 0);
}

// The answer was lost on the way; the caller asks again.
TEST_F(KeybrokerdAdminTest, AChangeThatIsAskedForTwiceIsMadeOnce) {
  const auto policy = put_policy();
  const std::string id(32, '7');
  const auto create = [&] {
    return broker_->kbctl_json(tenant_,
                               {"key", "create", "disk", "--policy", policy, "--request-id", id});
  };
  const auto first = create();
  EXPECT_EQ(create(), first);
  EXPECT_EQ(broker_->kbctl_json(tenant_, {"key", "list"}).at("keys").as_array().size(), 1U);

  const auto rotate = [&] {
    return broker_
        ->kbctl_json(operator_,
                     {"tenant", "rotate-key", kTenant, "--request-id", std::string(32, '8')})
        .at("key_version");
  };
  const auto version = rotate();
  EXPECT_EQ(rotate(), version);
  const auto mixed =
      broker_->kbctl(operator_, {"tenant", "rotate-key", kTenant, "--request-id", id});
  EXPECT_THAT(mixed.err, HasSubstr("used for another request"));

  // What was made once is not what is asked for now.
  const auto other =
      broker_->kbctl(tenant_, {"key", "create", "log", "--policy", policy, "--request-id", id});
  EXPECT_NE(other.status, 0) << other.out;
  const auto again_but_other = broker_->kbctl(
      tenant_, {"key", "create", "disk", "--kind", "EC", "--policy", policy, "--request-id", id});
  EXPECT_THAT(again_but_other.err, HasSubstr("used for another request"));

  // Each without an id is another.
  (void)broker_->kbctl_json(tenant_, {"key", "create", "disk", "--policy", policy});
  EXPECT_EQ(broker_->kbctl_json(tenant_, {"key", "list"}).at("keys").as_array().size(), 2U);
}

// Anybody can come to the face for guests. Whether a VM is registered, as what, and whether it is
// enabled, they learn with evidence that verifies, and not before.
TEST_F(KeybrokerdAdminTest, AGuestWithoutEvidenceLearnsNothingOfAVm) {
  EXPECT_THAT(guests("/certs"), HasSubstr("\"keys\""));
  EXPECT_THAT(guests("/.well-known/openid-configuration"), HasSubstr("jwks_uri"));

  await_health("200");
  register_vm();

  const auto registered = attest(kVm);
  EXPECT_THAT(registered, HasSubstr("not-attested"));
  EXPECT_EQ(attest("99999999-0000-4000-8000-000000000009"), registered);
  // Its tenant is told.
  const auto lines = broker_->kbctl_json(tenant_, {"releases", "list", kVm});
  const auto& refused = lines.at("releases").as_array().at(0).as_object();
  EXPECT_EQ(text(refused, "reason"), "launch-document-other");
  EXPECT_THAT(text(refused, "detail"), HasSubstr("the claims have 1111"));
  EXPECT_EQ(broker_->stop(), 0);
}

}  // namespace
}  // namespace tests::integration
