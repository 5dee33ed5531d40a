// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/flash_edit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "vmgs/uefi/flash_image_writer.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using tests::support::error_code;

const base::Bytes kOld(40, std::byte{0x11});
const base::Bytes kNew(24, std::byte{0x22});

Variable variable(std::u16string name, base::Bytes data = kNew) {
  Variable made;
  made.vendor = kGlobalVariable;
  made.name = std::move(name);
  made.attributes = 0x27;
  made.timestamp = {2026, 11, 22, 14, 30, 59};
  made.data = std::move(data);
  return made;
}

// The content of the variable that firmware finds under the name; nothing if there is none.
std::optional<base::Bytes> content(base::ByteView image, std::u16string_view name) {
  const auto flash = decode_flash(image);
  EXPECT_TRUE(flash);
  std::optional<base::Bytes> found;
  for (const auto* each : current(flash->variables)) {
    if (each->name == name) {
      EXPECT_FALSE(found) << "twice";
      found = each->data;
    }
  }
  return found;
}

// Fills all but `left` bytes of the store.
base::Bytes almost_full(std::size_t left) {
  ImageWriter writer;
  writer.add("Kept", kOld);
  const auto flash = *decode_flash(writer.image());
  const auto record = 60 + 10;  // header and name of "Fill"
  const auto data = flash.store_bytes - flash.used_bytes - left - record;
  return ImageWriter().add("Kept", kOld).add("Fill", base::Bytes(data)).image();
}

TEST(FlashEditTest, AddsAVariableBehindTheOthers) {
  const auto image = ImageWriter().add("Kept", kOld).image();

  const auto edited = *with_variable(image, variable(u"Fresh"));

  const auto flash = *decode_flash(edited);
  ASSERT_EQ(flash.variables.size(), 2U);
  EXPECT_EQ(flash.variables[1].name, u"Fresh");
  EXPECT_EQ(flash.variables[1].vendor, kGlobalVariable);
  EXPECT_EQ(flash.variables[1].attributes, 0x27U);
  EXPECT_EQ(flash.variables[1].timestamp, variable(u"").timestamp);
  EXPECT_EQ(flash.variables[1].data, kNew);
  EXPECT_EQ(flash.variables[1].state, State::kCurrent);
  EXPECT_EQ(content(edited, u"Kept"), kOld);
}

TEST(FlashEditTest, AddsToAStoreWithoutTimes) {
  const auto image = ImageWriter(false).add("Kept", kOld).image();

  const auto edited = *with_variable(image, variable(u"Fresh"));

  EXPECT_EQ(content(edited, u"Fresh"), kNew);
  EXPECT_EQ(content(edited, u"Kept"), kOld);
}

TEST(FlashEditTest, MarksWhatItReplacesAsDeletedAndChangesNothingElseOfIt) {
  const auto image = ImageWriter().add("Same", kOld).image();

  const auto edited = *with_variable(image, variable(u"Same"));

  const auto flash = *decode_flash(edited);
  ASSERT_EQ(flash.variables.size(), 2U);
  EXPECT_EQ(flash.variables[0].state, State::kDeleted);
  EXPECT_EQ(edited[kFirst + 2], std::byte{0x3c});
  EXPECT_EQ(flash.variables[0].data, kOld);
  EXPECT_EQ(content(edited, u"Same"), kNew);
}

TEST(FlashEditTest, TellsVendorsApart) {
  const auto image = ImageWriter().add("Same", kOld).image();
  auto other = variable(u"Same");
  other.vendor = kImageSecurityDatabase;

  const auto edited = *with_variable(image, other);

  EXPECT_EQ(current(decode_flash(edited)->variables).size(), 2U);
}

TEST(FlashEditTest, LeavesEverythingOutsideTheStoreAlone) {
  auto image = ImageWriter().add("Kept", kOld).image();
  const auto behind = kVolumeHeader + kStoreBytes;
  for (auto i = behind; i < image.size(); ++i) {
    image[i] = static_cast<std::byte>(i);
  }
  image = ImageWriter::with_right_sum(std::move(image));

  const auto edited = *with_variable(image, variable(u"Fresh"));

  EXPECT_TRUE(std::equal(edited.begin() + behind, edited.end(), image.begin() + behind));
  EXPECT_TRUE(std::equal(edited.begin(), edited.begin() + kFirst, image.begin()));
}

TEST(FlashEditTest, TakesTheLastBytesOfTheStore) {
  const auto image = almost_full(60 + 12 + 24);

  const auto edited = with_variable(image, variable(u"Fresh"));

  ASSERT_TRUE(edited) << edited.error().message;
  EXPECT_EQ(decode_flash(*edited)->used_bytes, kStoreBytes);
}

TEST(FlashEditTest, PacksTheStoreWhenThereIsNoRoomOtherwise) {
  auto image = almost_full(16);
  image = *with_variable(image, variable(u"Fill", kOld));  // the large one is deleted now

  const auto flash = *decode_flash(image);
  EXPECT_EQ(flash.variables.size(), 2U) << "packed: what was deleted is gone";
  EXPECT_EQ(content(image, u"Fill"), kOld);
  EXPECT_EQ(content(image, u"Kept"), kOld);
  EXPECT_EQ(image[kVolumeHeader + kStoreBytes - 1], std::byte{0xff});
}

TEST(FlashEditTest, BringsWhatWasBeingReplacedToRestWhenItPacks) {
  const auto flash = *decode_flash(almost_full(16));
  const auto fill = flash.variables[1].data;
  const auto image = ImageWriter().add("Kept", kOld, 0x3e).add("Fill", fill).image();

  const auto edited = *with_variable(image, variable(u"Fill", kOld));

  EXPECT_EQ(decode_flash(edited)->variables[0].state, State::kCurrent);
}

TEST(FlashEditTest, RefusesWhatHasNoRoomAndSaysHowMuchThereIs) {
  const auto image = almost_full(16);

  const auto edited = with_variable(image, variable(u"Fresh"));

  ASSERT_EQ(error_code(edited), ErrorCode::kDenied);
  EXPECT_THAT(edited.error().message, HasSubstr("96 bytes"));
  EXPECT_THAT(edited.error().message, HasSubstr(" 16 of "));
}

TEST(FlashEditTest, CountsWhatPackingWouldLeave) {
  const auto image = ImageWriter().add("Gone", kOld, 0x3d).add("Kept", kOld).image();

  EXPECT_EQ(packed_bytes(*decode_flash(image)), kStoreHeader + 60 + 12 + 40);
}

TEST(FlashEditTest, DeletesAVariableAndWhatItReplaced) {
  const auto image = ImageWriter().add("Same", kOld, 0x3e).add("Same", kNew).image();

  const auto edited = *without_variable(image, kGlobalVariable, u"Same");

  EXPECT_EQ(content(edited, u"Same"), std::nullopt);
  EXPECT_EQ(error_code(without_variable(edited, kGlobalVariable, u"Same")), ErrorCode::kNotFound);
}

TEST(FlashEditTest, RefusesAVariableWithoutNameOrContent) {
  const auto image = ImageWriter().image();

  EXPECT_EQ(error_code(with_variable(image, variable(u""))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(with_variable(image, variable(u"Empty", {}))), ErrorCode::kInvalidArgument);
}

TEST(FlashEditTest, PacksWhatIsDeletedAwayAndKeepsTheRest) {
  const auto image =
      *without_variable(ImageWriter().add("Gone", base::Bytes(500)).add("Kept", kOld).image(),
                        kGlobalVariable, u"Gone");

  const auto packed = *packed_image(image);

  const auto flash = *decode_flash(packed);
  ASSERT_EQ(flash.variables.size(), 1U);
  EXPECT_EQ(flash.used_bytes, packed_bytes(*decode_flash(image)));
  EXPECT_EQ(content(packed, u"Kept"), kOld);
  EXPECT_EQ(packed.size(), image.size());
}

}  // namespace
}  // namespace vmgs::uefi
