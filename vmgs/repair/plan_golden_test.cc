// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/support/golden.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/repair/packaging.h"
#include "vmgs/repair/plan.h"
#include "vmgs/repair/window.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// What a repair does to the golden images, which are other people's stores.
namespace vmgs::repair {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using tests::support::golden_image;
using tests::support::GoldenImage;
using tests::support::GoldenOutcome;

volume::DatastoreKey datastore_key(const tests::support::GoldenKey& key) {
  return {base::Secret<32>::copy_of(key)};
}

Patient patient_of(const GoldenImage& image) {
  Patient patient;
  if (!image.is_fixed_vhd) {
    patient.spacing = image.spacing;
  }
  return patient;
}

struct Repaired {
  Plan plan;
  base::Bytes bytes;
};

Repaired repaired(const GoldenImage& image, const Wishes& wishes = {}) {
  storage::MemoryDevice device(tests::support::golden_bytes(image));
  std::optional<volume::DatastoreKey> key;
  if (!image.keys.empty()) {
    key = datastore_key(image.keys.front());
  }
  auto plan = plan_repair(device, patient_of(image), key ? &*key : nullptr, wishes);
  EXPECT_TRUE(plan) << plan.error().message;
  if (!plan) {
    return {};
  }
  for (const auto& step : plan->steps) {
    EXPECT_TRUE(apply(device, step));
  }
  return {*std::move(plan), device.contents()};
}

std::vector<std::string> codes(const std::vector<volume::Finding>& findings) {
  std::vector<std::string> result;
  for (const auto& finding : findings) {
    result.push_back(finding.code);
  }
  return result;
}

// Every file of the manifest that read before reads the same.
void expect_files(const GoldenImage& image, const base::Bytes& bytes) {
  storage::MemoryDevice device(bytes);
  const auto packaging = find_packaging(device, patient_of(image));
  ASSERT_TRUE(packaging);
  Window window(device, packaging->store_bytes);
  auto opened = volume::Volume::open(window, packaging->spacing);
  ASSERT_TRUE(opened) << opened.error().message;
  if (opened->encrypted()) {
    ASSERT_TRUE(opened->unlock(volume::fixed_key(datastore_key(image.keys.front()))));
  }
  for (const auto& file : image.files) {
    if (file.readable) {
      const auto content = opened->read(file.id);
      ASSERT_TRUE(content) << content.error().message;
      EXPECT_EQ(base::to_hex(crypto::sha256(content->expose())), file.sha256);
    }
  }
}

class RepairGoldenTest : public ::testing::TestWithParam<GoldenImage> {};

TEST_P(RepairGoldenTest, LosesNothingThatReads) {
  const auto& image = GetParam();
  const auto result = repaired(image);

  if (image.outcome == GoldenOutcome::kOpens) {
    expect_files(image, result.bytes);
  }
  for (const auto& open : result.plan.open) {
    EXPECT_FALSE(open.message.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Images, RepairGoldenTest,
                         ::testing::ValuesIn(tests::support::golden_images()),
                         [](const auto& test) { return tests::support::test_name(test.param); });

class CurableGoldenTest : public ::testing::TestWithParam<const char*> {};

// Those that a repair makes clean without another word.
TEST_P(CurableGoldenTest, IsCleanAfterwards) {
  const auto& image = golden_image(GetParam());
  const auto result = repaired(image);

  EXPECT_FALSE(result.plan.steps.empty());
  for (const auto& open : result.plan.open) {
    EXPECT_NE(open.severity, volume::Severity::kError) << open.code;
  }
  for (const auto& finding : result.plan.after) {
    EXPECT_NE(finding.severity, volume::Severity::kError) << finding.code;
  }
}

INSTANTIATE_TEST_SUITE_P(Images, CurableGoldenTest, ::testing::Values("05", "07", "10", "15"),
                         [](const auto& test) { return "Image" + std::string(test.param); });

struct Wished {
  const char* image;
  Wishes wishes;
  const char* step;
};

class WishedGoldenTest : public ::testing::TestWithParam<Wished> {};

// Those that need a word of a person: without it that step is not taken, with it all is well.
TEST_P(WishedGoldenTest, IsRepairedOnceSomebodySaysSo) {
  const auto& image = golden_image(GetParam().image);
  const auto steps_of = [](const Plan& plan) {
    std::vector<std::string> result;
    for (const auto& step : plan.steps) {
      result.push_back(step.code);
    }
    return result;
  };

  EXPECT_THAT(steps_of(repaired(image).plan), ::testing::Not(Contains(GetParam().step)));
  const auto result = repaired(image, GetParam().wishes);

  EXPECT_THAT(steps_of(result.plan), Contains(GetParam().step));
  for (const auto& finding : result.plan.after) {
    EXPECT_NE(finding.severity, volume::Severity::kError) << finding.code;
  }
}

constexpr auto kTpm = format::FileId::kTpmNvram;

INSTANTIATE_TEST_SUITE_P(
    Images, WishedGoldenTest,
    ::testing::Values(
        Wished{"03", {.accepted = {"two-keys"}, .dropped = {}, .file_table = {}}, "two-keys"},
        Wished{"04", {.accepted = {"bad-header"}, .dropped = {}, .file_table = {}}, "bad-header"},
        Wished{"11", {.accepted = {"slot-1"}, .dropped = {}, .file_table = {}}, "sequence-gap"},
        Wished{"14", {.accepted = {}, .dropped = {kTpm}, .file_table = {}}, "bad-entry"},
        Wished{"15", {.accepted = {"wrong-size"}, .dropped = {}, .file_table = {}}, "wrong-size"},
        Wished{"16", {.accepted = {}, .dropped = {kTpm}, .file_table = {}}, "dropped"},
        Wished{"17",
               {.accepted = {"empty-encrypted"}, .dropped = {}, .file_table = {}},
               "empty-encrypted"},
        Wished{"18",
               {.accepted = {"attributes-differ"}, .dropped = {}, .file_table = {}},
               "attributes-differ"}),
    [](const auto& test) { return "Image" + std::string(test.param.image); });

TEST(RepairGoldenImagesTest, LeavesWhatIsCleanAsItIs) {
  for (const auto* const number : {"01", "02", "19"}) {
    EXPECT_THAT(repaired(golden_image(number)).plan.steps, IsEmpty()) << number;
  }
}

// No counter of ours is in the store of another maker, and a damaged header's own word is none.
TEST(RepairGoldenImagesTest, TakeNoDamagedHeaderForTheNewerUnasked) {
  const auto& image = golden_image("17");
  auto bytes = tests::support::golden_bytes(image);
  const auto at = [&image](std::size_t slot) { return slot * format::bytes(image.spacing); };
  const auto header = [&](std::size_t slot) {
    return format::decode_header(std::span(bytes).subspan(at(slot)).first<format::kHeaderBytes>());
  };
  ASSERT_TRUE(header(0) && header(1));
  ASSERT_NE(header(0)->file_table_block, header(1)->file_table_block);
  const std::size_t older = format::follows(header(0)->sequence, header(1)->sequence) ? 1 : 0;
  auto damaged = *header(older);
  damaged.sequence = header(1 - older)->sequence + 1;
  base::store(format::encode_header(damaged),
              std::span(bytes).subspan(at(older)).first<format::kHeaderBytes>());
  bytes[at(older) + 12] ^= std::byte{1};
  storage::MemoryDevice device(bytes);
  const auto key = datastore_key(image.keys.front());

  const auto plan = plan_repair(device, patient_of(image), &key, {});

  ASSERT_TRUE(plan);
  for (const auto& step : plan->steps) {
    EXPECT_NE(step.code, "bad-header") << step.message;
  }
  EXPECT_THAT(codes(plan->open), Contains("newer-header"));
}

// A commit into a store of another maker once took the old content of a plaintext file for its new
// one, and called a file encrypted that had become plaintext.
TEST(RepairGoldenImagesTest, TakePlaintextFilesInACommit) {
  const auto& image = golden_image("17");
  const auto device = tests::support::golden_device(image);
  auto store = volume::Volume::open(*device, image.spacing);
  ASSERT_TRUE(store);
  ASSERT_TRUE(store->unlock(volume::fixed_key(datastore_key(image.keys.front()))));
  const base::Bytes content(700, std::byte{0x33});
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  for (const auto id :
       {format::FileId::kTpmNvram, format::FileId::kCustomUefi, format::FileId::kVmUniqueId}) {
    transaction.put(id, content, volume::Protection::kPlaintext);
  }

  const auto committed = store->commit(transaction);

  ASSERT_TRUE(committed) << committed.error().message;
  for (const auto& change : transaction.changes()) {
    const auto read = store->read(change.id);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(base::copy_of(read->expose()), content);
  }
}

TEST(RepairGoldenImagesTest, SaysWhatToDoAboutWhatIsNoStore) {
  EXPECT_THAT(codes(repaired(golden_image("12")).plan.open), Contains("version-1"));
  EXPECT_THAT(codes(repaired(golden_image("13")).plan.open), Contains("blank"));
}

}  // namespace
}  // namespace vmgs::repair
