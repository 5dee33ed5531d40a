// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/header_spacing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/error_code.h"
#include "vmgs/base/layout.h"

namespace vmgs::format {
namespace {

using ::tests::support::error_code;

// The first two blocks of a store, blank until a test puts headers there.
class Area {
 public:
  Area& put_header(std::size_t offset, std::uint32_t sequence) {
    Header header;
    header.sequence = sequence;
    header.file_table_block = 2;
    const auto raw = encode_header(header);
    std::ranges::copy(base::view(raw), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
    return *this;
  }

  // A header that kept its signature and lost its checksum, as a torn write leaves it.
  Area& put_torn_header(std::size_t offset) {
    put_header(offset, 9);
    bytes_[offset + 12] ^= std::byte{1};
    return *this;
  }

  [[nodiscard]] HeaderArea view() const { return HeaderArea(bytes_); }

 private:
  std::vector<std::byte> bytes_ = std::vector<std::byte>(kHeaderAreaBytes);
};

TEST(HeaderSpacingTest, IsWhereTheValidSecondHeaderLies) {
  EXPECT_EQ(*detect_header_spacing(Area().put_header(0, 1).put_header(512, 2).view()),
            HeaderSpacing::k512);
  EXPECT_EQ(*detect_header_spacing(Area().put_header(0, 1).put_header(4096, 2).view()),
            HeaderSpacing::k4096);
}

TEST(HeaderSpacingTest, IsRefusedWhenTwoHeadersClaimSlotOne) {
  const auto area = Area().put_header(0, 1).put_header(512, 2).put_header(4096, 2);

  const auto spacing = detect_header_spacing(area.view());

  ASSERT_FALSE(spacing);
  EXPECT_EQ(error_code(spacing), base::ErrorCode::kDenied);
}

TEST(HeaderSpacingTest, PrefersAValidHeaderToABareSignature) {
  EXPECT_EQ(*detect_header_spacing(Area().put_torn_header(512).put_header(4096, 2).view()),
            HeaderSpacing::k4096);
  EXPECT_EQ(*detect_header_spacing(Area().put_header(512, 2).put_torn_header(4096).view()),
            HeaderSpacing::k512);
}

TEST(HeaderSpacingTest, FollowsTheSignatureOfATornHeader) {
  EXPECT_EQ(*detect_header_spacing(Area().put_header(0, 1).put_torn_header(4096).view()),
            HeaderSpacing::k4096);
  EXPECT_EQ(*detect_header_spacing(Area().put_torn_header(512).put_torn_header(4096).view()),
            HeaderSpacing::k512);
}

TEST(HeaderSpacingTest, Assumes512ForAFreshStore) {
  const auto fresh = Area().put_header(0, 1);

  EXPECT_EQ(spacing_evidence(fresh.view()), SpacingEvidence::kNone);
  EXPECT_EQ(*detect_header_spacing(fresh.view()), HeaderSpacing::k512);
}

TEST(HeaderSpacingTest, PlacesTheSlots) {
  const auto area = Area().put_header(0, 1).put_header(512, 2).put_header(4096, 3);

  EXPECT_EQ(decode_header(header_at(area.view(), HeaderSpacing::k4096, 0))->sequence, 1U);
  EXPECT_EQ(decode_header(header_at(area.view(), HeaderSpacing::k512, 1))->sequence, 2U);
  EXPECT_EQ(decode_header(header_at(area.view(), HeaderSpacing::k4096, 1))->sequence, 3U);
}

TEST(HeaderSpacingTest, KnowsTwoSectorSizes) {
  EXPECT_EQ(*header_spacing_of(512), HeaderSpacing::k512);
  EXPECT_EQ(*header_spacing_of(4096), HeaderSpacing::k4096);
  EXPECT_EQ(error_code(header_spacing_of(520)), base::ErrorCode::kDenied);
  EXPECT_FALSE(header_spacing_of(4096ULL + (1ULL << 32)));
}

}  // namespace
}  // namespace vmgs::format
