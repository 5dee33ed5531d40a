// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/sealed_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

using ::testing::HasSubstr;

// An entry that every rule accepts. Each test spoils one thing about it.
SealedKey valid_entry(TeeType type = TeeType::kSnp) {
  SealedKey entry;
  entry.tee_type = type;
  entry.svn[0] = std::byte{3};
  entry.measurement.fill(std::byte{0x22});
  std::fill_n(entry.launch_digest.begin(), 32, std::byte{0x33});
  entry.vm_id.bytes.fill(std::byte{0x44});
  entry.nonce.fill(std::byte{0x55});
  entry.ciphertext.fill(std::byte{0x66});
  entry.tag.fill(std::byte{0x77});
  return entry;
}

void expect_corrupt(base::ByteView bytes, const std::string& why) {
  const auto entries = decode_sealed_keys(bytes);
  ASSERT_FALSE(entries);
  EXPECT_EQ(entries.error().code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(entries.error().message, HasSubstr(why));
}

// Overwrites one byte of a valid file with one entry.
void expect_corrupt_at(std::size_t offset, unsigned char value, const std::string& why,
                       TeeType type = TeeType::kSnp) {
  auto bytes = *encode_sealed_keys({valid_entry(type)});
  bytes[offset] = std::byte{value};
  expect_corrupt(bytes, why);
}

constexpr std::size_t kEntry = 8;

TEST(SealedKeysTest, HasTheDocumentedBytes) {
  const auto bytes = *encode_sealed_keys({valid_entry(TeeType::kSimulatedSnp)});

  const auto times = [](const char* byte, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += byte;
    }
    return text;
  };
  EXPECT_EQ(base::to_hex(bytes),
            "5352534b"
            "0100"
            "01"
            "00"
            "004d4953"
            "29000000"
            "03" +
                times("00", 31) + times("22", 48) + times("33", 32) + times("00", 16) +
                times("44", 16) + times("55", 12) + times("66", 32) + times("77", 16) + "00000000");
}

TEST(SealedKeysTest, RoundTripsEveryTeeTypeAndBothCounts) {
  for (const auto type :
       {TeeType::kSnp, TeeType::kTdx, TeeType::kSimulatedSnp, TeeType::kSimulatedTdx}) {
    const std::vector<SealedKey> one{valid_entry(type)};
    const std::vector<SealedKey> two{valid_entry(type), valid_entry()};

    EXPECT_EQ(*decode_sealed_keys(*encode_sealed_keys(one)), one);
    EXPECT_EQ(*decode_sealed_keys(*encode_sealed_keys(two)), two);
  }
}

TEST(SealedKeysTest, ContextIsTheEntryUpToItsNonce) {
  const auto bytes = *encode_sealed_keys({valid_entry()});

  const auto context = sealed_key_context(valid_entry());

  EXPECT_EQ(base::to_hex(context), base::to_hex(base::ByteView(bytes).subspan(kEntry, 152)));
}

TEST(SealedKeysTest, RefusesToWriteNoneOrThree) {
  EXPECT_FALSE(encode_sealed_keys({}));
  EXPECT_FALSE(encode_sealed_keys({valid_entry(), valid_entry(), valid_entry()}));
}

TEST(SealedKeysTest, RejectsAnotherHeader) {
  expect_corrupt_at(0, 'X', "does not begin with SRSK");
  expect_corrupt_at(4, 2, "version 2 is not known");
  expect_corrupt_at(5, 1, "version 257 is not known");
  expect_corrupt_at(6, 0, "has 0 entries");
  expect_corrupt_at(6, 3, "has 3 entries");
  expect_corrupt_at(6, 2, "2 entries take 440");
  expect_corrupt_at(7, 1, "reserved byte");
}

TEST(SealedKeysTest, RejectsEverySizeButTheRightOne) {
  auto bytes = *encode_sealed_keys({valid_entry(), valid_entry()});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_sealed_keys(base::ByteView(bytes).first(size))) << size;
  }
  bytes.push_back(std::byte{0});
  expect_corrupt(bytes, "has 441 bytes");
}

TEST(SealedKeysTest, RejectsUnknownTeeTypes) {
  expect_corrupt_at(kEntry, 2, "entry 0 has the unknown TEE type 2");
  expect_corrupt_at(kEntry + 3, 0x53, "unknown TEE type");
}

TEST(SealedKeysTest, RejectsAKeyThatIsBoundToLess) {
  // 0x21 is the reference's "signer": any image with the same policy word derives that key.
  expect_corrupt_at(kEntry + 4, 0x21, "bound to 33, for SEV-SNP only 41 is known");
  expect_corrupt_at(kEntry + 4, 0x01, "for TDX only 25 is known", TeeType::kTdx);
  expect_corrupt_at(kEntry + 7, 0x01, "bound to");
}

TEST(SealedKeysTest, RejectsBytesBehindTheFieldsOfSnp) {
  expect_corrupt_at(kEntry + 8 + 8, 1, "more than a TCB version");
  expect_corrupt_at(kEntry + 88 + 32, 1, "longer than HOST_DATA");

  auto tdx = valid_entry(TeeType::kTdx);
  tdx.svn.fill(std::byte{1});
  tdx.launch_digest.fill(std::byte{1});
  EXPECT_TRUE(decode_sealed_keys(*encode_sealed_keys({tdx})));
}

TEST(SealedKeysTest, RejectsATailThatIsNotZeroInEitherEntry) {
  expect_corrupt_at(kEntry + 215, 1, "entry 0 does not end in zero");

  auto bytes = *encode_sealed_keys({valid_entry(), valid_entry()});
  bytes.back() = std::byte{1};
  expect_corrupt(bytes, "entry 1 does not end in zero");
}

}  // namespace
}  // namespace vmgs::format
