// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/scalar.h"

#include <gtest/gtest.h>

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>

namespace keybroker::policy {
namespace {

namespace json = boost::json;

TEST(NumberTest, OrdersAcrossTheRangesOfBothTypes) {
  const std::array ascending{Number(std::numeric_limits<std::int64_t>::min()),
                             Number(std::int64_t{-2}),
                             Number(std::int64_t{-1}),
                             Number(std::int64_t{0}),
                             Number(std::uint64_t{1}),
                             Number(std::numeric_limits<std::int64_t>::max()),
                             Number(std::uint64_t{1} << 63U),
                             Number(std::numeric_limits<std::uint64_t>::max())};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      EXPECT_EQ(ascending.at(i) < ascending.at(j), i < j) << i << " " << j;
      EXPECT_EQ(ascending.at(i) == ascending.at(j), i == j) << i << " " << j;
    }
  }
}

TEST(NumberTest, IsTheSameWhicheverTypeItComesFrom) {
  EXPECT_EQ(Number(std::int64_t{7}), Number(std::uint64_t{7}));
  EXPECT_FALSE(Number(std::int64_t{-1}) == Number(std::numeric_limits<std::uint64_t>::max()));
}

TEST(ScalarTest, ReadsAndWritesWhatJsonHas) {
  for (const char* text : {"true", "false", "0", "-1", "-9223372036854775808",
                           "18446744073709551615", R"("")", R"("a\n\"b")"}) {
    const auto scalar = scalar_of(json::parse(text));
    ASSERT_TRUE(scalar) << text;
    EXPECT_EQ(json::serialize(json_of(*scalar)), text);
  }
}

TEST(ScalarTest, RefusesWhatTwoReadersCouldReadDifferently) {
  for (const char* text : {"null", "1.0", "1e3", "18446744073709551616", "[]", "{}"}) {
    EXPECT_FALSE(scalar_of(json::parse(text))) << text;
  }
}

TEST(ScalarTest, TakesBooleansOfAzureKeyVault) {
  EXPECT_EQ(bool_of(Scalar(true)), true);
  EXPECT_EQ(bool_of(Scalar(std::string("true"))), true);
  EXPECT_EQ(bool_of(Scalar(std::string("false"))), false);
  EXPECT_EQ(bool_of(Scalar(std::string("False"))), std::nullopt);
  EXPECT_EQ(bool_of(Scalar(std::string(""))), std::nullopt);
  EXPECT_EQ(bool_of(Scalar(Number(std::int64_t{1}))), std::nullopt);
}

TEST(GlobTest, MatchesWholeTexts) {
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("*", "abc"));
  EXPECT_TRUE(glob_matches("abc", "abc"));
  EXPECT_TRUE(glob_matches("a*c", "ac"));
  EXPECT_TRUE(glob_matches("a*c", "abcbc"));
  EXPECT_TRUE(glob_matches("*b*", "abc"));
  EXPECT_TRUE(glob_matches("a?c", "abc"));
  EXPECT_TRUE(glob_matches("a**", "a"));
  EXPECT_TRUE(glob_matches("*ab*ab", "abxabxab"));
  EXPECT_TRUE(glob_matches("westeurope-*", "westeurope-2"));

  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_FALSE(glob_matches("abc", "abcd"));
  EXPECT_FALSE(glob_matches("abc", "ab"));
  EXPECT_FALSE(glob_matches("a?c", "ac"));
  EXPECT_FALSE(glob_matches("?", ""));
  EXPECT_FALSE(glob_matches("a*c", "acb"));
  EXPECT_FALSE(glob_matches("*ab*ab", "abx"));
  EXPECT_FALSE(glob_matches("ABC", "abc"));
}

TEST(GlobTest, TakesNothingButStarAndQuestionMarkForSpecial) {
  EXPECT_TRUE(glob_matches("[a-z].+\\", "[a-z].+\\"));
  EXPECT_FALSE(glob_matches("[a-z]", "b"));
  EXPECT_FALSE(glob_matches(".", "b"));
}

TEST(GlobTest, TakesOneCharacterOfUtf8ForAQuestionMark) {
  EXPECT_TRUE(glob_matches("Z?rich", "Z\xC3\xBCrich"));
  EXPECT_TRUE(glob_matches("?", "\xE2\x82\xAC"));
  EXPECT_FALSE(glob_matches("??", "\xE2\x82\xAC"));
  EXPECT_FALSE(glob_matches("*?\xAC", "\xE2\x82\xAC"));
}

// A matcher that tried every split would not come back from this one.
TEST(GlobTest, EndsSoonWhereThePatternInvitesTrying) {
  std::string pattern;
  while (pattern.size() + 2 <= kMaxPatternBytes) {
    pattern += "*a";
  }
  EXPECT_FALSE(glob_matches(pattern + "b", std::string(kMaxMatchedBytes, 'a')));
}

}  // namespace
}  // namespace keybroker::policy
