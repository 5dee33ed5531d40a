// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/broker_records.h"

#include <gtest/gtest.h>

#include <thread>

#include "keybroker/store/workload_keys.h"
#include "tests/support/error_code.h"
#include "tests/support/record_fixture.h"

namespace keybroker::store {
namespace {

using base::ErrorCode;
using namespace tests::support;

class BrokerRecordsTest : public RecordFixture {};

INSTANTIATE_TEST_SUITE_P(Engines, BrokerRecordsTest, engines(), engine_name);

TEST_P(BrokerRecordsTest, ARegisteredVmIsOnRecordAsItWasRegistered) {
  auto records = open();
  const auto before = registration();

  register_one(records);

  const auto record = records.vm(kVm);
  ASSERT_TRUE(record) << record.error().message;
  EXPECT_EQ(record->registration, before);
  EXPECT_EQ(record->status, VmStatus::kActive);
  EXPECT_EQ(record->conf_version, 1U);
  EXPECT_EQ(record->epoch, 0U);
  EXPECT_EQ(record->anchor, std::nullopt);
  EXPECT_EQ(record->created, kNow);
  EXPECT_EQ(*records.newest_vm_key(kVm), key());
  EXPECT_EQ(*records.vms(kTenant, std::nullopt, 10), std::vector{kVm});
}

TEST_P(BrokerRecordsTest, TheSameRegistrationAgainKeepsTheKey) {
  auto records = open();
  register_one(records);
  VmKey other = key();
  other.wrapped = base::Bytes(40, std::byte{9});

  const auto again = records.register_vm(registration(), other, act());

  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE(*again);
  EXPECT_EQ(*records.newest_vm_key(kVm), key());
}

TEST_P(BrokerRecordsTest, AnotherRegistrationOfAVmIsDeniedWithTheField) {
  auto records = open();
  register_one(records);
  auto other = registration();
  other.launch.document.push_back(std::byte{1});

  const auto denied = records.register_vm(other, key(), act());

  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::kDenied);
  EXPECT_NE(denied.error().message.find("launch document"), std::string::npos);
}

TEST_P(BrokerRecordsTest, ARegistrationNamesWhatIsOnRecord) {
  auto records = open();
  register_one(records);
  auto other = registration();
  other.vm_id = id(0x55);
  other.policies[0].policy.fill(std::byte{0x77});
  EXPECT_EQ(error_code(records.register_vm(other, key(), act())), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(records.vm(other.vm_id)), ErrorCode::kNotFound) << "half of it was kept";

  other = registration();
  other.vm_id = id(0x55);
  other.tenant = id(0x66);
  EXPECT_EQ(error_code(records.register_vm(other, key(), act())), ErrorCode::kNotFound);
}

TEST_P(BrokerRecordsTest, WhatIsImmutableStaysSo) {
  auto records = open();
  register_one(records);
  const auto expect_denied = [&records](const VmRegistration& changed, std::string_view field) {
    const auto denied = records.update_vm(changed, 1, act());
    ASSERT_FALSE(denied) << field;
    EXPECT_EQ(denied.error().code, ErrorCode::kDenied);
    EXPECT_NE(denied.error().message.find(field), std::string::npos) << denied.error().message;
  };

  auto changed = registration();
  changed.origin = Origin::kForeign;
  expect_denied(changed, "origin");
  changed = registration();
  changed.fde_mode = "none";
  expect_denied(changed, "FDE mode");
  changed = registration();
  changed.lifetime = protocol::Lifetime::kEphemeral;
  expect_denied(changed, "lifetime");
  changed = registration();
  changed.root_class = evidence::RootClass::kSimulated;
  expect_denied(changed, "root class");
  changed = registration();
  changed.cloned_from = id(0x01);
  expect_denied(changed, "clone");
  EXPECT_EQ(records.vm(kVm)->registration, registration());
}

TEST_P(BrokerRecordsTest, PoliciesChangeUnderANewVersionOnly) {
  auto records = open();
  register_one(records);
  auto changed = registration();
  changed.policies.clear();

  ASSERT_TRUE(records.update_vm(changed, 1, act()));

  EXPECT_EQ(records.vm(kVm)->registration, changed);
  EXPECT_EQ(records.vm(kVm)->conf_version, 2U);
  EXPECT_EQ(error_code(records.update_vm(registration(), 1, act())), ErrorCode::kDenied);
  EXPECT_EQ(records.vm(kVm)->registration, changed);
}

TEST_P(BrokerRecordsTest, ATenantKeepsItsNameAndItsKeysInOrder) {
  auto records = open();
  EXPECT_TRUE(*records.create_tenant({kTenant, "A"}, act()));
  EXPECT_FALSE(*records.create_tenant({kTenant, "A"}, act()));
  EXPECT_EQ(error_code(records.create_tenant({kTenant, "B"}, act())), ErrorCode::kDenied);
  EXPECT_EQ(*records.tenants(), (std::vector{Tenant{kTenant, "A", kNow}}));

  const Kek first{kTenant, 1, "software", base::Bytes(40, std::byte{1}), ""};
  const Kek second{kTenant, 2, "pkcs11", {}, "pkcs11:token=T;object=kek"};
  EXPECT_EQ(error_code(records.add_kek(second, act())), ErrorCode::kDenied);
  EXPECT_TRUE(records.add_kek(first, act()));
  EXPECT_TRUE(records.add_kek(first, act()));
  EXPECT_TRUE(records.add_kek(second, act()));
  EXPECT_EQ(*records.newest_kek(kTenant), second);
  EXPECT_EQ(*records.kek(kTenant, 1), first);
  EXPECT_EQ(error_code(records.kek(id(0x66), 1)), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(records.add_kek({id(0x66), 1, "software", {}, ""}, act())),
            ErrorCode::kNotFound);
}

// A rotation wraps anew what is on record when the new key is. What came later, under the key from
// before, was left behind while the rotation was told to have wrapped all.
TEST_P(BrokerRecordsTest, NothingNewIsWrappedUnderAKeyThatWasReplaced) {
  auto records = open();
  register_one(records);
  ASSERT_TRUE(records.add_kek({kTenant, 1, "software", {}, ""}, act()));
  ASSERT_TRUE(records.add_kek({kTenant, 2, "software", {}, ""}, act()));
  auto vm = registration();
  vm.vm_id = id(0x11);
  WorkloadKey workload;
  workload.tenant = kTenant;
  workload.name = "disk";
  workload.version = 1;
  workload.kek_version = 1;

  EXPECT_EQ(error_code(records.register_vm(vm, key(), act())), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(records.vm(vm.vm_id)), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(add_workload_key(records, workload, act())), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(records.add_vm_key(kVm, {2, {}, 1}, act())), ErrorCode::kUnavailable);

  auto anew = key();
  anew.kek_version = 2;
  EXPECT_TRUE(records.register_vm(vm, anew, act()));
  workload.kek_version = 2;
  EXPECT_TRUE(add_workload_key(records, workload, act()));
  EXPECT_TRUE(records.register_vm(registration(), key(), act())) << "what is on record stays";
}

TEST_P(BrokerRecordsTest, VmKeysHaveVersionsAndAreRewrapped) {
  auto records = open();
  register_one(records);
  const VmKey second{2, base::Bytes(40, std::byte{2}), 1};
  EXPECT_EQ(error_code(records.add_vm_key(kVm, {3, {}, 1}, act())), ErrorCode::kDenied);
  EXPECT_TRUE(records.add_vm_key(kVm, second, act()));
  EXPECT_EQ(*records.newest_vm_key(kVm), second);
  EXPECT_EQ(*records.vm_key(kVm, 1), key());

  const VmKey rewrapped{2, base::Bytes(40, std::byte{3}), 2};
  EXPECT_TRUE(records.rewrap_vm_key(kVm, rewrapped, act()));
  EXPECT_TRUE(records.rewrap_vm_key(kVm, second, act())) << "an older KEK version changes nothing";
  EXPECT_EQ(*records.newest_vm_key(kVm), rewrapped);
}

TEST_P(BrokerRecordsTest, APolicyNeverChanges) {
  auto records = open();
  Sha256Digest digest{};
  EXPECT_EQ(error_code(records.policy(digest)), ErrorCode::kNotFound);
  EXPECT_TRUE(records.put_policy(digest, "{}", kNow));
  EXPECT_TRUE(records.put_policy(digest, "{}", kNow));
  EXPECT_EQ(error_code(records.put_policy(digest, "{\"a\":1}", kNow)), ErrorCode::kDenied);
  EXPECT_EQ(*records.policy(digest), "{}");
}

TEST_P(BrokerRecordsTest, ARequestIdOfAnotherRequestIsDenied) {
  auto records = open();
  const auto once = act();
  ASSERT_TRUE(records.create_tenant({kTenant, "A"}, once));
  EXPECT_EQ(error_code(records.add_kek({kTenant, 1, "software", {}, ""}, once)),
            ErrorCode::kDenied);
  EXPECT_EQ(error_code(records.newest_kek(kTenant)), ErrorCode::kNotFound);
}

// It was told that it was done, and was not.
TEST_P(BrokerRecordsTest, ARequestIdOfTheSameKindForOtherContentIsDenied) {
  auto records = open();
  register_one(records);
  auto once = act();
  once.request_digest = records.seal().of_request(base::bytes_of("eu-2"));
  auto changed = registration();
  changed.region = "eu-2";
  ASSERT_TRUE(records.update_vm(changed, 1, once));
  EXPECT_TRUE(records.update_vm(changed, 1, once));

  once.request_digest = records.seal().of_request(base::bytes_of("eu-3"));
  changed.region = "eu-3";
  EXPECT_EQ(error_code(records.update_vm(changed, 2, once)), ErrorCode::kDenied);
  EXPECT_EQ(records.vm(kVm)->registration.region, "eu-2");
}

TEST_P(BrokerRecordsTest, AConversionGoesForwardOrBack) {
  auto records = open();
  register_one(records);
  auto launch = registration().launch;
  const auto old = launch;
  launch.family = protocol::TeeFamily::kTdx;
  launch.document = base::Bytes(7, std::byte{7});
  launch.digest.bytes.fill(std::byte{7});

  ASSERT_TRUE(records.convert(kVm, 1, launch, kNow + std::chrono::hours(1), act()));
  auto record = *records.vm(kVm);
  EXPECT_EQ(record.status, VmStatus::kConverting);
  EXPECT_EQ(record.conf_version, 2U);
  EXPECT_EQ(record.registration.launch, launch);
  EXPECT_EQ(record.previous, (PreviousLaunch{old, kNow + std::chrono::hours(1)}));
  EXPECT_EQ(error_code(records.convert(kVm, 2, launch, kNow, act())), ErrorCode::kDenied);

  ASSERT_TRUE(records.cancel_conversion(kVm, 2, act()));
  record = *records.vm(kVm);
  EXPECT_EQ(record.status, VmStatus::kActive);
  EXPECT_EQ(record.registration.launch, old);
  EXPECT_EQ(record.previous, std::nullopt);

  ASSERT_TRUE(records.convert(kVm, 3, launch, kNow + std::chrono::hours(1), act()));
  ASSERT_TRUE(records.disable_vm(kVm, act()));
  ASSERT_TRUE(records.enable_vm(kVm, act()));
  EXPECT_EQ(records.vm(kVm)->status, VmStatus::kConverting);
  ASSERT_TRUE(records.confirm_conversion(kVm, 4, act()));
  record = *records.vm(kVm);
  EXPECT_EQ(record.status, VmStatus::kActive);
  EXPECT_EQ(record.registration.launch, launch);
  EXPECT_EQ(record.previous, std::nullopt);
  EXPECT_EQ(error_code(records.confirm_conversion(kVm, 5, act())), ErrorCode::kDenied);
}

TEST_P(BrokerRecordsTest, AnOrdinaryVmNeverBecomesConfidential) {
  auto records = open();
  register_one(records);
  auto ordinary = registration();
  ordinary.vm_id = id(0x55);
  ordinary.launch.family = protocol::TeeFamily::kNone;
  ASSERT_TRUE(records.register_vm(ordinary, key(), act()));

  EXPECT_EQ(error_code(records.convert(id(0x55), 1, registration().launch, kNow, act())),
            ErrorCode::kDenied);
  EXPECT_EQ(error_code(records.convert(kVm, 1, ordinary.launch, kNow, act())), ErrorCode::kDenied);
  EXPECT_EQ(records.vm(id(0x55))->registration, ordinary);
}

TEST_P(BrokerRecordsTest, ADeletedVmHasNoKeyAndStaysDeleted) {
  auto records = open();
  register_one(records);
  ASSERT_TRUE(records.delete_vm(kVm, act()));
  ASSERT_TRUE(records.delete_vm(kVm, act()));

  EXPECT_EQ(records.vm(kVm)->status, VmStatus::kDeleted);
  EXPECT_EQ(error_code(records.newest_vm_key(kVm)), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(records.enable_vm(kVm, act())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(records.register_vm(registration(), key(), act())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(records.allow_restore(kVm, {1, {}}, kNow, act())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(records.delete_vm(id(0x66), act())), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace keybroker::store
