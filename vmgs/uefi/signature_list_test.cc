// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/signature_list.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using tests::support::error_code;

base::Bytes hash(std::uint8_t value, std::uint8_t owner = 1) {
  base::Bytes signature(kOwnerBytes, std::byte{owner});
  signature.resize(kOwnerBytes + 32, std::byte{value});
  return signature;
}

SignatureList hashes(std::vector<base::Bytes> signatures) {
  return {.type = kSha256Signature,
          .header = {},
          .signature_bytes = kOwnerBytes + 32,
          .signatures = std::move(signatures)};
}

SignatureList certificate(std::size_t size) {
  return {.type = kX509Signature,
          .header = {},
          .signature_bytes = kOwnerBytes + size,
          .signatures = {base::Bytes(kOwnerBytes + size, std::byte{0x30})}};
}

TEST(SignatureListTest, ReadsWhatItWrites) {
  auto with_header = hashes({hash(1)});
  with_header.header = base::Bytes(5, std::byte{9});
  const std::vector<SignatureList> lists = {certificate(700), hashes({hash(1), hash(2)}),
                                            hashes({}), with_header};

  EXPECT_EQ(*decode_signature_lists(encode_signature_lists(lists)), lists);
  EXPECT_EQ(count(lists), 4U);
  EXPECT_EQ(certificates_of(lists), (std::vector<base::Bytes>{base::Bytes(700, std::byte{0x30})}));
  EXPECT_TRUE(decode_signature_lists({})->empty());
}

TEST(SignatureListTest, RefusesSizesThatDoNotFit) {
  const auto good = encode_signature_lists({hashes({hash(1)})});
  const auto with = [&](std::size_t at, std::uint8_t value) {
    auto bytes = good;
    bytes[at] = std::byte{value};
    return bytes;
  };

  EXPECT_EQ(error_code(decode_signature_lists(with(16, 0x4d))), ErrorCode::kCorrupt);  // list
  EXPECT_EQ(error_code(decode_signature_lists(with(16, 10))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_signature_lists(with(23, 0xff))), ErrorCode::kCorrupt);  // header
  EXPECT_EQ(error_code(decode_signature_lists(with(24, 15))), ErrorCode::kCorrupt);    // signature
  EXPECT_EQ(error_code(decode_signature_lists(with(24, 0))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_signature_lists(with(24, 31))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_signature_lists(base::ByteView(good).first(good.size() - 1))),
            ErrorCode::kCorrupt);
}

TEST(SignatureListTest, AppendsWhatIsNotThereYetAndKeepsTheListsApart) {
  const auto present = encode_signature_lists({certificate(700), hashes({hash(1), hash(2)})});
  const auto more =
      encode_signature_lists({hashes({hash(2), hash(3)}), certificate(700), hashes({hash(4)})});

  const auto appended = *append_signatures(present, more);

  EXPECT_EQ(appended.added, 2U);
  EXPECT_EQ(appended.known, 2U);
  EXPECT_EQ(*decode_signature_lists(appended.content),
            (std::vector<SignatureList>{certificate(700), hashes({hash(1), hash(2)}),
                                        hashes({hash(3)}), hashes({hash(4)})}));
}

TEST(SignatureListTest, TakesAnotherOwnersEntryAsAnotherOneAsFirmwareDoes) {
  const auto present = encode_signature_lists({hashes({hash(1, 1)})});
  const auto more = encode_signature_lists({hashes({hash(1, 2)})});

  EXPECT_EQ(append_signatures(present, more)->added, 1U);
}

TEST(SignatureListTest, RefusesToAppendToOrOfWhatIsNoList) {
  const auto good = encode_signature_lists({hashes({hash(1)})});
  const base::Bytes bad(30, std::byte{7});

  EXPECT_EQ(error_code(append_signatures(bad, good)), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(append_signatures(good, bad)), ErrorCode::kCorrupt);
}

TEST(SignatureListTest, KnowsWhatFirmwareRefuses) {
  const auto verdict = [](const SignatureList& list) {
    return error_code(check_signature_lists({hashes({hash(1)}), list}));
  };
  auto with_header = certificate(700);
  with_header.header = base::Bytes(1);
  auto too_long = hashes({base::Bytes(kOwnerBytes + 33)});
  too_long.signature_bytes = kOwnerBytes + 33;
  auto unknown = hashes({hash(1)});
  unknown.type[0] ^= std::byte{1};
  auto sha1 = hashes({base::Bytes(kOwnerBytes + 20)});
  sha1.type = *parse_guid("826ca512-cf10-4ac9-b187-be01496631bd");
  EXPECT_EQ(verdict(sha1), ErrorCode::kCorrupt) << "of 48 bytes";
  sha1.signature_bytes = kOwnerBytes + 20;

  EXPECT_TRUE(check_signature_lists({certificate(700), hashes({hash(1)}), hashes({}), sha1}));
  EXPECT_EQ(verdict(with_header), ErrorCode::kCorrupt);
  EXPECT_EQ(verdict(too_long), ErrorCode::kCorrupt);
  EXPECT_EQ(verdict(unknown), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vmgs::uefi
