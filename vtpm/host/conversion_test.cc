// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/conversion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace vtpm::host {
namespace {

namespace api = strongroom::host::v1;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using protocol::LaunchDocument;
using protocol::Protection;
using protocol::TeeFamily;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LaunchDocument brokered() {
  LaunchDocument document;
  document.vm_id.fill(std::byte{1});
  document.tenant.emplace().fill(std::byte{2});
  document.tee_family = TeeFamily::kSevSnp;
  document.broker_root_hashes.emplace_back().fill(std::byte{3});
  document.protection = Protection::kBroker;
  document.anchor_class = protocol::AnchorClass::kBoot;
  return document;
}

LaunchDocument with_protection(TeeFamily family, Protection protection) {
  LaunchDocument document;
  document.vm_id.fill(std::byte{1});
  document.tee_family = family;
  document.protection = protection;
  return document;
}

api::ConvertVmRequest to_tee(const std::string& tee) {
  api::ConvertVmRequest request;
  request.mutable_changes()->set_tee(tee);
  return request;
}

api::ConvertVmRequest to_document(const LaunchDocument& document) {
  api::ConvertVmRequest request;
  const auto encoded = protocol::encode(document);
  EXPECT_TRUE(encoded) << encoded.error().message;
  request.set_launch_document(encoded->data(), encoded->size());
  return request;
}

std::string refusal(const LaunchDocument& from, const api::ConvertVmRequest& request,
                    ErrorCode code = ErrorCode::kDenied) {
  const auto planned = plan_conversion(from, request);
  if (planned) {
    return "planned";
  }
  EXPECT_EQ(planned.error().code, code) << planned.error().message;
  return planned.error().message;
}

TEST(ConversionTest, ChangesTheTeeAndNothingElse) {
  const auto planned = plan_conversion(brokered(), to_tee("tdx"));

  ASSERT_TRUE(planned) << planned.error().message;
  auto expected = brokered();
  expected.tee_family = TeeFamily::kTdx;
  EXPECT_EQ(planned->document, expected);
  EXPECT_EQ(planned->launch_document, *protocol::encode(expected));
  EXPECT_THAT(planned->changes, ElementsAre("tee: sev-snp -> tdx"));
}

TEST(ConversionTest, SaysWhatTheGuestAndTheTenantHaveToSeeTo) {
  const auto to_tdx = plan_conversion(brokered(), to_tee("tdx"));
  EXPECT_THAT(to_tdx->notes, Contains(HasSubstr("5.19 or later to boot as a TD, and 6.7")));
  EXPECT_THAT(to_tdx->notes, Contains(HasSubstr("kbctl vm convert FILE")));
  EXPECT_THAT(to_tdx->notes, Contains(HasSubstr("recovery key")));

  const auto to_snp = plan_conversion(to_tdx->document, to_tee("sev-snp"));
  EXPECT_THAT(to_snp->notes, Contains(HasSubstr("5.19 or later to run under SEV-SNP")));
}

TEST(ConversionTest, PutsRootsInThePlaceOfAll) {
  api::ConvertVmRequest request;
  request.mutable_changes()->add_broker_root_hashes(std::string(64, 'a'));
  request.mutable_changes()->set_offline_rule("allow");

  const auto planned = plan_conversion(brokered(), request);

  ASSERT_TRUE(planned) << planned.error().message;
  ASSERT_EQ(planned->document.broker_root_hashes.size(), 1U);
  EXPECT_EQ(planned->document.broker_root_hashes.front()[0], std::byte{0xaa});
  EXPECT_EQ(planned->changes.size(), 2U);
  EXPECT_THAT(planned->notes, Contains(HasSubstr("age of the state")));
}

TEST(ConversionTest, TakesAFinishedDocument) {
  auto finished = brokered();
  finished.policy_digest.emplace().fill(std::byte{9});

  const auto planned = plan_conversion(brokered(), to_document(finished));

  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ(planned->document, finished);
}

TEST(ConversionTest, ChangesNothingWhereNothingIsOther) {
  EXPECT_THAT(plan_conversion(brokered(), to_tee("sev-snp"))->changes, IsEmpty());
  EXPECT_THAT(plan_conversion(brokered(), to_document(brokered()))->changes, IsEmpty());
}

TEST(ConversionTest, NeverMakesAnOrdinaryVmConfidentialNorTheReverse) {
  const auto ordinary = with_protection(TeeFamily::kNone, Protection::kHost);
  EXPECT_THAT(refusal(ordinary, to_tee("tdx")), HasSubstr("Create a new VM"));
  EXPECT_THAT(
      refusal(ordinary, to_document(with_protection(TeeFamily::kSevSnp, Protection::kNone))),
      HasSubstr("never becomes a confidential one"));
  EXPECT_THAT(refusal(brokered(), to_tee("none")), HasSubstr("nor the reverse"));
  EXPECT_THAT(refusal(brokered(), to_document(ordinary)), HasSubstr("nor the reverse"));
}

api::ConvertVmRequest to_protection(const std::string& protection) {
  api::ConvertVmRequest request;
  request.mutable_changes()->set_protection(protection);
  return request;
}

TEST(ConversionTest, PutsAnOrdinaryVmUnderAKeyOfItsHost) {
  const auto planned =
      plan_conversion(with_protection(TeeFamily::kNone, Protection::kNone), to_protection("host"));

  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ(planned->document, with_protection(TeeFamily::kNone, Protection::kHost));
  EXPECT_THAT(planned->changes, ElementsAre("protection: none -> host"));
  EXPECT_TRUE(planned->changes_protection);
  EXPECT_FALSE(planned->is_weaker);
  EXPECT_THAT(planned->notes, Contains(HasSubstr("in plaintext")));
  EXPECT_THAT(planned->notes, Contains(HasSubstr("--undo")));
}

TEST(ConversionTest, TakesTheKeyAwayOnlyFromWhoSaysSo) {
  const auto from = with_protection(TeeFamily::kNone, Protection::kHost);
  EXPECT_THAT(refusal(from, to_protection("none")), HasSubstr("--weaken"));

  auto request = to_protection("none");
  request.set_dry_run(true);
  const auto tried = plan_conversion(from, request);
  ASSERT_TRUE(tried) << tried.error().message;
  EXPECT_TRUE(tried->is_weaker);
  EXPECT_THAT(tried->notes, Contains(HasSubstr("endorsement seed")));

  request.set_dry_run(false);
  request.set_allow_weaker(true);
  EXPECT_EQ(plan_conversion(from, request)->document.protection, Protection::kNone);
  EXPECT_THAT(refusal(from, to_document(with_protection(TeeFamily::kNone, Protection::kNone))),
              HasSubstr("--weaken"));
}

TEST(ConversionTest, AProtectionOfTheOtherKindOfVmSaysWhatToDoInstead) {
  auto allowed = to_protection("hardware");
  allowed.set_allow_weaker(true);
  const auto ordinary = with_protection(TeeFamily::kNone, Protection::kHost);
  EXPECT_THAT(refusal(ordinary, allowed), HasSubstr("an ordinary VM never becomes one"));
  EXPECT_THAT(refusal(ordinary, to_protection("broker")), HasSubstr("Create a new VM"));
  for (const auto* word : {"host", "none"}) {
    auto words = to_protection(word);
    words.set_allow_weaker(true);
    words.mutable_changes()->set_anchor_class("none");
    EXPECT_THAT(refusal(brokered(), words), HasSubstr("would give the state")) << word;
    EXPECT_THAT(refusal(with_protection(TeeFamily::kTdx, Protection::kHardware), words),
                HasSubstr("would give the state"))
        << word;
  }
  EXPECT_THAT(
      refusal(with_protection(TeeFamily::kSevSnp, Protection::kNone), to_protection("hardware")),
      HasSubstr("in plaintext"));
}

TEST(ConversionTest, ChangesNeitherIdNorTenantNorLifetime) {
  auto other = brokered();
  other.vm_id.fill(std::byte{8});
  EXPECT_THAT(refusal(brokered(), to_document(other)), HasSubstr("is of VM 08080808"));
  other = brokered();
  other.tenant->fill(std::byte{8});
  EXPECT_THAT(refusal(brokered(), to_document(other)), HasSubstr("tenant never changes"));
  api::ConvertVmRequest words;
  words.mutable_changes()->set_tenant("08080808-0808-0808-0808-080808080808");
  EXPECT_THAT(refusal(brokered(), words), HasSubstr("tenant never changes"));

  auto ephemeral = with_protection(TeeFamily::kNone, Protection::kNone);
  ephemeral.lifetime = protocol::Lifetime::kEphemeral;
  EXPECT_THAT(refusal(with_protection(TeeFamily::kNone, Protection::kNone), to_document(ephemeral)),
              HasSubstr("lifetime never changes"));
}

TEST(ConversionTest, LeavesWhatHardwareSealedUnderItsDocument) {
  const auto sealed = with_protection(TeeFamily::kSevSnp, Protection::kHardware);
  EXPECT_THAT(refusal(sealed, to_tee("tdx")), HasSubstr("on that machine"));
  auto changed = sealed;
  changed.policy_digest.emplace().fill(std::byte{9});
  EXPECT_THAT(refusal(sealed, to_document(changed)), HasSubstr("protection is hardware"));
}

TEST(ConversionTest, PutsNoStoreUnderAnotherProtection) {
  api::ConvertVmRequest words;
  words.mutable_changes()->set_protection("none");
  words.mutable_changes()->set_anchor_class("none");
  EXPECT_THAT(refusal(brokered(), words), HasSubstr("never put in the place of another"));
  auto hardware = brokered();
  hardware.protection = Protection::kHardware;
  EXPECT_THAT(refusal(brokered(), to_document(hardware)),
              HasSubstr("protection is broker, and hardware"));
}

TEST(ConversionTest, WantsOneStatementOfWhatChanges) {
  EXPECT_THAT(refusal(brokered(), {}, ErrorCode::kInvalidArgument), HasSubstr("give one of them"));
  auto both = to_document(brokered());
  both.mutable_changes()->set_tee("tdx");
  EXPECT_THAT(refusal(brokered(), both, ErrorCode::kInvalidArgument),
              HasSubstr("give one of them"));
  EXPECT_NE(refusal(brokered(), to_tee("sgx"), ErrorCode::kInvalidArgument), "planned");
  api::ConvertVmRequest garbage;
  garbage.set_launch_document("garbage");
  EXPECT_NE(refusal(brokered(), garbage, ErrorCode::kInvalidArgument), "planned");
}

TEST(ConversionTest, GoesBackOnlyToADocumentThatIsThere) {
  const auto before = brokered();
  const auto now = plan_conversion(before, to_tee("tdx"))->document;

  const auto back = plan_undo(now, *protocol::encode(before));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->document, before);
  EXPECT_THAT(back->changes, ElementsAre("tee: tdx -> sev-snp"));
  EXPECT_EQ(plan_undo(now, {}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vtpm::host
