// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/broker_release_case.h"

// Somebody writes into the broker's database who has none of its keys.
namespace tests::integration {
namespace {

using ::testing::HasSubstr;

using BrokerSealTest = BrokerReleaseCase;

// Whoever could write the database put another policy, launch document, root class or tenant into
// a VM's row, and was given its key.
TEST_F(BrokerSealTest, ARowThatTheBrokerDidNotWriteGivesNoKeyAndIsInTheLog) {
  const auto policy = at_.put(kDenying);
  ASSERT_TRUE(broker::set_policies(at_.records, kTenant, document_.vm_id, std::span(&policy, 1),
                                   at_.act()));
  TestInstance asking(at_, document_);
  EXPECT_EQ(asking.release(), "policy-denied");
  const auto anothers = at_.put(kAllowing);
  ASSERT_TRUE(at_.records.sql().execute("UPDATE vm_policy SET digest = $2 WHERE vm_id = $1",
                                        {base::copy_of(document_.vm_id), base::copy_of(anothers)}));

  EXPECT_EQ(asking.release(), "records-altered");

  EXPECT_THAT(asking.detail, HasSubstr("somebody else has changed the database"));
  const auto line = last_line(document_.vm_id);
  EXPECT_EQ(line.kind, "refused");
  EXPECT_EQ(line.reason, "records-altered");
  EXPECT_EQ(broker::own_vm(at_.records, kTenant, document_.vm_id).error().code,
            base::ErrorCode::kAuthentication);
}

// The same word to a boot that has its key already.
TEST_F(BrokerSealTest, NothingIsAnchoredInARowThatTheBrokerDidNotWrite) {
  TestInstance asking(at_, document_);
  ASSERT_EQ(asking.release(), "released") << asking.detail;
  ASSERT_TRUE(broker::set_enabled(at_.records, kTenant, document_.vm_id, false, at_.act()));
  ASSERT_TRUE(at_.records.sql().execute("UPDATE vm SET status = 'active'", {}));

  EXPECT_EQ(asking.anchor(1), "records-altered");
  EXPECT_EQ(last_line(document_.vm_id).reason, "records-altered");
  EXPECT_TRUE(at_.records.sql().execute("SELECT seq FROM anchor", {})->empty());
}

// A row that was sealed for one tenant, with a launch document of another's: the seal is good.
TEST_F(BrokerSealTest, ADocumentOfAnotherTenantThanTheRowsGivesNoKey) {
  auto document = document_for(at_, 0xA6);
  store::VmRegistration registration;
  registration.vm_id = document.vm_id;
  registration.tenant = kTenant;
  document.tenant = kOtherOwner;
  const auto bytes = *protocol::encode(document);
  registration.launch = {bytes, protocol::launch_digest(bytes, document.tee_family),
                         document.tee_family, document.protection, std::nullopt};
  registration.root_class = keybroker::evidence::RootClass::kSimulated;
  registration.policies = {{kTenant, at_.put(kAllowing)}};
  ASSERT_TRUE(
      at_.records.register_vm(registration, {1, base::Bytes(61, std::byte{1}), 1}, at_.act()));
  TestInstance asking(at_, document);
  EXPECT_EQ(asking.release(), "records-altered");
  EXPECT_THAT(asking.detail, HasSubstr("names another tenant"));
}

// What the seal is not over: wrapped keys and policies' texts are bound to their place themselves.
TEST_F(BrokerSealTest, ARecordThatSomebodyChangedGivesNoKey) {
  TestInstance asking(at_, document_);
  ASSERT_EQ(asking.release(), "released");
  ASSERT_TRUE(at_.records.sql().execute(
      "UPDATE vm_key SET wrapped = (SELECT wrapped FROM vm_key WHERE vm_id = $2) "
      "WHERE vm_id = $1",
      {base::copy_of(document_.vm_id), base::copy_of(document_.vm_id)}));
  const auto other = document_for(at_, 0xA2);
  register_vm(at_, other);
  // The wrapped key of another VM of the same tenant.
  ASSERT_TRUE(at_.records.sql().execute(
      "UPDATE vm_key SET wrapped = (SELECT wrapped FROM vm_key WHERE vm_id = $2) "
      "WHERE vm_id = $1",
      {base::copy_of(document_.vm_id), base::copy_of(other.vm_id)}));
  EXPECT_THAT(asking.release(), HasSubstr("does not open"));
  // The policy's text under another's digest.
  TestInstance second(at_, other);
  ASSERT_EQ(second.release(), "released");
  at_.put(kDenying);
  ASSERT_TRUE(at_.records.sql().execute("UPDATE policy SET content = $1", {"strict\n" + kDenying}));
  EXPECT_THAT(second.release(), HasSubstr("not the one of its digest"));
}

}  // namespace
}  // namespace tests::integration
