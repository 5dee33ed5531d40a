// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/record_seal.h"

#include <gtest/gtest.h>

#include "keybroker/store/columns.h"
#include "keybroker/store/workload_keys.h"
#include "tests/support/error_code.h"
#include "tests/support/record_fixture.h"

namespace keybroker::store {
namespace {

using base::ErrorCode;
using namespace tests::support;

// Somebody writes into the database who has not the broker's key for its records.
class RecordSealTest : public RecordFixture {
 protected:
  RecordSealTest() : records_(open()) { register_one(records_); }

  void tamper(std::string_view statement, const std::vector<Value>& parameters = {}) {
    const auto done = records_.sql().execute(statement, parameters);
    ASSERT_TRUE(done) << done.error().message;
  }

  void expect_altered(std::string_view how) {
    const auto record = records_.vm(kVm);
    ASSERT_FALSE(record) << how;
    EXPECT_EQ(record.error().code, ErrorCode::kAuthentication) << how;
    EXPECT_TRUE(record.error().message.starts_with(kRecordsAltered)) << record.error().message;
    EXPECT_EQ(error_code(records_.claim(claim_of(1, 0), act())), ErrorCode::kAuthentication) << how;
  }

  static WorkloadKey workload() {
    WorkloadKey made;
    made.tenant = kTenant;
    made.name = "disk";
    made.version = 1;
    made.content_key = base::Bytes(61, std::byte{1});
    made.sealed = base::Bytes(48, std::byte{2});
    made.kek_version = 1;
    made.immutable = true;
    return made;
  }

  BrokerRecords records_;
};

INSTANTIATE_TEST_SUITE_P(Engines, RecordSealTest, engines(), engine_name);

// A database writer once took an owner's policy out of a VM's row, put an own one in, and the key
// was released with the log intact.
TEST_P(RecordSealTest, AVmRowThatTheBrokerDidNotWriteGivesNothing) {
  ASSERT_TRUE(records_.put_policy(Sha256Digest{std::byte{9}}, "{\"mine\":1}", kNow));
  ASSERT_TRUE(records_.convert(kVm, 1, registration().launch, kNow, act()));
  tamper("CREATE TABLE kept_vm AS SELECT * FROM vm");
  tamper("CREATE TABLE kept_policy AS SELECT * FROM vm_policy");
  const std::vector<std::string_view> statements = {
      "UPDATE vm SET tenant_id = (SELECT tenant_id FROM tenant WHERE name = 'B')",
      "UPDATE vm SET status = 'active'",
      "UPDATE vm SET conf_version = 1",
      "UPDATE vm SET launch_document = launch_digest",
      "UPDATE vm SET family = 3",
      "UPDATE vm SET protection = 3",
      "UPDATE vm SET execution_policy = NULL",
      "UPDATE vm SET previous_document = launch_digest",
      "UPDATE vm SET previous_until = previous_until + 1",
      "UPDATE vm SET root_class = 1 - root_class",
      "UPDATE vm SET region = 'us-1'",
      "UPDATE vm SET origin = 2",
      "UPDATE vm SET lifetime = 3 - lifetime",
      "UPDATE vm SET fde_mode = 'none'",
      "UPDATE vm SET created = created + 1",
      "UPDATE vm SET seal = (SELECT digest FROM policy ORDER BY digest LIMIT 1)",
      "DELETE FROM vm_policy WHERE owner = (SELECT tenant_id FROM tenant WHERE name = 'B')",
      "UPDATE vm_policy SET digest = (SELECT digest FROM policy ORDER BY digest DESC LIMIT 1)",
  };
  for (const auto statement : statements) {
    ASSERT_TRUE(records_.vm(kVm)) << "before: " << statement;
    tamper(statement);
    const auto record = records_.vm(kVm);
    EXPECT_FALSE(record) << statement;
    EXPECT_TRUE(record || record.error().message.starts_with(kRecordsAltered)) << statement;
    tamper("DELETE FROM vm_policy");
    tamper(
        "UPDATE vm SET (tenant_id, status, conf_version, launch_document, family, protection, "
        "execution_policy, previous_document, previous_until, root_class, region, origin, "
        "lifetime, fde_mode, created, seal) = (SELECT tenant_id, status, conf_version, "
        "launch_document, family, protection, execution_policy, previous_document, "
        "previous_until, root_class, region, origin, lifetime, fde_mode, created, seal "
        "FROM kept_vm)");
    tamper("INSERT INTO vm_policy SELECT * FROM kept_policy");
  }
}

TEST_P(RecordSealTest, NoChangeOfTheBrokersTakesAForeignRowForItsOwn) {
  tamper("UPDATE vm SET region = 'us-1'");
  expect_altered("region");

  EXPECT_EQ(error_code(records_.disable_vm(kVm, act())), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(records_.enable_vm(kVm, act())), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(records_.update_vm(registration(), 1, act())), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(records_.convert(kVm, 1, registration().launch, kNow, act())),
            ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(records_.confirm_conversion(kVm, 1, act())), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(records_.register_vm(registration(), key(), act())),
            ErrorCode::kAuthentication);
  expect_altered("after all of them");
}

TEST_P(RecordSealTest, ARowOfABrokerWithAnotherKeyIsForeign) {
  auto key = base::Secret<32>::zero();
  key.fill()[0] = std::byte{1};
  auto other = *BrokerRecords::over(connect(), RecordSeal::under(std::move(key)));
  EXPECT_EQ(error_code(other.vm(kVm)), ErrorCode::kAuthentication);
}

TEST_P(RecordSealTest, EachChangeOfTheBrokersIsSealed) {
  ASSERT_TRUE(records_.disable_vm(kVm, act()));
  EXPECT_EQ(records_.vm(kVm)->status, VmStatus::kDisabled);
  ASSERT_TRUE(records_.enable_vm(kVm, act()));
  auto launch = registration().launch;
  launch.document.push_back(std::byte{7});
  ASSERT_TRUE(records_.convert(kVm, 1, launch, kNow, act()));
  EXPECT_EQ(records_.vm(kVm)->registration.launch, launch);
  EXPECT_EQ(records_.vm(kVm)->previous->launch, registration().launch);
  ASSERT_TRUE(records_.cancel_conversion(kVm, 2, act()));
  EXPECT_EQ(records_.vm(kVm)->registration, registration());
  ASSERT_TRUE(records_.convert(kVm, 3, launch, kNow, act()));
  ASSERT_TRUE(records_.confirm_conversion(kVm, 4, act()));
  EXPECT_EQ(records_.vm(kVm)->previous, std::nullopt);
  ASSERT_TRUE(records_.delete_vm(kVm, act()));
  EXPECT_EQ(records_.vm(kVm)->status, VmStatus::kDeleted);
}

TEST_P(RecordSealTest, AWorkloadKeyRowThatTheBrokerDidNotWriteGivesNothing) {
  ASSERT_TRUE(records_.put_policy(Sha256Digest{std::byte{9}}, "{\"mine\":1}", kNow));
  ASSERT_TRUE(add_workload_key(records_, workload(), act()));
  ASSERT_TRUE(workload_key(records_, kTenant, "disk", std::nullopt));
  for (const std::string_view statement :
       {"UPDATE workload_key SET policy = (SELECT digest FROM policy ORDER BY digest DESC LIMIT 1)",
        "UPDATE workload_key SET policy = (SELECT digest FROM policy ORDER BY digest LIMIT 1), "
        "immutable = 0",
        "UPDATE workload_key SET name = 'log', immutable = 1",
        "UPDATE workload_key SET name = 'disk', version = 2",
        "UPDATE workload_key SET version = 1, kind = 2",
        "UPDATE workload_key SET kind = 1, created = created + 1"}) {
    tamper(statement);
    const auto keys = workload_keys(records_, kTenant, "", 10);
    ASSERT_FALSE(keys) << statement;
    EXPECT_TRUE(keys.error().message.starts_with(kRecordsAltered)) << statement;
  }
  EXPECT_EQ(
      error_code(set_workload_key_policy(records_, kTenant, "disk", 1, Sha256Digest{}, act())),
      ErrorCode::kAuthentication);
}

// After a deletion versions begin at 1 again. The deleted key once opened in the row of the new
// one, and was released by a policy that had never been its own.
TEST_P(RecordSealTest, AKeyThatWasDeletedDoesNotStandInTheRowOfTheNextOfItsName) {
  auto key = workload();
  ASSERT_TRUE(add_workload_key(records_, key, act()));
  tamper("CREATE TABLE kept_key AS SELECT * FROM workload_key");
  ASSERT_TRUE(delete_workload_key(records_, kTenant, "disk", act()));
  key.sealed = base::Bytes(48, std::byte{7});
  key.content_key = base::Bytes(61, std::byte{8});
  ASSERT_TRUE(add_workload_key(records_, key, act()));
  ASSERT_TRUE(workload_key(records_, kTenant, "disk", 1));

  tamper(
      "UPDATE workload_key SET (content_key, sealed) = (SELECT content_key, sealed FROM kept_key)");

  const auto mixed = workload_key(records_, kTenant, "disk", 1);
  EXPECT_EQ(error_code(mixed), ErrorCode::kAuthentication);
}

TEST_P(RecordSealTest, AWorkloadKeyIsSealedAnewWithItsPolicyAndKeepsItsSealWhenRewrapped) {
  const Sha256Digest other{std::byte{9}};
  ASSERT_TRUE(records_.put_policy(other, "{\"mine\":1}", kNow));
  auto key = workload();
  key.immutable = false;
  ASSERT_TRUE(add_workload_key(records_, key, act()));
  ASSERT_TRUE(set_workload_key_policy(records_, kTenant, "disk", 1, other, act()));
  key = *workload_key(records_, kTenant, "disk", 1);
  EXPECT_EQ(key.policy, other);

  const base::Bytes wrapped(61, std::byte{5});
  ASSERT_TRUE(rewrap_workload_key(records_, key, wrapped, 2, act()));
  EXPECT_EQ(workload_key(records_, kTenant, "disk", 1)->content_key, wrapped);
  EXPECT_TRUE(workload_keys_before(records_, kTenant, 2, 10)->empty());
  EXPECT_EQ(workload_keys_before(records_, kTenant, 3, 10)->size(), 1U);
}

// A tenant once registered a VM under another tenant's id, and read and wrote that one's log.
TEST_P(RecordSealTest, AnIdIsAVmsOrATenantsAndEachHasALogOfItsOwn) {
  auto vm = registration();
  vm.vm_id = kOwner;
  EXPECT_EQ(error_code(records_.register_vm(vm, key(), act())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(records_.create_tenant({kVm, "C"}, act())), ErrorCode::kDenied);

  const auto log_of = [this](const Subject& subject) {
    LogQuery query;
    query.subject = subject;
    return *records_.log(query);
  };
  const auto of_tenant = log_of(tenant_subject(kOwner));
  ASSERT_EQ(of_tenant.size(), 1U);
  EXPECT_EQ(of_tenant[0].kind, "tenant-created");
  EXPECT_TRUE(log_of(vm_subject(kOwner)).empty());
  EXPECT_EQ(*parse_subject(subject_text(of_tenant[0].subject)), tenant_subject(kOwner));
  EXPECT_EQ(*parse_subject(subject_text(vm_subject(kVm))), vm_subject(kVm));
  EXPECT_FALSE(parse_subject("tenant:"));
}

TEST_P(RecordSealTest, ARequestIdOfAVmIsNoneOfATenantOfTheSameId) {
  const auto once = act();
  ASSERT_TRUE(records_.add_kek({kOwner, 1, "software", {}, ""}, once));
  auto& sql = records_.sql();
  EXPECT_EQ(
      sql.execute("SELECT kind FROM request WHERE subject = $1", {value_of(vm_subject(kOwner))})
          ->size(),
      0U);
  EXPECT_EQ(sql.execute("SELECT kind FROM request WHERE subject = $1 AND request_id = $2",
                        {value_of(tenant_subject(kOwner)), value_of(once.request_id)})
                ->size(),
            1U);
}

}  // namespace
}  // namespace keybroker::store
