// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/variable_store.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "vmgs/uefi/bios_nvram.h"
#include "vmgs/uefi/flash_image_writer.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using tests::support::error_code;

Variable variable(std::u16string name, std::size_t size = 4) {
  Variable made;
  made.vendor = kGlobalVariable;
  made.name = std::move(name);
  made.attributes = 7;
  made.data = base::Bytes(size, std::byte{0x5a});
  return made;
}

// Both forms keep the same promises.
class VariableStoreTest : public testing::TestWithParam<StoreForm> {
 protected:
  [[nodiscard]] static VariableStore fresh() {
    auto content = GetParam() == StoreForm::kFlash ? ImageWriter().image() : base::Bytes();
    return *VariableStore::open(GetParam(), std::move(content));
  }

  // What another reader finds in the content.
  static VariableStore reopened(const VariableStore& store) {
    return *VariableStore::open(store.form(), store.content());
  }
};

TEST_P(VariableStoreTest, KeepsWhatIsSet) {
  auto store = fresh();
  ASSERT_TRUE(store.set(variable(u"One")));
  auto timed = variable(u"Two", 3);
  timed.attributes = 0x67;  // APPEND_WRITE says how, not what
  timed.timestamp = {2026, 1, 2, 3, 4, 5};
  ASSERT_TRUE(store.set(timed));

  const auto again = reopened(store);

  ASSERT_NE(again.find(kGlobalVariable, u"One"), nullptr);
  const auto* two = again.find(kGlobalVariable, u"Two");
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(two->data, timed.data);
  EXPECT_EQ(two->attributes, 0x27U);
  EXPECT_EQ(two->timestamp, timed.timestamp);
  EXPECT_EQ(again.find(kImageSecurityDatabase, u"One"), nullptr);
}

TEST_P(VariableStoreTest, ReplacesAndRemoves) {
  auto store = fresh();
  ASSERT_TRUE(store.set(variable(u"Same", 40)));
  ASSERT_TRUE(store.set(variable(u"Same", 5)));
  ASSERT_TRUE(store.set(variable(u"Other")));

  EXPECT_EQ(reopened(store).variables().size(), 2U);
  EXPECT_EQ(store.find(kGlobalVariable, u"Same")->data.size(), 5U);
  ASSERT_TRUE(store.remove(kGlobalVariable, u"Same"));
  EXPECT_EQ(reopened(store).find(kGlobalVariable, u"Same"), nullptr);
  EXPECT_EQ(error_code(store.remove(kGlobalVariable, u"Same")), ErrorCode::kNotFound);
}

TEST_P(VariableStoreTest, RefusesWhatIsVolatileOrEmpty) {
  auto store = fresh();
  auto gone = variable(u"Gone");
  gone.attributes = 6;

  EXPECT_EQ(error_code(store.set(gone)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(store.set(variable(u"Empty", 0))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(store.set(variable(u""))), ErrorCode::kInvalidArgument);
}

TEST_P(VariableStoreTest, SaysWhatRoomThereIsAndStaysAsItWasWhenThereIsNone) {
  auto store = fresh();
  ASSERT_TRUE(store.set(variable(u"First", 30000)));
  const auto before = store.content();
  base::Result<void> result;
  std::u16string name = u"A";
  while ((result = store.set(variable(name, 30000)))) {
    name += u"A";
    ASSERT_LT(name.size(), 8U) << "full at some time";
  }

  EXPECT_EQ(error_code(result), ErrorCode::kDenied);
  EXPECT_LT(store.room().available(), 30000U);
  EXPECT_EQ(store.find(kGlobalVariable, name), nullptr);
  EXPECT_NE(store.find(kGlobalVariable, u"First"), nullptr);
  EXPECT_EQ(store.room().packed, reopened(store).room().packed);
}

INSTANTIATE_TEST_SUITE_P(Forms, VariableStoreTest,
                         testing::Values(StoreForm::kFlash, StoreForm::kBiosNvram),
                         [](const auto& form) {
                           return form.param == StoreForm::kFlash ? "Flash" : "BiosNvram";
                         });

TEST(BiosNvramEncodeTest, RefusesWhatIsLargerThanTheFormatTakes) {
  EXPECT_TRUE(encode_bios_nvram({variable(u"Most", 32768)}));
  EXPECT_EQ(error_code(encode_bios_nvram({variable(u"More", 32769)})), ErrorCode::kDenied);
  EXPECT_TRUE(encode_bios_nvram({variable(std::u16string(1023, u'n'))}));
  EXPECT_EQ(error_code(encode_bios_nvram({variable(std::u16string(1024, u'n'))})),
            ErrorCode::kDenied);
}

TEST(ParseNameTest, ReadsUtf8AndRefusesTheRest) {
  EXPECT_EQ(*parse_name("Boot000A"), u"Boot000A");
  EXPECT_EQ(*parse_name("\xc3\xa9\xe2\x82\xac"), u"\u00e9\u20ac");
  EXPECT_EQ(text_of(*parse_name("\xc3\xa9\xe2\x82\xac")), "\xc3\xa9\xe2\x82\xac");
  for (const std::string_view bad :
       {"", "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf0\x9f\x98\x80"}) {
    EXPECT_EQ(error_code(parse_name(bad)), ErrorCode::kInvalidArgument) << bad;
  }
}

TEST(ParseGuidTest, ReadsNumbersAndNames) {
  EXPECT_EQ(*parse_guid("8be4df61-93ca-11d2-aa0d-00e098032b8c"), kGlobalVariable);
  EXPECT_EQ(*parse_guid("D719B2CB-3D3A-4596-A3BC-DAD00E67656F"), kImageSecurityDatabase);
  EXPECT_EQ(*parse_guid("EFI_GLOBAL_VARIABLE"), kGlobalVariable);
  EXPECT_EQ(error_code(parse_guid("nobody")), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace vmgs::uefi
