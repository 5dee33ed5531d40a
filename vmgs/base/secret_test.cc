// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/secret.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <type_traits>

#include "vmgs/base/bytes.h"

namespace base {
namespace {

Secret<32> filled_with(unsigned char value) {
  return *Secret<32>::filled_by([value](std::span<std::byte, 32> out) -> Result<void> {
    std::memset(out.data(), value, out.size());
    return {};
  });
}

TEST(SecretTest, CannotBeCopied) {
  EXPECT_FALSE(std::is_copy_constructible_v<Secret<32>>);
  EXPECT_FALSE(std::is_copy_constructible_v<SecretBytes>);
}

TEST(SecretTest, IsWipedWhenMovedFrom) {
  auto first = filled_with(0xAB);

  const auto second = std::move(first);

  EXPECT_TRUE(first.is_all_zero());  // NOLINT(bugprone-use-after-move): the wipe is the test
  EXPECT_TRUE(second.equals_in_constant_time(filled_with(0xAB)));
}

TEST(SecretTest, IsWipedWhenItDies) {
  alignas(Secret<32>) std::array<std::byte, sizeof(Secret<32>)> place{};
  auto* secret = new (place.data()) Secret<32>(filled_with(0xCD));
  ASSERT_FALSE(is_all_zero(place));

  std::destroy_at(secret);

  EXPECT_TRUE(is_all_zero(place));
}

TEST(SecretTest, PassesOnTheErrorOfItsMaker) {
  const auto secret = Secret<16>::filled_by([](std::span<std::byte, 16>) -> Result<void> {
    return fail(ErrorCode::kUnavailable, "no randomness");
  });

  ASSERT_FALSE(secret);
  EXPECT_EQ(secret.error().code, ErrorCode::kUnavailable);
}

TEST(SecretTest, TellsDifferentSecretsApart) {
  EXPECT_FALSE(filled_with(1).equals_in_constant_time(filled_with(2)));
}

}  // namespace
}  // namespace base
