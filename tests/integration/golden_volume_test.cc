// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/golden.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// Every golden image opens, or does not, as its manifest says, and what opens can be written and
// read again.
namespace tests {
namespace {

using support::golden_image;
using support::golden_images;
using support::GoldenImage;
using support::GoldenKey;
using support::GoldenOutcome;
using vmgs::format::FileId;
using vmgs::volume::DatastoreKey;
using vmgs::volume::fixed_key;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;

DatastoreKey key_of(const GoldenKey& key) { return {base::Secret<32>::copy_of(key)}; }

std::string sha256_hex(const base::SecretBytes& content) {
  return base::to_hex(vmgs::crypto::sha256(content.expose()));
}

class GoldenVolumeTest : public testing::TestWithParam<GoldenImage> {
 protected:
  GoldenVolumeTest() : image_(GetParam()), device_(support::golden_device(image_)) {}

  [[nodiscard]] base::Result<Volume> open() { return Volume::open(*device_, image_.spacing); }

  // Unlocked with the first key, if it has one.
  [[nodiscard]] Volume opened() {
    auto volume = *open();
    if (!image_.keys.empty()) {
      EXPECT_TRUE(volume.unlock(fixed_key(key_of(image_.keys.front()))));
    }
    return volume;
  }

  const GoldenImage& image_;
  std::unique_ptr<vmgs::storage::BlockDevice> device_;
};

TEST_P(GoldenVolumeTest, OpensOrNotAsTheManifestSays) {
  const auto volume = open();

  switch (image_.outcome) {
    case GoldenOutcome::kOpens:
      ASSERT_TRUE(volume) << volume.error().message;
      EXPECT_EQ(volume->current().slot(), image_.active_slot);
      EXPECT_EQ(volume->current().header().sequence, image_.sequence);
      EXPECT_EQ(volume->encrypted(), image_.encrypted);
      EXPECT_EQ(volume->current().header().reprovisioned, image_.reprovisioned);
      EXPECT_EQ(volume->current().header().file_table_block, image_.file_table_block);
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(volume->current().header().key_slots[i].has_value(), image_.key_slots[i]);
      }
      break;
    case GoldenOutcome::kBlank:
      EXPECT_EQ(volume.error().code, base::ErrorCode::kNotFound);
      break;
    case GoldenOutcome::kVersion1:
      EXPECT_EQ(volume.error().code, base::ErrorCode::kDenied);
      break;
    case GoldenOutcome::kCorrupt:
      EXPECT_EQ(volume.error().code, base::ErrorCode::kCorrupt);
      break;
  }
}

TEST_P(GoldenVolumeTest, ReadsEveryFileWithEachKey) {
  if (image_.outcome != GoldenOutcome::kOpens) {
    return;
  }
  std::vector<std::optional<GoldenKey>> keys(image_.keys.begin(), image_.keys.end());
  if (keys.empty()) {
    keys.emplace_back();
  }
  for (const auto& key : keys) {
    auto volume = *open();
    if (key) {
      ASSERT_TRUE(volume.unlock(fixed_key(key_of(*key))));
    }
    EXPECT_EQ(volume.files().size(), image_.files.size());
    for (const auto& expected : image_.files) {
      const auto files = volume.files();
      const auto file = std::find_if(files.begin(), files.end(),
                                     [&](const auto& one) { return one.id == expected.id; });
      ASSERT_NE(file, files.end()) << describe(expected.id);
      EXPECT_EQ(file->size_bytes, expected.size_bytes);
      EXPECT_EQ(file->first_block, expected.first_block);
      EXPECT_EQ(file->allocated_blocks, expected.allocated_blocks);
      EXPECT_EQ(file->encrypted, expected.encrypted) << describe(expected.id);
      const auto content = volume.read(expected.id);
      if (expected.readable) {
        ASSERT_TRUE(content) << content.error().message;
        EXPECT_EQ(sha256_hex(*content), expected.sha256);
      } else {
        EXPECT_EQ(content.error().code, base::ErrorCode::kAuthentication);
      }
    }
  }
}

TEST_P(GoldenVolumeTest, NoWrongKeyOpensIt) {
  for (const auto& key : image_.wrong_keys) {
    auto volume = *open();
    EXPECT_EQ(volume.unlock(fixed_key(key_of(key))).error().code, base::ErrorCode::kAuthentication);
    EXPECT_TRUE(volume.locked());
  }
}

TEST_P(GoldenVolumeTest, ReadingLeavesEveryByteAsItWas) {
  if (image_.outcome != GoldenOutcome::kOpens) {
    return;
  }
  base::Bytes before(device_->size_bytes());
  ASSERT_TRUE(device_->read(0, before));

  const auto volume = opened();
  for (const auto& file : image_.files) {
    (void)volume.read(file.id);
  }

  base::Bytes after(device_->size_bytes());
  ASSERT_TRUE(device_->read(0, after));
  EXPECT_EQ(before, after);
}

TEST_P(GoldenVolumeTest, TakesAWriteAndKeepsTheRest) {
  if (image_.outcome != GoldenOutcome::kOpens) {
    return;
  }
  const base::Bytes content(700, std::byte{0x5A});
  Transaction transaction;
  transaction.put(FileId::kHibernationToken, content);
  {
    auto volume = opened();
    const auto written = volume.commit(transaction);
    if (!image_.writable) {
      EXPECT_EQ(written.error().code, base::ErrorCode::kDenied);
      return;
    }
    ASSERT_TRUE(written) << written.error().message;
  }

  const auto volume = opened();

  EXPECT_EQ(sha256_hex(*volume.read(FileId::kHibernationToken)),
            base::to_hex(vmgs::crypto::sha256(content)));
  EXPECT_FALSE(volume.current().header().reprovisioned);
  if (volume.encrypted()) {
    EXPECT_FALSE(volume.current().metadata_key_is_zero());
    EXPECT_TRUE(volume.current().file_table_digest_holds());
  }
  for (const auto& expected : image_.files) {
    const auto read = volume.read(expected.id);
    if (expected.readable) {
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_EQ(sha256_hex(*read), expected.sha256);
    } else {
      EXPECT_FALSE(read) << describe(expected.id);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Images, GoldenVolumeTest, testing::ValuesIn(golden_images()),
                         [](const auto& instance) { return support::test_name(instance.param); });

TEST(GoldenVolumeDetailTest, AWriteUnderOneOfTwoKeysMakesTheOtherUseless) {
  const auto& image = golden_image("03");
  for (std::size_t used = 0; used < 2; ++used) {
    const auto device = support::golden_device(image);
    const base::Bytes content(10);
    Transaction transaction;
    transaction.put(FileId::kTpmPpi, content);
    auto volume = *Volume::open(*device, image.spacing);
    ASSERT_TRUE(volume.unlock(fixed_key(key_of(image.keys[used]))));
    ASSERT_TRUE(volume.commit(transaction));

    auto again = *Volume::open(*device, image.spacing);
    EXPECT_EQ(again.unlock(fixed_key(key_of(image.keys[1 - used]))).error().code,
              base::ErrorCode::kAuthentication);
    EXPECT_TRUE(again.unlock(fixed_key(key_of(image.keys[used]))));
  }
}

TEST(GoldenVolumeDetailTest, AFileOverwrittenWithoutTheKeyReadsOnlyWithoutIt) {
  const auto& image = golden_image("18");
  const auto device = support::golden_device(image);
  const auto volume = *Volume::open(*device, image.spacing);

  for (const auto& [id, sha256] : image.without_key) {
    EXPECT_EQ(sha256_hex(*volume.read(id)), sha256);
  }
  EXPECT_FALSE(image.without_key.empty());
}

TEST(GoldenVolumeDetailTest, ATornHeaderIsReported) {
  const auto& image = golden_image("04");
  const auto device = support::golden_device(image);

  const auto volume = *Volume::open(*device, image.spacing);

  ASSERT_EQ(volume.findings().size(), 1U);
  EXPECT_EQ(volume.findings()[0].code, "bad-header");
}

}  // namespace
}  // namespace tests
