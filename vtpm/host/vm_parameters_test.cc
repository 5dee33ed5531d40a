// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/vm_parameters.h"

#include <gtest/gtest.h>

#include "vmgs/base/bytes.h"
#include "vmgs/crypto/digest.h"

namespace vtpm::host {
namespace {

namespace api = strongroom::host::v1;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using vmgs::format::VmId;

const VmId kDrawn = *vmgs::format::parse_vm_id("00112233-4455-4677-8899-aabbccddeeff");
constexpr const char* kOther = "10112233-4455-4677-8899-aabbccddeeff";

api::CreateVmRequest named(const std::string& name) {
  api::CreateVmRequest request;
  request.set_name(name);
  return request;
}

TEST(DecodeSpecTest, MakesAnOrdinaryVmOfANameAlone) {
  const auto spec = decode_spec(named("a"), kDrawn);

  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->name, "a");
  EXPECT_FALSE(spec->id_is_given);
  EXPECT_EQ(spec->document.vm_id, kDrawn.bytes);
  EXPECT_EQ(spec->document.tee_family, protocol::TeeFamily::kNone);
  EXPECT_EQ(spec->document.protection, protocol::Protection::kHost);
  EXPECT_EQ(spec->document.lifetime, protocol::Lifetime::kPersistent);
}

TEST(DecodeSpecTest, NamesAVmByItsIdWhenItHasNoName) {
  api::CreateVmRequest request;
  request.set_vm_id("10112233-4455-4677-8899-AABBCCDDEEFF");

  const auto spec = decode_spec(request, kDrawn);

  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->name, kOther);
  EXPECT_TRUE(spec->id_is_given);
}

TEST(DecodeSpecTest, SealsAConfidentialVmToItsHardwareUnlessToldOtherwise) {
  auto request = named("a");
  request.mutable_parameters()->set_tee("sev-snp");
  EXPECT_EQ(decode_spec(request, kDrawn)->document.protection, protocol::Protection::kHardware);

  request.mutable_parameters()->set_protection("none");
  EXPECT_EQ(decode_spec(request, kDrawn)->document.protection, protocol::Protection::kNone);
}

TEST(DecodeSpecTest, GivesAnEphemeralVmNoProtectionSinceItHasNoState) {
  auto request = named("a");
  request.mutable_parameters()->set_lifetime("ephemeral");

  EXPECT_EQ(decode_spec(request, kDrawn)->document.protection, protocol::Protection::kNone);
}

TEST(DecodeSpecTest, TakesADurabilityForAStoreOnly) {
  auto request = named("a");
  EXPECT_FALSE(decode_spec(request, kDrawn)->strict_durability);
  request.set_durability("one-barrier");
  EXPECT_FALSE(decode_spec(request, kDrawn)->strict_durability);
  request.set_durability("strict");
  EXPECT_TRUE(decode_spec(request, kDrawn)->strict_durability);
  request.set_durability("lax");
  EXPECT_FALSE(decode_spec(request, kDrawn));

  request.set_durability("strict");
  request.mutable_parameters()->set_lifetime("ephemeral");
  EXPECT_FALSE(decode_spec(request, kDrawn));
}

TEST(DecodeSpecTest, TakesPlainStateBlobsWhereTheHostMayHaveThem) {
  auto request = named("a");
  EXPECT_EQ(decode_spec(request, kDrawn)->plain_state_blobs, std::nullopt);
  request.set_state_blobs("sealed");
  EXPECT_EQ(decode_spec(request, kDrawn)->plain_state_blobs, false);
  request.set_state_blobs("plain");
  EXPECT_EQ(decode_spec(request, kDrawn)->plain_state_blobs, true);
  request.mutable_parameters()->set_lifetime("ephemeral");
  EXPECT_EQ(decode_spec(request, kDrawn)->plain_state_blobs, true);

  request.set_state_blobs("open");
  EXPECT_FALSE(decode_spec(request, kDrawn));
  auto confidential = named("a");
  confidential.mutable_parameters()->set_tee("sev-snp");
  EXPECT_TRUE(decode_spec(confidential, kDrawn));
  confidential.set_state_blobs("plain");
  EXPECT_FALSE(decode_spec(confidential, kDrawn));
}

TEST(DecodeSpecTest, TakesVariablesOfASizeThatAFlashHasAndThatTheLaunchDocumentDemands) {
  auto request = named("a");
  EXPECT_TRUE(decode_spec(request, kDrawn)->variables.empty());
  request.set_variables(std::string(4095, 'a'));
  EXPECT_FALSE(decode_spec(request, kDrawn));
  request.set_variables(std::string(4096, 'a'));
  EXPECT_EQ(decode_spec(request, kDrawn)->variables, base::Bytes(4096, std::byte{'a'}));

  request.mutable_parameters()->set_secure_boot_template_digest(std::string(64, '0'));
  EXPECT_FALSE(decode_spec(request, kDrawn));
  const auto digest = vmgs::crypto::sha256(base::bytes_of(request.variables()));
  request.mutable_parameters()->set_secure_boot_template_digest(base::to_hex(digest));
  EXPECT_TRUE(decode_spec(request, kDrawn));
}

TEST(DecodeSpecTest, RefusesWordsThatAreNone) {
  using Set = void (*)(api::VmParameters&);
  for (const Set set : {Set([](api::VmParameters& p) { p.set_tee("snp2"); }),
                        Set([](api::VmParameters& p) { p.set_protection("some"); }),
                        Set([](api::VmParameters& p) { p.set_lifetime("short"); }),
                        Set([](api::VmParameters& p) { p.set_offline_rule("x"); }),
                        Set([](api::VmParameters& p) { p.set_anchor_class("x"); }),
                        Set([](api::VmParameters& p) { p.set_lease("x"); }),
                        Set([](api::VmParameters& p) { p.set_tenant("x"); }),
                        Set([](api::VmParameters& p) { p.add_broker_root_hashes("00"); }),
                        Set([](api::VmParameters& p) { p.set_secure_boot_template_digest("zz"); }),
                        Set([](api::VmParameters& p) { p.set_policy_digest("00ff"); }),
                        // Words that are right, and do not go together.
                        Set([](api::VmParameters& p) { p.set_protection("hardware"); }),
                        Set([](api::VmParameters& p) { p.set_anchor_interval_seconds(60); })}) {
    auto request = named("a");
    set(*request.mutable_parameters());
    const auto spec = decode_spec(request, kDrawn);
    ASSERT_FALSE(spec) << request.ShortDebugString();
    EXPECT_EQ(spec.error().code, ErrorCode::kInvalidArgument) << request.ShortDebugString();
  }
}

TEST(DecodeSpecTest, RefusesNamesThatCouldBeMistaken) {
  for (const auto& name :
       {std::string("-a"), std::string(".a"), std::string("a b"), std::string("a/b"),
        std::string("a\n"), std::string("\xc3\xa4"), std::string(64, 'a'), std::string(kOther)}) {
    EXPECT_FALSE(decode_spec(named(name), kDrawn)) << name;
  }
  for (const auto& name : {std::string("a"), std::string("0-_.Z"), std::string(63, 'a')}) {
    EXPECT_TRUE(decode_spec(named(name), kDrawn)) << name;
  }
}

TEST(DecodeSpecTest, TakesAFinishedLaunchDocument) {
  protocol::LaunchDocument document;
  document.vm_id = vmgs::format::parse_vm_id(kOther)->bytes;
  const auto encoded = protocol::encode(document);
  ASSERT_TRUE(encoded);
  auto request = named("a");
  request.set_launch_document(encoded->data(), encoded->size());
  request.mutable_parameters();

  const auto spec = decode_spec(request, kDrawn);

  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->document, document);
  EXPECT_TRUE(spec->id_is_given);
}

TEST(DecodeSpecTest, RefusesALaunchDocumentBesideParametersOrOfAnotherVm) {
  protocol::LaunchDocument document;
  document.vm_id = kDrawn.bytes;
  const auto encoded = protocol::encode(document);
  auto request = named("a");
  request.set_launch_document(encoded->data(), encoded->size());
  auto beside = request;
  beside.mutable_parameters()->set_lifetime("persistent");
  auto of_another = request;
  of_another.set_vm_id(kOther);
  auto damaged = request;
  damaged.mutable_launch_document()->push_back('x');

  EXPECT_FALSE(decode_spec(beside, kDrawn));
  EXPECT_FALSE(decode_spec(of_another, kDrawn));
  EXPECT_FALSE(decode_spec(damaged, kDrawn));
}

// The two documents together have no field with its default.
api::CreateVmRequest full_request() {
  auto request = named("a");
  auto& words = *request.mutable_parameters();
  words.set_tee("tdx");
  words.set_protection("broker");
  words.set_lifetime("persistent");
  words.set_tenant(kOther);
  words.add_broker_root_hashes(std::string(64, 'b'));
  words.add_broker_root_hashes(std::string(64, 'a'));
  words.set_offline_rule("allow");
  words.set_anchor_class("boot");
  words.set_lease("none");
  words.set_secure_boot_template_digest(std::string(64, 'c'));
  words.set_policy_digest(std::string(64, 'd'));
  return request;
}

api::CreateVmRequest anchored_request() {
  auto request = full_request();
  auto& words = *request.mutable_parameters();
  words.set_protection("hardware");
  words.set_offline_rule("deny");
  words.set_anchor_class("interval");
  words.set_anchor_interval_seconds(60);
  words.set_lease("strict");
  return request;
}

TEST(ParametersTest, SayWhatWasAskedFor) {
  for (const auto& request : {full_request(), anchored_request()}) {
    const auto spec = decode_spec(request, kDrawn);
    ASSERT_TRUE(spec) << spec.error().message;

    auto expected = request.parameters();
    expected.mutable_broker_root_hashes()->SwapElements(0, 1);
    EXPECT_EQ(parameters_of(spec->document).SerializeAsString(), expected.SerializeAsString());
  }
}

TEST(DifferenceTest, IsNoneForTheSameParametersInAnyOrder) {
  auto request = full_request();
  const auto spec = decode_spec(request, kDrawn);
  request.mutable_parameters()->mutable_broker_root_hashes()->SwapElements(0, 1);
  const auto again = decode_spec(request, *vmgs::format::parse_vm_id(kOther));

  EXPECT_EQ(difference(spec->document, again->document), std::nullopt);
}

TEST(DifferenceTest, NamesTheFieldAndBothValues) {
  const auto existing = decode_spec(named("a"), kDrawn)->document;
  const auto expect = [&](const std::string& sentence, auto change) {
    auto wanted = existing;
    change(wanted);
    EXPECT_EQ(difference(existing, wanted), sentence);
  };
  using Document = protocol::LaunchDocument;
  expect("tee is 'none', and 'tdx' was asked for",
         [](Document& d) { d.tee_family = protocol::TeeFamily::kTdx; });
  expect("protection is 'host', and 'none' was asked for",
         [](Document& d) { d.protection = protocol::Protection::kNone; });
  expect("lifetime is 'persistent', and 'ephemeral' was asked for",
         [](Document& d) { d.lifetime = protocol::Lifetime::kEphemeral; });
  expect("tenant is absent, and '00112233-4455-4677-8899-aabbccddeeff' was asked for",
         [](Document& d) { d.tenant = kDrawn.bytes; });
  expect("anchor_interval_seconds is '0', and '9' was asked for",
         [](Document& d) { d.anchor_interval_seconds = 9; });
  expect("lease is 'none', and 'strict' was asked for",
         [](Document& d) { d.lease = protocol::Lease::kStrict; });
  expect("offline_rule is 'deny', and 'allow' was asked for",
         [](Document& d) { d.offline_rule = protocol::OfflineRule::kAllow; });
  expect("anchor_class is 'none', and 'boot' was asked for",
         [](Document& d) { d.anchor_class = protocol::AnchorClass::kBoot; });
  expect(
      "protection is 'host', and 'none' was asked for; "
      "lifetime is 'persistent', and 'ephemeral' was asked for",
      [](Document& d) {
        d.protection = protocol::Protection::kNone;
        d.lifetime = protocol::Lifetime::kEphemeral;
      });
  for (auto change : {+[](Document& d) { d.policy_digest.emplace(); },
                      +[](Document& d) { d.secure_boot_template_digest.emplace(); },
                      +[](Document& d) { d.broker_root_hashes.emplace_back(); }}) {
    auto wanted = existing;
    change(wanted);
    EXPECT_NE(difference(existing, wanted), std::nullopt);
  }
}

}  // namespace
}  // namespace vtpm::host
