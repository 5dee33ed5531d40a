// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/integration/vmgs_case.h"
#include "tests/support/golden.h"
#include "vmgs/crypto/digest.h"

namespace tests::integration {
namespace {

using support::GoldenImage;
using support::GoldenOutcome;
using ::testing::IsEmpty;

// The golden images through the tool.
class VmgsGoldenTest : public VmgsCase {
 protected:
  [[nodiscard]] std::string unpacked(const GoldenImage& image) const {
    const auto bytes = support::golden_bytes(image);
    return make_file("image.vmgs", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
};

// Each of them, as its manifest says.
class VmgsEveryGoldenTest : public VmgsGoldenTest,
                            public ::testing::WithParamInterface<GoldenImage> {
 protected:
  void SetUp() override {
    store_ = unpacked(GetParam());
    before_ = content(store_);
    for (std::size_t i = 0; i < GetParam().keys.size(); ++i) {
      keys_.push_back(
          make_file("key" + std::to_string(i), base::to_hex(GetParam().keys[i]) + "\n"));
    }
  }

  // No command that only reads may have changed the image.
  void TearDown() override { EXPECT_TRUE(content(store_) == before_); }

  std::vector<std::string> with_key(std::vector<std::string> arguments, std::size_t key) const {
    if (key < keys_.size()) {
      arguments.insert(arguments.end(), {"--key", keys_[key]});
    }
    return arguments;
  }

  std::string store_;
  std::string before_;
  std::vector<std::string> keys_;
};

TEST_P(VmgsEveryGoldenTest, ChecksAsTheManifestSays) {
  const auto& image = GetParam();
  for (std::size_t key = 0; key < std::max<std::size_t>(keys_.size(), 1); ++key) {
    const bool clean = image.outcome == GoldenOutcome::kOpens && image.clean;
    const auto check = document(with_key({"check", store_}, key), clean ? 0 : 3);

    EXPECT_EQ(check.at("clean"), clean);
    for (const auto& code : image.must_report) {
      bool found = false;
      for (const auto& finding : check.at("findings").as_array()) {
        found = found || finding.at("code").as_string() == code;
      }
      EXPECT_TRUE(found) << code;
    }
  }
}

TEST_P(VmgsEveryGoldenTest, ShowsWhatTheManifestSays) {
  const auto& image = GetParam();
  if (image.outcome != GoldenOutcome::kOpens) {
    const int status = image.outcome == GoldenOutcome::kBlank      ? 4
                       : image.outcome == GoldenOutcome::kVersion1 ? 5
                                                                   : 6;
    EXPECT_EQ(vmgs({"info", store_}).status, status);
    return;
  }
  const auto info = document(with_key({"info", store_}, 0));

  EXPECT_EQ(info.at("container"), image.is_fixed_vhd ? "fixed-vhd" : "raw");
  EXPECT_EQ(info.at("header_spacing"), static_cast<int>(image.spacing));
  EXPECT_EQ(info.at("active_slot"), image.active_slot);
  EXPECT_EQ(info.at("sequence"), image.sequence);
  EXPECT_EQ(info.at("encrypted"), image.encrypted);
  EXPECT_EQ(info.at("reprovisioned"), image.reprovisioned);
  EXPECT_EQ(info.at("key_slots").at(0), image.key_slots[0]);
  EXPECT_EQ(info.at("key_slots").at(1), image.key_slots[1]);
  ASSERT_EQ(info.at("files").as_array().size(), image.files.size());
  for (std::size_t i = 0; i < image.files.size(); ++i) {
    const auto& listed = info.at("files").at(i);
    EXPECT_EQ(listed.at("id"), static_cast<int>(image.files[i].id));
    EXPECT_EQ(listed.at("size_bytes"), image.files[i].size_bytes);
    EXPECT_EQ(listed.at("first_block"), image.files[i].first_block);
    EXPECT_EQ(listed.at("blocks"), image.files[i].allocated_blocks);
    EXPECT_EQ(listed.at("encrypted"), image.files[i].encrypted);
  }
}

TEST_P(VmgsEveryGoldenTest, ReadsEveryFileWithEveryKey) {
  const auto& image = GetParam();
  for (std::size_t key = 0; key < std::max<std::size_t>(keys_.size(), 1); ++key) {
    for (const auto& stored : image.files) {
      const auto id = std::to_string(static_cast<int>(stored.id));
      const auto read = vmgs(with_key({"read", store_, id}, key));
      if (!stored.readable) {
        EXPECT_EQ(read.status, 6) << id;
        EXPECT_THAT(read.out, IsEmpty());
        continue;
      }
      EXPECT_EQ(read.status, 0) << id << read.err;
      EXPECT_EQ(base::to_hex(vmgs::crypto::sha256(base::bytes_of(read.out))), stored.sha256) << id;
    }
  }
}

TEST_P(VmgsEveryGoldenTest, RefusesWrongKeys) {
  const auto& image = GetParam();
  for (const auto& wrong : image.wrong_keys) {
    const auto key = make_file("wrong", base::to_hex(wrong));
    EXPECT_EQ(vmgs({"info", store_, "--key", key}).status, 6);
    EXPECT_EQ(vmgs({"check", store_, "--key", key}).status, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(Images, VmgsEveryGoldenTest, ::testing::ValuesIn(support::golden_images()),
                         [](const auto& test) { return support::test_name(test.param); });

TEST_F(VmgsGoldenTest, WritesNothingToAStoreWithOverlappingFiles) {
  const auto store = unpacked(support::golden_image("07"));
  const auto before = content(store);

  EXPECT_EQ(vmgs({"write", store, "45"}, "x").status, 5);
  EXPECT_EQ(vmgs({"delete", store, "3"}).status, 5);

  EXPECT_TRUE(content(store) == before);
}

TEST_F(VmgsGoldenTest, CuresAZeroMetadataKeyByAnyWriteWithTheKey) {
  const auto& image = support::golden_image("10");
  const auto store = unpacked(image);
  const auto key = make_file("key", base::to_hex(image.keys[0]));
  ASSERT_EQ(vmgs({"check", store, "--key", key}).status, 3);

  ASSERT_EQ(vmgs({"write", store, "45", "--key", key}, "x").status, 0);

  EXPECT_EQ(vmgs({"check", store, "--key", key}).status, 0);
}

TEST_F(VmgsGoldenTest, KeepsTheFooterOfAnotherMaker) {
  const auto& image = support::golden_image("09");
  const auto store = unpacked(image);
  const auto before = content(store);
  const auto key = make_file("key", base::to_hex(image.keys[0]));

  ASSERT_EQ(vmgs({"write", store, "45", "--key", key}, "x").status, 0);

  const auto after = content(store);
  ASSERT_EQ(after.size(), before.size());
  EXPECT_EQ(after.substr(after.size() - 512), before.substr(before.size() - 512));
  EXPECT_FALSE(after == before);
}

}  // namespace
}  // namespace tests::integration
