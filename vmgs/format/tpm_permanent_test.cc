// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/tpm_permanent.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/support/error_code.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/swtpm_blob.h"

namespace vmgs::format {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint16_t kSha1 = 0x0004;
constexpr std::uint16_t kSha256 = 0x000B;
constexpr std::uint16_t kSha384 = 0x000C;
constexpr std::uint16_t kSha512 = 0x000D;

// What libtpms 0.9.2 wrote of a TPM whose life tests/data/swtpm/README.md tells.
base::Bytes state_in(const std::string& file) {
  std::ifstream in(STRONGROOM_TEST_DATA "/swtpm/" + file, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto blob = decode_swtpm_blob(base::bytes_of(whole));
  EXPECT_TRUE(blob) << file;
  return blob ? base::copy_of(blob->state) : base::Bytes();
}

TEST(TpmPermanentTest, ReadsWhatARealTpmLeft) {
  const auto state = state_in("tpm2-00.permall");

  const auto tpm = decode_tpm_permanent(state);

  ASSERT_TRUE(tpm) << tpm.error().message;
  EXPECT_EQ(tpm->not_understood, "");
  EXPECT_EQ(tpm->version, 3);
  ASSERT_TRUE(tpm->has_data);
  EXPECT_FALSE(tpm->clear_disabled);
  EXPECT_FALSE(tpm->owner.has_authorization);
  EXPECT_FALSE(tpm->owner.has_policy);
  EXPECT_EQ(tpm->reset_count, 1U);
  EXPECT_EQ(tpm->total_resets, 1U);
  EXPECT_EQ(tpm->shutdown, TpmShutdown::kNone);
  EXPECT_EQ(tpm->lockout.failed_tries, 0U);
  EXPECT_EQ(tpm->lockout.max_tries, 3U);
  EXPECT_EQ(tpm->lockout.recovery_seconds, 1000U);
  EXPECT_EQ(tpm->lockout.lockout_recovery_seconds, 1000U);
  EXPECT_TRUE(tpm->lockout.lockout_authorization_enabled);
  EXPECT_THAT(tpm->banks,
              ElementsAre(TpmPcrBank{kSha1, 0xFFFFFF}, TpmPcrBank{kSha256, 0xFFFFFF},
                          TpmPcrBank{kSha384, 0xFFFFFF}, TpmPcrBank{kSha512, 0xFFFFFF}));
  EXPECT_TRUE(tpm->clock);
  EXPECT_FALSE(tpm->resumable);  // it was not shut down with its state
  ASSERT_TRUE(tpm->nv);
  ASSERT_EQ(tpm->nv->indices.size(), 1U);
  const auto& index = tpm->nv->indices[0];
  EXPECT_EQ(index.index, 0x01500016U);
  EXPECT_EQ(index.data_bytes, 16);
  EXPECT_EQ(index.name_algorithm, kSha256);
  EXPECT_FALSE(index.has_policy);
  EXPECT_FALSE(index.has_authorization);
  EXPECT_TRUE(std::ranges::equal(index.content, base::bytes_of("state from swtpm")));
  EXPECT_THAT(tpm->nv->objects, IsEmpty());
}

TEST(TpmPermanentTest, ReadsThePcrsOfATpmThatRan) {
  const auto state = state_in("volatile.blob");

  const auto tpm = decode_tpm_volatile(state);

  ASSERT_TRUE(tpm) << tpm.error().message;
  EXPECT_EQ(tpm->not_understood, "");
  ASSERT_TRUE(tpm->resumable);
  EXPECT_TRUE(tpm->resumable->owner_enabled);
  EXPECT_TRUE(tpm->resumable->endorsement_enabled);
  EXPECT_TRUE(tpm->platform_enabled);
  ASSERT_EQ(tpm->pcrs.size(), 4U);
  const auto& bank = tpm->pcrs[1];
  ASSERT_EQ(bank.algorithm, kSha256);
  ASSERT_EQ(bank.values.size(), 24U);
  // PCR 16 was extended once from zero.
  const base::Bytes zero(32);
  const auto measured = crypto::sha256(base::bytes_of("measured by swtpm"));
  EXPECT_TRUE(std::ranges::equal(bank.values[16], crypto::sha256({zero, measured})));
  EXPECT_TRUE(base::is_all_zero(bank.values[0]));
  EXPECT_TRUE(
      std::ranges::all_of(bank.values[17], [](std::byte each) { return each == std::byte{0xFF}; }));
}

TEST(TpmPermanentTest, RefusesWhatIsNoSuchState) {
  const auto permanent = state_in("tpm2-00.permall");
  const auto running = state_in("volatile.blob");

  EXPECT_EQ(tests::support::error_code(decode_tpm_permanent(running)), base::ErrorCode::kCorrupt);
  EXPECT_EQ(tests::support::error_code(decode_tpm_volatile(permanent)), base::ErrorCode::kCorrupt);
  EXPECT_EQ(tests::support::error_code(decode_tpm_permanent({})), base::ErrorCode::kCorrupt);
}

// Wherever it is cut it says so, and never that it understood the whole.
TEST(TpmPermanentTest, SaysOfEachCutThatItIsNotWhole) {
  for (const auto* file : {"tpm2-00.permall", "volatile.blob"}) {
    const auto state = state_in(file);
    const bool is_running = std::string_view(file) == "volatile.blob";
    for (std::size_t size = 8; size < std::min<std::size_t>(state.size(), 1400); ++size) {
      const auto cut = base::ByteView(state).first(size);
      if (is_running) {
        const auto tpm = decode_tpm_volatile(cut);
        ASSERT_TRUE(tpm);
        EXPECT_NE(tpm->not_understood, "") << size;
      } else {
        const auto tpm = decode_tpm_permanent(cut);
        ASSERT_TRUE(tpm);
        EXPECT_NE(tpm->not_understood, "") << size;
        EXPECT_FALSE(tpm->nv) << size;
      }
    }
  }
}

// Another version of a part in the middle costs that part and not what is found by itself.
TEST(TpmPermanentTest, KeepsTheNvMemoryWhereAnEarlierPartIsNotUnderstood) {
  auto state = state_in("tpm2-00.permall");
  const auto magic = *base::from_hex("12213443");  // PERSISTENT_DATA
  const auto found = std::ranges::search(state, magic);
  ASSERT_FALSE(found.empty());
  *found.begin() = std::byte{0x99};

  const auto tpm = decode_tpm_permanent(state);

  ASSERT_TRUE(tpm);
  EXPECT_FALSE(tpm->has_data);
  EXPECT_NE(tpm->not_understood, "");
  ASSERT_TRUE(tpm->nv);
  EXPECT_EQ(tpm->nv->indices.size(), 1U);
}

// A profile, and state of 0.10's version, is passed over and shown.
TEST(TpmPermanentTest, ReadsTheProfileOfALaterVersion) {
  auto state = state_in("tpm2-00.permall");
  state[1] = std::byte{4};
  const std::string profile = R"({"Name":"default-v1","StateFormatLevel":7})";
  base::Bytes inserted = {std::byte{0}, static_cast<std::byte>(profile.size() + 1)};
  const auto text = base::bytes_of(profile);
  inserted.insert(inserted.end(), text.begin(), text.end());
  inserted.push_back(std::byte{0});
  state.insert(state.begin() + 8, inserted.begin(), inserted.end());

  const auto tpm = decode_tpm_permanent(state);

  ASSERT_TRUE(tpm);
  EXPECT_EQ(tpm->not_understood, "");
  EXPECT_EQ(tpm->profile, profile);
  EXPECT_EQ(tpm->lockout.max_tries, 3U);
}

}  // namespace
}  // namespace vmgs::format
