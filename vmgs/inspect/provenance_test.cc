// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/provenance.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/support/golden.h"
#include "vmgs/format/sealed_keys.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

namespace vmgs::inspect {
namespace {

using format::FileId;
using format::HeaderSpacing;
using ::testing::HasSubstr;

volume::DatastoreKey key_of(int value) {
  volume::DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), static_cast<std::byte>(value));
  return key;
}

// A store in memory, made by our own writer.
class Store {
 public:
  explicit Store(bool encrypted)
      : device_(std::make_unique<storage::MemoryDevice>(std::uint64_t{64} * format::kBlockBytes)) {
    auto volume = volume::Volume::format(*device_, HeaderSpacing::k512,
                                         encrypted ? std::optional(key_of(1)) : std::nullopt);
    EXPECT_TRUE(volume);
    volume_.emplace(*std::move(volume));
  }

  void put(FileId id, base::ByteView content, volume::Sequence sequence,
           volume::Protection protection = volume::Protection::kAsStore) {
    volume::Transaction transaction(sequence, volume::Barriers::kTwo);
    transaction.put(id, content, protection);
    const auto committed = volume_->commit(transaction);
    ASSERT_TRUE(committed) << committed.error().message;
  }

  [[nodiscard]] Provenance provenance(bool with_key) const {
    const auto key = key_of(1);
    const auto seen = survey(*device_, HeaderSpacing::k512, with_key ? &key : nullptr);
    EXPECT_TRUE(seen);
    return tell_provenance(*device_, *seen);
  }

  storage::MemoryDevice& device() { return *device_; }

 private:
  std::unique_ptr<storage::MemoryDevice> device_;
  std::optional<volume::Volume> volume_;
};

base::Bytes sealed_by(format::TeeType tee) {
  format::SealedKey entry;
  entry.tee_type = tee;
  entry.measurement.fill(std::byte{1});
  auto file = format::encode_sealed_keys({entry});
  EXPECT_TRUE(file);
  return *std::move(file);
}

const base::Bytes kAnything(100, std::byte{7});

TEST(ProvenanceTest, CallsOursWhatAnInstanceCommittedLast) {
  Store store(true);
  store.put(FileId::kTpmNvram, kAnything, volume::Sequence::kAdvance);

  const auto told = store.provenance(true);

  EXPECT_EQ(told.origin, Origin::kOurs);
  EXPECT_TRUE(told.authenticated);
}

TEST(ProvenanceTest, CallsEditedWhatAToolChanged) {
  Store store(true);
  store.put(FileId::kTpmNvram, kAnything, volume::Sequence::kAdvance);
  store.put(FileId::kUefiFlash, kAnything, volume::Sequence::kEdit);

  EXPECT_EQ(store.provenance(true).origin, Origin::kEdited);
}

TEST(ProvenanceTest, CallsEditedWhatSomebodyChangedWithoutTheKey) {
  Store store(true);
  store.put(FileId::kVmUniqueId, kAnything, volume::Sequence::kAdvance,
            volume::Protection::kPlaintext);
  const auto seen = survey(store.device(), HeaderSpacing::k512, nullptr);
  ASSERT_TRUE(seen);
  // The attributes of an entry in the plaintext table: no key is needed to change them.
  const auto at = std::size_t{seen->state()->table_block()} * format::kBlockBytes +
                  format::index(FileId::kVmUniqueId) * sizeof(format::FileEntryLayout) +
                  offsetof(format::FileEntryLayout, reserved);
  ASSERT_TRUE(store.device().write(at, base::Bytes(1, std::byte{1})));

  const auto told = store.provenance(true);

  EXPECT_EQ(told.origin, Origin::kEdited);
  EXPECT_THAT(told.reasons.front(), HasSubstr("without the key"));
}

TEST(ProvenanceTest, DoesNotGuessAtWhatIsLocked) {
  Store store(true);
  store.put(FileId::kSealedKeys, sealed_by(format::TeeType::kSnp), volume::Sequence::kAdvance,
            volume::Protection::kPlaintext);

  const auto told = store.provenance(false);

  EXPECT_EQ(told.origin, Origin::kUnknown);
  EXPECT_FALSE(told.authenticated);
  EXPECT_THAT(told.reasons.back(), HasSubstr("--key"));
}

TEST(ProvenanceTest, SaysSimulatedWhateverElseIsTrue) {
  Store store(true);
  store.put(FileId::kSealedKeys, sealed_by(format::TeeType::kSimulatedSnp),
            volume::Sequence::kAdvance, volume::Protection::kPlaintext);

  EXPECT_EQ(store.provenance(true).origin, Origin::kSimulated);
  EXPECT_EQ(store.provenance(false).origin, Origin::kSimulated);
}

TEST(ProvenanceTest, KnowsAPlaintextStoreOfOursByItsFilesAndClaimsNoProof) {
  Store store(false);
  EXPECT_EQ(store.provenance(false).origin, Origin::kUnknown);  // no file yet

  format::TpmState state;
  state.blob = kAnything;
  store.put(FileId::kTpmNvram, format::encode_tpm_state(state).expose(),
            volume::Sequence::kAdvance);

  const auto told = store.provenance(false);
  EXPECT_EQ(told.origin, Origin::kOurs);
  EXPECT_FALSE(told.authenticated);
}

TEST(ProvenanceTest, CallsForeignWhatHoldsNoMarkOfOurs) {
  const auto& image = tests::support::golden_image("02");
  const auto device = tests::support::golden_device(image);
  const volume::DatastoreKey key{base::Secret<32>::copy_of(image.keys.front())};
  const auto seen = survey(*device, image.spacing, &key);
  ASSERT_TRUE(seen);

  const auto told = tell_provenance(*device, *seen);

  EXPECT_EQ(told.origin, Origin::kForeign);
  EXPECT_TRUE(told.authenticated);
}

TEST(ProvenanceTest, KnowsNothingWhereNoStateIsKnown) {
  const auto& image = tests::support::golden_image("11");
  const auto device = tests::support::golden_device(image);
  const auto seen = survey(*device, image.spacing, nullptr);
  ASSERT_TRUE(seen);

  EXPECT_EQ(tell_provenance(*device, *seen).origin, Origin::kUnknown);
}

}  // namespace
}  // namespace vmgs::inspect
