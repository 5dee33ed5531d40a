// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/contents.h"

#include <gmock/gmock.h>

#include "tests/support/golden.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/repair/examined_store.h"

namespace vmgs::repair {
namespace {

using format::FileId;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using volume::Severity;

TEST(ExamineContentsTest, WarnsOfFilesOfTheWrongSize) {
  ExaminedStore store{std::optional<volume::DatastoreKey>()};
  store.put(FileId::kTpmPpi, 27);
  store.put(FileId::kTpmNvram, 1000);
  store.put(FileId::kRtcSkew, 8);
  store.put(FileId::kGuestWatchdog, 2);
  store.put(FileId::kHwKeyProtector, 128);
  store.put(FileId::kHibernationToken, 0);

  std::vector<std::string> wrong;
  for (const auto& found : store.examine().findings) {
    if (found.code == "wrong-size") {
      EXPECT_EQ(found.severity, Severity::kWarning);
      wrong.push_back(found.where);
    }
  }
  EXPECT_THAT(wrong, ElementsAre("TPM_PPI (2)", "GUEST_WATCHDOG (10)", "HIBERNATION_TOKEN (14)",
                                 "TPM_NVRAM (3)"));
}

TEST(ExamineContentsTest, KnowsTheTwoSizesOfATpmStateOfOthers) {
  for (const std::size_t size : {std::size_t{16384}, std::size_t{32768}}) {
    ExaminedStore store{std::optional<volume::DatastoreKey>()};
    store.put(FileId::kTpmNvram, size);

    EXPECT_THAT(codes(store.examine()), Not(Contains("wrong-size")));
  }
}

TEST(ExamineContentsTest, SaysWhatATpmStateOfOthersIsAndWhenOursIsDamaged) {
  ExaminedStore store{std::optional<volume::DatastoreKey>()};
  store.put(FileId::kTpmNvram, 32768);
  EXPECT_THAT(codes(store.examine()), ElementsAre("foreign-tpm-state"));

  const base::Bytes zeros(32);
  format::TpmState state;
  state.blob = zeros;
  const auto ours = format::encode_tpm_state(state);
  store.put(FileId::kTpmNvram, ours.size());
  const auto at =
      std::size_t{store.entry(FileId::kTpmNvram).first_block.value()} * format::kBlockBytes;
  store.write(at, ours.expose());
  EXPECT_THAT(codes(store.examine()), IsEmpty());

  store.write(at + ours.size() - 1, base::bytes_of("x"));
  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kError, "bad-content", "TPM_NVRAM (3)")));
}

TEST(ExamineContentsTest, ReportsProtectorsAndRecordsThatDoNotDecode) {
  ExaminedStore store{std::optional<volume::DatastoreKey>()};
  store.put(FileId::kSealedKeys, 224);
  store.put(FileId::kRecord, 10);

  EXPECT_THAT(store.examine().findings,
              ElementsAre(finding(Severity::kError, "bad-content", "SEALED_KEYS (48)"),
                          finding(Severity::kError, "bad-content", "RECORD (49)")));
}

// Stores of other makers have no digests, so their tables can be changed and still open.
class ExamineForeignTest : public ::testing::Test {
 protected:
  const tests::support::GoldenImage& image_ = tests::support::golden_image("02");
  const volume::DatastoreKey key_{base::Secret<32>::copy_of(image_.keys[0])};
  ExaminedStore store_{tests::support::golden_bytes(image_)};
};

TEST_F(ExamineForeignTest, FindsAKeyOfAFileThatSomebodyRemoved) {
  store_.change_entry(static_cast<FileId>(45), [](auto& raw) { raw = {}; });

  EXPECT_THAT(store_.examine(&key_).findings,
              Contains(finding(Severity::kWarning, "orphan-key", "file 45")));
}

TEST_F(ExamineForeignTest, BelievesTheSealedTableAboutEncryption) {
  store_.change_entry(FileId::kBiosNvram, [](auto& raw) { raw.attributes = 0; });
  store_.change_entry(FileId::kKeyProtector, [](auto& raw) { raw.attributes = 3; });

  const auto examination = store_.examine(&key_);

  // An older writer left the attributes of an encrypted file zero; the file still opens.
  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kWarning, "attributes-differ", "BIOS_NVRAM (1)")));
  EXPECT_THAT(examination.findings,
              Not(Contains(finding(Severity::kError, "auth-failure", "BIOS_NVRAM (1)"))));
  EXPECT_THAT(examination.findings,
              Contains(finding(Severity::kError, "auth-failure", "KEY_PROTECTOR (6)")));
}

TEST_F(ExamineForeignTest, WarnsOfBitsThatNobodyKnowsInTheSealedTable) {
  const auto with = [this](std::size_t offset, int value) {
    ExaminedStore store(tests::support::golden_bytes(image_));
    store.reseal(key_, [&](std::span<std::byte, format::kBlockBytes> table) {
      table[offset] = static_cast<std::byte>(value);
    });
    return store.examine(&key_).findings;
  };
  constexpr std::size_t kEntry1 = 64;

  EXPECT_THAT(with(kEntry1, 7),
              Contains(finding(Severity::kWarning, "unknown-bits", "BIOS_NVRAM (1)")));
  EXPECT_THAT(with(kEntry1 + 36, 1),
              Contains(finding(Severity::kWarning, "unknown-bits", "BIOS_NVRAM (1)")));
  EXPECT_THAT(with(4, 1),
              Contains(finding(Severity::kWarning, "unknown-bits", "EXTENDED_FILE_TABLE (63)")));
}

TEST(ExamineContentsTest, WarnsOfBitsOfALaterVersionOfOurs) {
  const auto key = key_of(1);
  for (const std::size_t offset : {std::size_t{0}, std::size_t{9}, std::size_t{35}}) {
    auto store = encrypted_store();
    store.reseal(key, [&](std::span<std::byte, format::kBlockBytes> table) {
      table[offset] |= std::byte{2};  // attributes, flags, reserved of entry 0
    });

    EXPECT_THAT(store.examine(&key).findings,
                Contains(finding(Severity::kWarning, "unknown-bits", "EXTENDED_FILE_TABLE (63)")))
        << offset;
  }
}

TEST(ExamineContentsTest, NotesContentThatAToolMade) {
  ExaminedStore store(key_of(1));
  const auto key = key_of(1);

  EXPECT_THAT(codes(store.examine(&key)), ElementsAre("edited"));
}

}  // namespace
}  // namespace vmgs::repair
