// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/variable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;
using tests::support::error_code;

Variable variable(const char16_t* name, State state, std::uint8_t value) {
  return {.vendor = kGlobalVariable,
          .name = name,
          .attributes = kNonVolatile,
          .timestamp = {},
          .data = base::Bytes(1, std::byte{value}),
          .state = state};
}

std::vector<int> values(const std::vector<Variable>& variables) {
  std::vector<int> found;
  for (const auto* each : current(variables)) {
    found.push_back(std::to_integer<int>(each->data[0]));
  }
  return found;
}

TEST(UefiVariableTest, KnowsItsVendorsByName) {
  EXPECT_EQ(to_string(kGlobalVariable), "8be4df61-93ca-11d2-aa0d-00e098032b8c");
  EXPECT_EQ(base::to_hex(kGlobalVariable), "61dfe48bca93d211aa0d00e098032b8c");
  EXPECT_EQ(known_name(kGlobalVariable), "EFI_GLOBAL_VARIABLE");
  EXPECT_EQ(known_name(kImageSecurityDatabase), "EFI_IMAGE_SECURITY_DATABASE");
  EXPECT_EQ(known_name(Guid{}), "");
}

TEST(UefiVariableTest, NamesEachAttribute) {
  EXPECT_THAT(attribute_names(0x27),
              ElementsAre("NON_VOLATILE", "BOOTSERVICE_ACCESS", "RUNTIME_ACCESS",
                          "TIME_BASED_AUTHENTICATED_WRITE_ACCESS"));
  EXPECT_THAT(attribute_names(0x80000101), ElementsAre("NON_VOLATILE", "0x80000100"));
  EXPECT_THAT(attribute_names(0), IsEmpty());
}

TEST(UefiVariableTest, TheLaterOfTwoCounts) {
  EXPECT_THAT(values({variable(u"a", State::kCurrent, 1), variable(u"b", State::kCurrent, 2),
                      variable(u"a", State::kCurrent, 3)}),
              ElementsAre(2, 3));
}

TEST(UefiVariableTest, OneThatIsBeingReplacedCountsOnlyWithoutItsSuccessor) {
  EXPECT_THAT(
      values({variable(u"a", State::kBeingReplaced, 1), variable(u"a", State::kIncomplete, 2)}),
      ElementsAre(1));
  EXPECT_THAT(
      values({variable(u"a", State::kBeingReplaced, 1), variable(u"a", State::kCurrent, 2)}),
      ElementsAre(2));
  EXPECT_THAT(
      values({variable(u"a", State::kCurrent, 1), variable(u"a", State::kBeingReplaced, 2)}),
      ElementsAre(1));
}

TEST(UefiVariableTest, DeletedOnesDoNotCount) {
  EXPECT_THAT(values({variable(u"a", State::kDeleted, 1)}), IsEmpty());
}

TEST(UefiVariableTest, AVendorsNameIsNotAnothers) {
  auto other = variable(u"a", State::kCurrent, 2);
  other.vendor = kImageSecurityDatabase;
  EXPECT_THAT(values({variable(u"a", State::kCurrent, 1), other}), ElementsAre(1, 2));
}

TEST(UefiVariableTest, ReadsANameUpToItsFirstZero) {
  EXPECT_EQ(*decode_name(*base::from_hex("500000004b000000")), u"P");
  EXPECT_EQ(*decode_name(*base::from_hex("0000")), u"");
}

TEST(UefiVariableTest, RefusesANameWithoutAnEndOrOfOddSize) {
  EXPECT_EQ(error_code(decode_name({})), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_name(*base::from_hex("5000"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_name(*base::from_hex("500000"))), ErrorCode::kCorrupt);
}

TEST(UefiVariableTest, WritesTextAsUtf8) {
  EXPECT_EQ(text_of(u"B\u00fc\u20ac"), "B\xc3\xbc\xe2\x82\xac");
  EXPECT_EQ(text_of(std::u16string(1, char16_t{0xd800})), "\xef\xbf\xbd");
}

}  // namespace
}  // namespace vmgs::uefi
