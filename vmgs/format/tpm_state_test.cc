// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/tpm_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/support/error_code.h"
#include "vmgs/format/swtpm_blob.h"

namespace vmgs::format {
namespace {

using base::ErrorCode;
using tests::support::error_code;

const VmId kVm = *parse_vm_id("00112233-4455-6677-8899-aabbccddeeff");

// How libtpms 0.9.2 begins its permanent and its volatile state.
const base::Bytes kPermanentBlob = *base::from_hex("0003ab36472300030003c9ea64310001");
const base::Bytes kVolatileBlob = *base::from_hex("000445637889000140000008000000");

// A state that the decoder accepts. Each test spoils one thing about it.
base::Bytes valid_state() {
  return base::copy_of(encode_tpm_state({.kind = TpmStateKind::kPermanent,
                                         .libtpms_version = 0x000902,
                                         .vm_id = kVm,
                                         .blob = kPermanentBlob})
                           .expose());
}

// An NV image of ms-tpm-20-ref with two records.
base::Bytes reference_image(std::size_t bytes) {
  base::Bytes image(bytes);
  image[0] = std::byte{1};
  image[3508] = std::byte{40};
  image[3508 + 40] = std::byte{24};
  return image;
}

TEST(TpmStateTest, HasItsDocumentedBytes) {
  const auto state = valid_state();

  EXPECT_EQ(base::to_hex(base::ByteView(state).first(36)),
            "53525453"                          // SRTS
            "0100"                              // version
            "01"                                // permanent
            "00"                                // no word of its seeds' protection
            "02090000"                          // libtpms 0.9.2
            "00112233445566778899aabbccddeeff"  // VM id
            "1000000000000000");                // length
  // The digest was made with Python's hashlib.
  EXPECT_EQ(base::to_hex(base::ByteView(state).subspan(36)),
            "92bd45b32f018ece3bc60f9c9f1a32ce760757bf8d726bb84f84cd3e1261113c" +
                base::to_hex(kPermanentBlob));
}

TEST(TpmStateTest, NotesTheProtectionOfItsSeedsInVersionTwo) {
  TpmState state{.vm_id = kVm, .blob = kPermanentBlob};
  for (const auto protection :
       {SeedProtection::kNone, SeedProtection::kHost, SeedProtection::kTee}) {
    state.seed_protection = protection;
    const auto bytes = encode_tpm_state(state);
    EXPECT_EQ(base::to_hex(bytes.expose().first(8)),
              "53525453020001" + base::to_hex(std::array{static_cast<std::byte>(protection)}));
    EXPECT_EQ(decode_tpm_state(bytes.expose())->seed_protection, protection);
  }
  EXPECT_EQ(decode_tpm_state(valid_state())->seed_protection, SeedProtection::kUnknown);
}

TEST(TpmStateTest, SaysInVersionThreeThatAnotherProgramHadIt) {
  const auto bytes = encode_tpm_state({.vm_id = kVm,
                                       .blob = kPermanentBlob,
                                       .seed_protection = SeedProtection::kHost,
                                       .imported = true});

  EXPECT_EQ(base::to_hex(bytes.expose().first(8)), "5352545303000102");
  EXPECT_TRUE(decode_tpm_state(bytes.expose())->imported);
  EXPECT_FALSE(decode_tpm_state(valid_state())->imported);
}

// With the digest made anew, so that nothing but the field is wrong.
TEST(TpmStateTest, RefusesAProtectionThatItsVersionDoesNotKnow) {
  TpmState state{.vm_id = kVm, .blob = kPermanentBlob};
  for (const auto protection : {4, 255}) {
    state.seed_protection = static_cast<SeedProtection>(protection);
    EXPECT_EQ(error_code(decode_tpm_state(encode_tpm_state(state).expose())), ErrorCode::kCorrupt);
  }
}

TEST(TpmStateTest, DecodesWhatItEncoded) {
  const auto bytes = valid_state();

  const auto state = decode_tpm_state(bytes);

  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->kind, TpmStateKind::kPermanent);
  EXPECT_EQ(state->libtpms_version, 0x000902U);
  EXPECT_EQ(state->vm_id, kVm);
  EXPECT_TRUE(std::ranges::equal(state->blob, kPermanentBlob));
}

TEST(TpmStateTest, RejectsEveryTruncation) {
  const auto whole = valid_state();
  for (std::size_t size = 4; size < whole.size(); ++size) {
    const auto state = decode_tpm_state(base::ByteView(whole).first(size));
    ASSERT_EQ(error_code(state), ErrorCode::kCorrupt) << size;
    EXPECT_THAT(state.error().message, testing::HasSubstr("cut")) << size;
  }
}

TEST(TpmStateTest, RejectsEveryFlippedBitOfItsBody) {
  const auto whole = valid_state();
  for (std::size_t at = 6; at < whole.size(); ++at) {
    auto spoilt = whole;
    spoilt[at] ^= std::byte{0x10};
    EXPECT_EQ(error_code(decode_tpm_state(spoilt)), ErrorCode::kCorrupt) << at;
  }
}

TEST(TpmStateTest, RejectsTrailingBytes) {
  auto state = valid_state();
  state.push_back(std::byte{0});

  EXPECT_EQ(error_code(decode_tpm_state(state)), ErrorCode::kCorrupt);
}

TEST(TpmStateTest, RefusesALaterVersionByName) {
  auto state = valid_state();
  state[4] = std::byte{4};

  EXPECT_EQ(error_code(decode_tpm_state(state)), ErrorCode::kDenied);
}

// A digest can be made by anybody, so a well-made envelope is not yet a good one.
TEST(TpmStateTest, RejectsAnUnknownKindUnderAGoodDigest) {
  const auto state = encode_tpm_state({.kind = static_cast<TpmStateKind>(3),
                                       .libtpms_version = 0,
                                       .vm_id = kVm,
                                       .blob = kPermanentBlob});

  EXPECT_EQ(error_code(decode_tpm_state(state.expose())), ErrorCode::kCorrupt);
}

TEST(TpmStateTest, NamesAForeignStateAndRefusesIt) {
  const auto bare = decode_tpm_state(kPermanentBlob);
  ASSERT_EQ(error_code(bare), ErrorCode::kDenied);
  EXPECT_THAT(bare.error().message, testing::HasSubstr("bare permanent state of libtpms"));

  const auto image = reference_image(32768);
  const auto reference = decode_tpm_state(image);
  ASSERT_EQ(error_code(reference), ErrorCode::kDenied);
  EXPECT_THAT(reference.error().message, testing::HasSubstr("OpenHCL"));
}

TEST(TpmStateTest, RejectsWhatItCannotName) {
  EXPECT_EQ(error_code(decode_tpm_state({})), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_tpm_state(base::Bytes(32768))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_tpm_state(base::bytes_of("random bytes"))), ErrorCode::kCorrupt);
}

TEST(TpmStateFormTest, KnowsLibtpmsBlobs) {
  EXPECT_EQ(recognise_tpm_state(kPermanentBlob), TpmStateForm::kLibtpmsPermanent);
  EXPECT_EQ(recognise_tpm_state(kVolatileBlob), TpmStateForm::kLibtpmsVolatile);
}

TEST(TpmStateFormTest, KnowsSwtpmsFilesAndBlobs) {
  const auto file = encode_swtpm_blob(SwtpmUse::kFile, kPermanentBlob);
  const auto blob = encode_swtpm_blob(SwtpmUse::kMigration, kPermanentBlob);
  auto encrypted = base::copy_of(file.expose());
  encrypted[5] = std::byte{9};

  EXPECT_EQ(recognise_tpm_state(file.expose()), TpmStateForm::kSwtpm);
  EXPECT_EQ(recognise_tpm_state(blob.expose()), TpmStateForm::kSwtpm);
  EXPECT_EQ(recognise_tpm_state(encrypted), TpmStateForm::kSwtpmEncrypted);
}

TEST(TpmStateFormTest, KnowsReferenceImagesOfBothSizes) {
  EXPECT_EQ(recognise_tpm_state(reference_image(32768)), TpmStateForm::kReferenceImage);
  EXPECT_EQ(recognise_tpm_state(reference_image(16384)), TpmStateForm::kReferenceImage);
}

TEST(TpmStateFormTest, KnowsASmallReferenceImageThatWasCut) {
  auto cut = reference_image(16384);
  cut[3508 + 40 + 2] = std::byte{1};  // the second record now runs past the end
  auto large = reference_image(32768);
  large[3508 + 40 + 2] = std::byte{1};

  EXPECT_EQ(recognise_tpm_state(cut), TpmStateForm::kReferenceImageCut);
  EXPECT_EQ(recognise_tpm_state(large), TpmStateForm::kUnknown);
}

TEST(TpmStateFormTest, DoesNotTakeRecordsWithoutRoomForAHandleForAReferenceImage) {
  auto image = reference_image(32768);
  image[3508] = std::byte{4};

  EXPECT_EQ(recognise_tpm_state(image), TpmStateForm::kUnknown);
}

TEST(TpmStateFormTest, DoesNotTakeNoiseForAReferenceImage) {
  base::Bytes noise(32768);
  std::uint32_t x = 1;
  for (auto& byte : noise) {
    x = x * 1664525 + 1013904223;
    byte = static_cast<std::byte>(x >> 24);
  }

  EXPECT_EQ(recognise_tpm_state(noise), TpmStateForm::kUnknown);
  noise.resize(16384);
  EXPECT_EQ(recognise_tpm_state(noise), TpmStateForm::kUnknown);
}

TEST(TpmStateFormTest, KnowsNothingAndZeros) {
  EXPECT_EQ(recognise_tpm_state({}), TpmStateForm::kEmpty);
  EXPECT_EQ(recognise_tpm_state(base::Bytes(100)), TpmStateForm::kAllZero);
  EXPECT_EQ(recognise_tpm_state(base::bytes_of("x")), TpmStateForm::kUnknown);
}

}  // namespace
}  // namespace vmgs::format
