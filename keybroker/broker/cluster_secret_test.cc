// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/cluster_secret.h"

#include <gtest/gtest.h>

#include <array>

namespace keybroker::broker {
namespace {

ClusterSecrets::Version version(std::uint32_t number, unsigned char filling) {
  std::array<std::byte, 32> bytes{};
  bytes.fill(std::byte{filling});
  return {number, base::Secret<32>::copy_of(bytes)};
}

base::Result<ClusterSecrets> with(ClusterSecrets::Version a, ClusterSecrets::Version b) {
  std::vector<ClusterSecrets::Version> versions;
  versions.push_back(std::move(a));
  versions.push_back(std::move(b));
  return ClusterSecrets::with(std::move(versions));
}

TEST(ClusterSecretsTest, TakesVersionsThatAscend) {
  const auto secrets = with(version(3, 1), version(7, 2));
  ASSERT_TRUE(secrets);
  EXPECT_EQ(secrets->newest().number, 7U);
  EXPECT_FALSE(with(version(7, 1), version(7, 2)));
  EXPECT_FALSE(with(version(7, 1), version(3, 2)));
  EXPECT_FALSE(with(version(0, 1), version(3, 2)));
  EXPECT_FALSE(with(version(1, 0), version(3, 2)));
  EXPECT_FALSE(ClusterSecrets::with({}));
}

TEST(ClusterSecretsTest, AddingOneKeepsTheOthers) {
  const auto first = *ClusterSecrets::generate();
  const auto both = *first.adding_one();
  ASSERT_EQ(both.versions().size(), 2U);
  EXPECT_EQ(both.newest().number, 2U);
  EXPECT_TRUE(both.versions()[0].bytes.equals_in_constant_time(first.newest().bytes));
  EXPECT_FALSE(both.newest().bytes.equals_in_constant_time(first.newest().bytes));
}

// Of replicas that read the file one after another, none makes what another does not know.
TEST(ClusterSecretsTest, ANewOneIsAcceptedBeforeItMakes) {
  const auto first = *ClusterSecrets::generate();
  EXPECT_FALSE(first.promoting_newest());
  const auto added = *first.adding_one();
  EXPECT_EQ(added.making().number, 1U);
  const auto promoted = *added.promoting_newest();
  EXPECT_EQ(promoted.making().number, 2U);
  EXPECT_EQ(promoted.versions().size(), 2U);

  const auto alone = *promoted.dropping(1);
  EXPECT_EQ(alone.versions().size(), 1U);
  EXPECT_EQ(alone.making().number, 2U);
  EXPECT_FALSE(alone.dropping(2)) << "none would be left";
  EXPECT_FALSE(added.dropping(1)) << "none would make";
  EXPECT_FALSE(added.dropping(7));
}

TEST(ClusterSecretsTest, ABootKeyIsOfItsVmItsEpochAndItsBoot) {
  const auto secret = version(1, 0x42);
  const protocol::Uuid vm{std::byte{1}};
  const protocol::BootId boot{std::byte{2}};
  const auto key = *boot_key(secret, vm, 5, boot);
  // HKDF-SHA256 with the info that the header names, by another implementation (Python's hmac).
  EXPECT_EQ(base::to_hex(key.expose()),
            "586bf5ea8c935be84a5bdf25a6e5305612ef0310188bbac8da37e7e4fc8b96bc");
  EXPECT_TRUE(key.equals_in_constant_time(*boot_key(secret, vm, 5, boot)));
  EXPECT_FALSE(key.equals_in_constant_time(*boot_key(secret, {std::byte{3}}, 5, boot)));
  EXPECT_FALSE(key.equals_in_constant_time(*boot_key(secret, vm, 6, boot)));
  EXPECT_FALSE(key.equals_in_constant_time(*boot_key(secret, vm, 5, {std::byte{4}})));
  EXPECT_FALSE(key.equals_in_constant_time(*boot_key(version(1, 0x43), vm, 5, boot)));
  EXPECT_FALSE(key.equals_in_constant_time(*challenge_key(secret)));
}

}  // namespace
}  // namespace keybroker::broker
