// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/launch_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/protocol/launch_document.pb.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::protocol {
namespace {

namespace pb = ::strongroom::launch::v1;

using ::testing::HasSubstr;

template <std::size_t N>
std::array<std::byte, N> filled(unsigned char value) {
  std::array<std::byte, N> bytes;
  bytes.fill(std::byte{value});
  return bytes;
}

// A document that passes every rule and sets every field that goes with a broker. Each test spoils
// one thing about it.
LaunchDocument whole_document() {
  return {.vm_id = filled<16>(0x11),
          .tenant = filled<16>(0x22),
          .tee_family = TeeFamily::kSevSnp,
          .broker_root_hashes = {filled<32>(0x33), filled<32>(0x44)},
          .protection = Protection::kBroker,
          .lifetime = Lifetime::kPersistent,
          .offline_rule = OfflineRule::kAllow,
          .anchor_class = AnchorClass::kBoot,
          .secure_boot_template_digest = filled<32>(0x55),
          .policy_digest = filled<32>(0x66)};
}

// One with those that do not.
LaunchDocument anchored_document() {
  auto document = whole_document();
  document.protection = Protection::kHardware;
  document.offline_rule = OfflineRule::kDeny;
  document.anchor_class = AnchorClass::kInterval;
  document.anchor_interval_seconds = 3600;
  document.lease = Lease::kStrict;
  return document;
}

LaunchDocument sealed_document() {
  return {.vm_id = filled<16>(0x11),
          .tee_family = TeeFamily::kSevSnp,
          .protection = Protection::kHardware};
}

LaunchDocument ordinary_document() { return {.vm_id = filled<16>(0x11)}; }

std::string refusal(const LaunchDocument& document) {
  const auto checked = check(document);
  EXPECT_TRUE(checked || checked.error().code == base::ErrorCode::kInvalidArgument);
  return checked ? "accepted" : checked.error().message;
}

// The same message as protobuf would write it, to be spoiled below the rules of encode().
pb::LaunchDocument message_of(const LaunchDocument& document) {
  pb::LaunchDocument message;
  const auto bytes = *encode(document);
  EXPECT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return message;
}

base::Result<LaunchDocument> decoded(const std::string& text) {
  return decode_launch_document(base::bytes_of(text));
}

void expect_corrupt(const std::string& text, const std::string& why) {
  const auto document = decoded(text);
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(document.error().message, HasSubstr(why));
}

TEST(LaunchDocumentTest, ComesBackAsItWasWritten) {
  for (const auto& document :
       {whole_document(), anchored_document(), sealed_document(), ordinary_document()}) {
    const auto bytes = encode(document);
    ASSERT_TRUE(bytes);

    const auto again = decode_launch_document(*bytes);

    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, document);
  }
}

// The bytes are a contract: a digest of them lies in launched VMs. Made by `protoc --encode`.
TEST(LaunchDocumentTest, HasTheEncodingThatProtocGives) {
  const auto bytes = encode(sealed_document());

  ASSERT_TRUE(bytes);
  EXPECT_EQ(base::to_hex(*bytes), "08011210" + std::string(32, '1') + "2002" + "3003" + "3802" +
                                      "4001" + "4801" + "5801");
}

TEST(LaunchDocumentTest, FitsItsLimitWithEveryFieldAtItsLargest) {
  auto document = anchored_document();
  document.broker_root_hashes.clear();
  for (unsigned char i = 0; i < kMaxBrokerRoots; ++i) {
    document.broker_root_hashes.push_back(filled<32>(i));
  }
  document.anchor_interval_seconds = 0xFFFFFFFF;

  const auto bytes = encode(document);

  ASSERT_TRUE(bytes);
  EXPECT_LE(bytes->size(), kMaxLaunchDocumentBytes);
  EXPECT_TRUE(decode_launch_document(*bytes));
}

TEST(LaunchDocumentTest, RefusesUnknownFields) {
  // Field 15, a varint.
  expect_corrupt(message_of(sealed_document()).SerializeAsString() + "\x78\x01", "canonical");
}

TEST(LaunchDocumentTest, RefusesFieldsOutOfOrderOrRepeated) {
  const auto text = message_of(sealed_document()).SerializeAsString();

  expect_corrupt(text.substr(2) + text.substr(0, 2), "canonical");
  expect_corrupt(text + text.substr(0, 2), "canonical");
}

TEST(LaunchDocumentTest, RefusesLongFormsOfNumbersAndWrittenDefaults) {
  auto text = message_of(sealed_document()).SerializeAsString();

  expect_corrupt(text + std::string("\x50\x00", 2), "canonical");
  expect_corrupt(std::string("\x08\x81\x00", 3) + text.substr(2), "canonical");
}

TEST(LaunchDocumentTest, RefusesEveryCutAndEveryAddedByte) {
  const auto text = message_of(sealed_document()).SerializeAsString();

  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(decoded(text.substr(0, size))) << size;
  }
  EXPECT_FALSE(decoded(text + '\0'));
  expect_corrupt(text + std::string(kMaxLaunchDocumentBytes, '\0'), "at most 1024");
}

TEST(LaunchDocumentTest, RefusesFieldsOfAnotherSize) {
  auto message = message_of(whole_document());
  message.set_vm_id("short");
  expect_corrupt(message.SerializeAsString(), "vm_id has 5 bytes, expected 16");

  message = message_of(whole_document());
  message.set_tenant("x");
  expect_corrupt(message.SerializeAsString(), "tenant");

  message = message_of(whole_document());
  message.set_broker_root_hashes(1, "x");
  expect_corrupt(message.SerializeAsString(), "broker_root_hashes");

  message = message_of(whole_document());
  message.set_policy_digest("x");
  expect_corrupt(message.SerializeAsString(), "policy_digest");
}

TEST(LaunchDocumentTest, RefusesUnknownAndMissingEnumerators) {
  auto message = message_of(sealed_document());
  message.set_protection(static_cast<pb::Protection>(9));
  expect_corrupt(message.SerializeAsString(), "protection has the unknown value 9");

  message = message_of(sealed_document());
  message.clear_lifetime();
  expect_corrupt(message.SerializeAsString(), "lifetime has the unknown value 0");

  message = message_of(sealed_document());
  message.set_tee_family(static_cast<pb::TeeFamily>(-1));
  expect_corrupt(message.SerializeAsString(), "tee_family has the unknown value -1");
}

TEST(LaunchDocumentTest, NamesALaterVersionWhateverElseItHolds) {
  auto message = message_of(sealed_document());
  message.set_version(2);
  message.set_protection(static_cast<pb::Protection>(9));

  expect_corrupt(message.SerializeAsString(), "version 2 is newer");

  message.set_version(0);
  expect_corrupt(message.SerializeAsString(), "has no version");
}

TEST(LaunchDocumentTest, RefusesWhatBreaksARuleBetweenFields) {
  auto message = message_of(sealed_document());
  message.set_tee_family(pb::TEE_FAMILY_NONE);

  expect_corrupt(message.SerializeAsString(), "needs a confidential VM");
}

TEST(LaunchDocumentRulesTest, AnEphemeralVmHasNoProtection) {
  for (const auto protection : {Protection::kHardware, Protection::kBroker}) {
    auto document = whole_document();
    document.lifetime = Lifetime::kEphemeral;
    document.protection = protection;
    EXPECT_THAT(refusal(document), HasSubstr("an ephemeral VM keeps no state"));
  }
  auto document = ordinary_document();
  document.lifetime = Lifetime::kEphemeral;
  EXPECT_THAT(refusal(document), HasSubstr("protection 'host' must be 'none'"));

  document.protection = Protection::kNone;
  EXPECT_EQ(refusal(document), "accepted");
  document = sealed_document();
  document.lifetime = Lifetime::kEphemeral;
  document.protection = Protection::kNone;
  EXPECT_EQ(refusal(document), "accepted");
}

TEST(LaunchDocumentRulesTest, AnEphemeralVmIsNotAnchored) {
  auto document = whole_document();
  document.lifetime = Lifetime::kEphemeral;
  document.protection = Protection::kNone;
  document.offline_rule = OfflineRule::kDeny;

  EXPECT_THAT(refusal(document), HasSubstr("anchor class must be 'none'"));
}

TEST(LaunchDocumentRulesTest, AnOrdinaryVmHasProtectionHostOrNone) {
  auto document = ordinary_document();
  EXPECT_EQ(refusal(document), "accepted");
  document.protection = Protection::kNone;
  EXPECT_EQ(refusal(document), "accepted");
  document.protection = Protection::kHardware;
  EXPECT_THAT(refusal(document), HasSubstr("needs a confidential VM"));
  document.protection = Protection::kBroker;
  EXPECT_THAT(refusal(document), HasSubstr("needs a confidential VM"));
}

TEST(LaunchDocumentRulesTest, AConfidentialVmIsNotProtectedByItsHost) {
  for (const auto family : {TeeFamily::kSevSnp, TeeFamily::kTdx}) {
    auto document = sealed_document();
    document.tee_family = family;
    EXPECT_EQ(refusal(document), "accepted");
    document.protection = Protection::kNone;
    EXPECT_EQ(refusal(document), "accepted");
    document.protection = Protection::kHost;
    EXPECT_THAT(refusal(document), HasSubstr("keeps nothing from the host"));
  }
}

TEST(LaunchDocumentRulesTest, ABrokerNeedsARootATenantAndAnAnchor) {
  auto document = whole_document();
  document.tenant.reset();
  EXPECT_THAT(refusal(document), HasSubstr("needs a tenant"));

  document = whole_document();
  document.broker_root_hashes.clear();
  EXPECT_THAT(refusal(document), HasSubstr("at least one broker root"));

  document = whole_document();
  document.anchor_class = AnchorClass::kNone;
  EXPECT_THAT(refusal(document), HasSubstr("needs an anchor class: 'boot'"));
}

TEST(LaunchDocumentRulesTest, ABrokerAnchorsAtStartAndStopAndRenewsNoLease) {
  for (const auto later : {AnchorClass::kInterval, AnchorClass::kCounter, AnchorClass::kEach}) {
    auto document = whole_document();
    document.anchor_class = later;
    document.anchor_interval_seconds = later == AnchorClass::kInterval ? 60 : 0;
    EXPECT_THAT(refusal(document), HasSubstr("'" + std::string(name(later)) + "' is not offered"));
  }
  auto document = whole_document();
  document.lease = Lease::kStrict;
  EXPECT_THAT(refusal(document), HasSubstr("a strict lease"));
}

TEST(LaunchDocumentRulesTest, AnAnchorNeedsABrokerRootWhateverTheProtection) {
  auto document = sealed_document();
  document.anchor_class = AnchorClass::kBoot;
  EXPECT_THAT(refusal(document), HasSubstr("at least one broker root"));

  document.broker_root_hashes = {filled<32>(0x33)};
  EXPECT_EQ(refusal(document), "accepted");
}

TEST(LaunchDocumentRulesTest, OnlyClassIntervalHasAnInterval) {
  auto document = anchored_document();
  document.anchor_interval_seconds = 59;
  EXPECT_THAT(refusal(document), HasSubstr("at least 60 seconds"));
  document.anchor_interval_seconds = 60;
  EXPECT_EQ(refusal(document), "accepted");
  document.anchor_class = AnchorClass::kCounter;
  EXPECT_THAT(refusal(document), HasSubstr("only anchor class 'interval'"));
}

TEST(LaunchDocumentRulesTest, LeaseAndOfflineRuleNeedTheirBroker) {
  auto document = sealed_document();
  document.lease = Lease::kStrict;
  EXPECT_THAT(refusal(document), HasSubstr("a strict lease"));

  document = sealed_document();
  document.offline_rule = OfflineRule::kAllow;
  EXPECT_THAT(refusal(document), HasSubstr("goes with protection 'broker' only"));
}

TEST(LaunchDocumentRulesTest, RootHashesAscendAndAreFew) {
  auto document = whole_document();
  document.broker_root_hashes = {filled<32>(2), filled<32>(1)};
  EXPECT_THAT(refusal(document), HasSubstr("must ascend"));
  document.broker_root_hashes = {filled<32>(1), filled<32>(1)};
  EXPECT_THAT(refusal(document), HasSubstr("must ascend"));

  document.broker_root_hashes.clear();
  for (unsigned char i = 0; i <= kMaxBrokerRoots; ++i) {
    document.broker_root_hashes.push_back(filled<32>(i));
  }
  EXPECT_THAT(refusal(document), HasSubstr("at most 8"));
}

TEST(LaunchDocumentRulesTest, IdsAreNotAllZero) {
  auto document = whole_document();
  document.vm_id = {};
  EXPECT_THAT(refusal(document), HasSubstr("VM id is all zero"));
  EXPECT_FALSE(encode(document));

  document = whole_document();
  document.tenant = Uuid{};
  EXPECT_THAT(refusal(document), HasSubstr("tenant is all zero"));
}

TEST(LaunchDocumentTest, DigestHasTheShapeThatEachTeeReports) {
  const auto bytes = *encode(sealed_document());
  const auto hex = [&](TeeFamily family) {
    return base::to_hex(launch_digest(bytes, family).bytes);
  };

  EXPECT_EQ(hex(TeeFamily::kSevSnp),
            base::to_hex(vmgs::crypto::sha256(bytes)) + std::string(32, '0'));
  EXPECT_EQ(hex(TeeFamily::kTdx), base::to_hex(vmgs::crypto::sha384(bytes)));
  EXPECT_EQ(hex(TeeFamily::kNone), base::to_hex(vmgs::crypto::sha384(bytes)));
}

TEST(LaunchDocumentTest, WordsComeBackAsTheirEnumerators) {
  for (const auto family : {TeeFamily::kNone, TeeFamily::kSevSnp, TeeFamily::kTdx}) {
    EXPECT_EQ(*parse_tee_family(name(family)), family);
  }
  for (const auto protection :
       {Protection::kNone, Protection::kHost, Protection::kHardware, Protection::kBroker}) {
    EXPECT_EQ(*parse_protection(name(protection)), protection);
  }
  EXPECT_EQ(*parse_lifetime("ephemeral"), Lifetime::kEphemeral);
  EXPECT_EQ(*parse_offline_rule("allow"), OfflineRule::kAllow);
  EXPECT_EQ(*parse_anchor_class("each"), AnchorClass::kEach);
  EXPECT_EQ(*parse_lease("strict"), Lease::kStrict);

  const auto wrong = parse_protection("Hardware");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message,
            "'Hardware' is no protection; expected one of none, host, hardware, broker");
}

}  // namespace
}  // namespace keybroker::protocol
