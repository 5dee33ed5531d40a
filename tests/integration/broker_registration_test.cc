// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/broker_fixture.h"
#include "tests/support/error_code.h"
#include "vmgs/crypto/digest.h"

// What a tenant may say of its VMs.
namespace tests::integration {
namespace {

using protocol::LaunchDocument;
using protocol::TeeFamily;
using support::error_code;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class BrokerRegistrationTest : public ::testing::Test {
 protected:
  base::Result<bool> registered(const broker::NewVm& vm, const protocol::Uuid& tenant = kTenant) {
    auto registrar = at_.registrar();
    return broker::register_vm(registrar, tenant, vm, at_.act());
  }

  std::string denial(const LaunchDocument& document, const protocol::Uuid& tenant = kTenant) {
    const auto outcome = registered(new_vm(at_, document), tenant);
    return outcome ? "registered" : outcome.error().message;
  }

  std::string conversion_denial(const LaunchDocument& document) {
    auto registrar = at_.registrar();
    const auto planned =
        broker::plan_conversion(registrar, kTenant, *protocol::encode(document), std::nullopt);
    return planned ? "planned" : planned.error().message;
  }

  TestBroker at_;
  LaunchDocument document_ = document_for(at_, 0xA1);
};

TEST_F(BrokerRegistrationTest, IsSafeToRepeatAndKeepsTheKey) {
  const auto vm = new_vm(at_, document_);
  EXPECT_EQ(registered(vm).value(), true);
  const auto key = *at_.records.newest_vm_key(document_.vm_id);
  EXPECT_EQ(registered(vm).value(), false);
  EXPECT_EQ(*at_.records.newest_vm_key(document_.vm_id), key);
  auto other = vm;
  other.root_class = keybroker::evidence::RootClass::kProduction;
  EXPECT_EQ(error_code(registered(other)), base::ErrorCode::kDenied);
}

TEST_F(BrokerRegistrationTest, TakesNoDocumentThatItsVmCouldNotComeBackWith) {
  EXPECT_THAT(denial(document_, kOtherOwner), StartsWith("tenant:"));
  auto document = document_;
  document.broker_root_hashes = {broker::make_broker_root(at_.now)->certificate.fingerprint()};
  EXPECT_THAT(denial(document), StartsWith("broker_root_hashes:"));
  document = document_;
  document.protection = protocol::Protection::kHardware;
  EXPECT_THAT(denial(document), StartsWith("protection:"));
  LaunchDocument ordinary;
  ordinary.vm_id = document_.vm_id;
  ordinary.tenant = kTenant;
  EXPECT_THAT(denial(ordinary), StartsWith("tee_family:"));
}

TEST_F(BrokerRegistrationTest, WantsAPolicyOfTheTenantAndFourAtMost) {
  auto vm = new_vm(at_, document_);
  vm.policies.clear();
  EXPECT_EQ(error_code(registered(vm)), base::ErrorCode::kDenied);
  vm.policies = {{kOtherOwner, at_.put(kAllowing)}};
  EXPECT_EQ(error_code(registered(vm)), base::ErrorCode::kDenied);
  EXPECT_FALSE(
      broker::put_policy(at_.records, "{}", keybroker::policy::Compatibility::kStrict, at_.now));
}

TEST_F(BrokerRegistrationTest, AnExecutionPolicyAndItsDigestBelongTogether) {
  const auto text = base::copy_of(base::bytes_of("package agent_policy"));
  auto vm = new_vm(at_, document_);
  vm.execution_policy = text;
  EXPECT_THAT(registered(vm).error().message, StartsWith("execution_policy:"));
  auto document = document_;
  document.policy_digest = vmgs::crypto::sha256(text);
  vm = new_vm(at_, document);
  EXPECT_THAT(registered(vm).error().message, StartsWith("execution_policy:"));
  vm.execution_policy = base::copy_of(base::bytes_of("another"));
  EXPECT_THAT(registered(vm).error().message, StartsWith("execution_policy:"));
  vm.execution_policy = text;
  EXPECT_TRUE(registered(vm));
}

TEST_F(BrokerRegistrationTest, AnotherTenantSeesNothingAndChangesNothing) {
  ASSERT_TRUE(registered(new_vm(at_, document_)));
  const auto& vm_id = document_.vm_id;
  EXPECT_EQ(error_code(broker::own_vm(at_.records, kOtherOwner, vm_id)),
            base::ErrorCode::kNotFound);
  EXPECT_EQ(error_code(broker::set_enabled(at_.records, kOtherOwner, vm_id, false, at_.act())),
            base::ErrorCode::kNotFound);
  EXPECT_EQ(error_code(broker::delete_vm(at_.records, kOtherOwner, vm_id, at_.act())),
            base::ErrorCode::kNotFound);
  const auto policy = at_.put(kAllowing);
  EXPECT_EQ(error_code(broker::set_policies(at_.records, kOtherOwner, vm_id, std::span(&policy, 1),
                                            at_.act())),
            base::ErrorCode::kNotFound);
  EXPECT_EQ(error_code(broker::own_vm(at_.records, kTenant, kOtherOwner)),
            base::ErrorCode::kNotFound);
}

TEST_F(BrokerRegistrationTest, AnOwnerChangesItsOwnPoliciesAndNoOthers) {
  auto vm = new_vm(at_, document_);
  const auto denying = at_.put(kDenying);
  vm.policies.push_back({kOtherOwner, denying});
  ASSERT_TRUE(registered(vm));
  const auto allowing = at_.put(kAllowing);
  const auto set = [&](const protocol::Uuid& owner, std::vector<protocol::Sha256Digest> digests) {
    return broker::set_policies(at_.records, owner, document_.vm_id, digests, at_.act());
  };
  ASSERT_TRUE(set(kTenant, {denying}));
  EXPECT_THAT(
      at_.records.vm(document_.vm_id)->registration.policies,
      ElementsAre(store::OwnerPolicy{kTenant, denying}, store::OwnerPolicy{kOtherOwner, denying}));
  EXPECT_EQ(error_code(set(kTenant, {})), base::ErrorCode::kDenied);
  // Who owns a policy of a VM does not own the VM.
  EXPECT_EQ(error_code(broker::delete_vm(at_.records, kOtherOwner, document_.vm_id, at_.act())),
            base::ErrorCode::kDenied);
  ASSERT_TRUE(set(kOtherOwner, {}));
  EXPECT_THAT(at_.records.vm(document_.vm_id)->registration.policies,
              ElementsAre(store::OwnerPolicy{kTenant, denying}));
  EXPECT_EQ(error_code(set(kOtherOwner, {allowing})), base::ErrorCode::kNotFound);
}

TEST_F(BrokerRegistrationTest, AConversionSaysWhatItChangesAndWhatToSeeTo) {
  ASSERT_TRUE(registered(new_vm(at_, document_)));
  auto registrar = at_.registrar();
  auto to = document_;
  to.tee_family = TeeFamily::kTdx;
  const auto before = *at_.records.vm(document_.vm_id);
  const auto planned =
      broker::plan_conversion(registrar, kTenant, *protocol::encode(to), std::nullopt);
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_THAT(planned->changes, ElementsAre("tee: sev-snp -> tdx"));
  EXPECT_THAT(planned->notes, Contains(HasSubstr("Linux")));
  EXPECT_EQ(*at_.records.vm(document_.vm_id), before);

  ASSERT_TRUE(
      broker::convert_vm(registrar, kTenant, *protocol::encode(to), std::nullopt, at_.act()));
  TestInstance snp(at_, document_);
  TestInstance td(at_, to, 2);
  ASSERT_EQ(snp.release(), "released") << snp.detail;
  ASSERT_EQ(td.release(), "released") << td.detail;
  EXPECT_TRUE(td.released->vm_key.bytes.equals_in_constant_time(snp.released->vm_key.bytes));
  at_.now += broker::kConversionLife;
  EXPECT_EQ(snp.release(), "launch-document-replaced");
}

TEST_F(BrokerRegistrationTest, AConversionThatNoBootHasEndedCanBeTakenBack) {
  ASSERT_TRUE(registered(new_vm(at_, document_)));
  auto registrar = at_.registrar();
  auto to = document_;
  to.tee_family = TeeFamily::kTdx;
  const auto convert = [&](const LaunchDocument& document) {
    return broker::convert_vm(registrar, kTenant, *protocol::encode(document), std::nullopt,
                              at_.act());
  };
  ASSERT_TRUE(convert(to));
  at_.now += broker::kConversionLife;  // the launch before counts no longer

  const auto back = convert(document_);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_THAT(back->changes, ElementsAre("tee: tdx -> sev-snp"));
  EXPECT_EQ(at_.records.vm(document_.vm_id)->status, store::VmStatus::kActive);
  TestInstance snp(at_, document_);
  EXPECT_EQ(snp.release(), "released") << snp.detail;
  EXPECT_TRUE(convert(to)) << "and once more";
}

// The answer was lost on the way. What was made is not told as a no.
TEST_F(BrokerRegistrationTest, AConversionThatIsAskedForAgainWasMade) {
  ASSERT_TRUE(registered(new_vm(at_, document_)));
  auto registrar = at_.registrar();
  auto to = document_;
  to.tee_family = TeeFamily::kTdx;
  const auto convert = [&](const LaunchDocument& document, const store::Act& act) {
    return broker::convert_vm(registrar, kTenant, *protocol::encode(document), std::nullopt, act);
  };
  const auto there = at_.act();
  ASSERT_TRUE(convert(to, there));
  const auto again = convert(to, there);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->vm_id, document_.vm_id);
  EXPECT_THAT(again->changes, ElementsAre("tee: sev-snp -> tdx"));

  const auto back = at_.act();
  ASSERT_TRUE(convert(document_, back));
  EXPECT_TRUE(convert(document_, back));
  EXPECT_EQ(at_.records.vm(document_.vm_id)->status, store::VmStatus::kActive);
  EXPECT_TRUE(convert(to, there)) << "long after";
  EXPECT_EQ(at_.records.vm(document_.vm_id)->status, store::VmStatus::kActive);
  EXPECT_EQ(error_code(broker::convert_vm(registrar, kOtherOwner, *protocol::encode(to),
                                          std::nullopt, there)),
            base::ErrorCode::kNotFound);
}

TEST_F(BrokerRegistrationTest, AnOwnerThatLeavesAVmIsToldSoAsOftenAsItAsks) {
  auto vm = new_vm(at_, document_);
  vm.policies.push_back({kOtherOwner, at_.put(kAllowing)});
  ASSERT_TRUE(registered(vm));
  const auto leaving = at_.act();
  const auto leave = [&] {
    return broker::set_policies(at_.records, kOtherOwner, document_.vm_id, {}, leaving);
  };
  ASSERT_TRUE(leave());
  EXPECT_TRUE(leave());
  EXPECT_EQ(error_code(broker::delete_vm(at_.records, kTenant, document_.vm_id, leaving)),
            base::ErrorCode::kDenied)
      << "the id was used for another request";
}

TEST_F(BrokerRegistrationTest, AConversionLeavesAloneWhatNeverChanges) {
  ASSERT_TRUE(registered(new_vm(at_, document_)));
  EXPECT_THAT(conversion_denial(document_), HasSubstr("nothing would change"));
  auto to = document_;
  to.tenant = kOtherOwner;
  EXPECT_THAT(conversion_denial(to), StartsWith("tenant:"));
  LaunchDocument ordinary;
  ordinary.vm_id = document_.vm_id;
  ordinary.tenant = kTenant;
  EXPECT_THAT(conversion_denial(ordinary), HasSubstr("never becomes"));
  to = document_;
  to.broker_root_hashes = {broker::make_broker_root(at_.now)->certificate.fingerprint()};
  EXPECT_THAT(conversion_denial(to), StartsWith("broker_root_hashes:"));
  to = document_;
  to.lifetime = protocol::Lifetime::kEphemeral;
  to.protection = protocol::Protection::kNone;
  to.anchor_class = protocol::AnchorClass::kNone;
  EXPECT_THAT(conversion_denial(to), StartsWith("protection:"));
  to = document_;
  to.vm_id.fill(std::byte{0xEE});
  EXPECT_THAT(conversion_denial(to), StartsWith("no VM"));
  to = document_;
  to.protection = protocol::Protection::kHardware;
  EXPECT_EQ(conversion_denial(to), "planned");
}

}  // namespace
}  // namespace tests::integration
