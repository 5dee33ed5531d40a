// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/drop_in_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "tools/swtpm/capabilities.h"
#include "vmgs/format/swtpm_blob.h"

namespace tools::swtpm {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using tests::support::error_code;
using vmgs::format::SwtpmKey;
using vtpm::engine::BlobKind;

class DropInStoreTest : public testing::Test {
 protected:
  [[nodiscard]] StatePlace place() const { return *StatePlace::at(folder_.path().string()); }

  [[nodiscard]] std::unique_ptr<DropInStore> prepare(const SwtpmKey* key = nullptr) const {
    auto store = DropInStore::prepare(place(), key);
    EXPECT_TRUE(store);
    return *std::move(store);
  }

  // A file of tests/data/swtpm becomes swtpm's permanent state.
  base::Bytes leave(const std::string& name) {
    const auto from = std::filesystem::path(STRONGROOM_TEST_DATA) / "swtpm" / name;
    std::filesystem::copy_file(from, place().store,
                               std::filesystem::copy_options::overwrite_existing);
    return content_of(from);
  }

  static base::Bytes content_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    return base::copy_of(base::bytes_of(text));
  }

  static base::Bytes permanent(DropInStore& store) {
    const auto loaded = store.load(BlobKind::kPermanent);
    EXPECT_TRUE(loaded) << loaded.error().message;
    return loaded && *loaded ? base::copy_of((*loaded)->expose()) : base::Bytes();
  }

  [[nodiscard]] bool has(const std::string& name) const {
    return std::filesystem::exists(folder_.path() / name);
  }

  static SwtpmKey key(std::string_view passphrase = "correct horse") {
    return *SwtpmKey::from_passphrase(base::bytes_of(passphrase), vmgs::format::SwtpmKdf::kSha512,
                                      vmgs::format::SwtpmCipher::kAes256Cbc);
  }

  tests::support::TempFolder folder_;
};

TEST_F(DropInStoreTest, MakesNothingBeforeTheFirstPowerOn) {
  const auto store = prepare();

  EXPECT_FALSE(std::filesystem::exists(place().store));
  EXPECT_EQ(*states_in(place()), "{ \"type\": \"swtpm\", \"states\": [] }\n");
  EXPECT_TRUE(store->close());
}

TEST_F(DropInStoreTest, NamesTheStatesOfATpmThatIsInUse) {
  const auto store = prepare();
  permanent(*store);

  const auto used = *states_in(place());
  ASSERT_TRUE(store->close());

  EXPECT_EQ(used, *states_in(place()));
  EXPECT_THAT(used, HasSubstr(R"({"name": "permall", "size": 1)"));
}

// swtpm writes its file whole each time, so that one that was removed comes back.
TEST_F(DropInStoreTest, MakesAStoreAnewThatWasRemovedWhileInUse) {
  leave("setup-rsa2048.permall");
  const auto store = prepare();
  const auto state = permanent(*store);
  std::filesystem::remove(place().store);

  EXPECT_FALSE(store->load(BlobKind::kPermanent)) << "a TPM is never made new in its place";
  EXPECT_TRUE(store->store(BlobKind::kPermanent, state));
  EXPECT_TRUE(store->store(BlobKind::kVolatile, base::bytes_of("volatile")));

  EXPECT_TRUE(store->close());
  EXPECT_EQ(permanent(*prepare()), state);
}

TEST_F(DropInStoreTest, MakesATpmWhereThereIsNoneAndFindsItAgain) {
  base::Bytes made;
  {
    const auto store = prepare();
    made = permanent(*store);
    ASSERT_FALSE(made.empty());
    ASSERT_TRUE(store->close());
  }

  EXPECT_EQ(permanent(*prepare()), made);
  EXPECT_THAT(*states_in(place()), HasSubstr("{\"name\": \"permall\", \"size\": "));
}

TEST_F(DropInStoreTest, GivesItsFileTheModeThatIsAskedFor) {
  auto asked = place();
  asked.mode = 0640;
  const auto store = DropInStore::prepare(asked, nullptr);
  ASSERT_TRUE(store);
  permanent(**store);

  struct stat found {};

  ASSERT_EQ(::stat(asked.store.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0640U);
}

TEST_F(DropInStoreTest, TakesOverWhatSwtpmLeftAndKeepsItsFile) {
  const auto theirs = leave("tpm2-00.permall");
  const auto state = vmgs::format::decode_swtpm_blob(theirs);

  const auto taken = permanent(*prepare());

  EXPECT_TRUE(std::ranges::equal(taken, state->state));
  EXPECT_EQ(content_of(folder_.path() / "tpm2-00.permall.swtpm"), theirs);
  EXPECT_EQ(permanent(*prepare()), taken);
}

TEST_F(DropInStoreTest, TakesOverWhatSwtpmEncryptedUnderTheSameKey) {
  leave("sha512-256.permall");
  const auto right = key();
  const auto wrong = key("battery staple");

  EXPECT_EQ(error_code(prepare()->load(BlobKind::kPermanent)), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(prepare(&wrong)->load(BlobKind::kPermanent)), ErrorCode::kAuthentication);
  EXPECT_FALSE(has("tpm2-00.permall.swtpm")) << "nothing was changed by a wrong key";
  const auto taken = permanent(*prepare(&right));

  EXPECT_EQ(taken.size(), 1299U);
  EXPECT_EQ(permanent(*prepare(&right)), taken);
  EXPECT_FALSE(prepare()->load(BlobKind::kPermanent));
  EXPECT_FALSE(prepare(&wrong)->load(BlobKind::kPermanent));
}

TEST_F(DropInStoreTest, TakesNothingInTheClearWhereItHasAKey) {
  leave("tpm2-00.permall");
  const auto some = key();

  EXPECT_EQ(error_code(prepare(&some)->load(BlobKind::kPermanent)), ErrorCode::kAuthentication);
}

TEST_F(DropInStoreTest, NeverMakesATpmWhereThereIsSomething) {
  std::ofstream(place().store) << "DUMMY\n";

  EXPECT_FALSE(prepare()->load(BlobKind::kPermanent));
  EXPECT_EQ(content_of(place().store), base::copy_of(base::bytes_of("DUMMY\n")));
  EXPECT_EQ(*states_in(place()),
            "{ \"type\": \"swtpm\", \"states\": [ {\"name\": \"permall\", \"size\": 6} ] }\n");
}

TEST_F(DropInStoreTest, KeepsAStateThatArrivesInPlaceOfSwtpms) {
  const auto theirs = leave("tpm2-00.permall");
  const auto arrived = permanent(*[&] {
    auto other = place();
    other.store += ".other";
    return *DropInStore::prepare(other, nullptr);
  }());

  const auto store = prepare();
  ASSERT_TRUE(store->store(BlobKind::kPermanent, arrived));

  EXPECT_EQ(permanent(*store), arrived);
  EXPECT_EQ(content_of(folder_.path() / "tpm2-00.permall.swtpm"), theirs);
}

TEST_F(DropInStoreTest, LetsAnotherHaveTheTpmAndTakesItBackUnused) {
  const auto source = prepare();
  const auto before = permanent(*source);
  EXPECT_EQ(error_code(prepare()->load(BlobKind::kPermanent)), ErrorCode::kUnavailable);

  ASSERT_TRUE(source->release());
  {
    const auto destination = prepare();
    EXPECT_EQ(permanent(*destination), before);
    EXPECT_EQ(error_code(source->take_again(0)), ErrorCode::kUnavailable);
    EXPECT_TRUE(source->released());
    ASSERT_TRUE(destination->close());
  }

  EXPECT_TRUE(source->take_again(0));
  EXPECT_FALSE(source->released());
  EXPECT_EQ(permanent(*source), before);
}

// A source that went on after its destination had run would bring back what was sealed before.
TEST_F(DropInStoreTest, DoesNotTakeATpmBackThatAnotherHasUsed) {
  const auto source = prepare();
  const auto before = permanent(*source);
  ASSERT_TRUE(source->release());
  {
    const auto destination = prepare();
    permanent(*destination);
    auto used = before;
    used.back() ^= std::byte{1};
    ASSERT_TRUE(destination->store(BlobKind::kPermanent, used));
    ASSERT_TRUE(destination->close());
  }

  EXPECT_EQ(error_code(source->take_again(0)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(source->store(BlobKind::kPermanent, before)), ErrorCode::kDenied);
}

TEST_F(DropInStoreTest, SaysWhatStatesThereAreThoughTheyAreEncryptedOrInUse) {
  const auto some = key();
  const auto store = prepare(&some);
  permanent(*store);
  ASSERT_TRUE(store->store(BlobKind::kVolatile, base::bytes_of("what it is doing")));

  const auto in_use = states_in(place());
  ASSERT_TRUE(store->close());
  const auto at_rest = states_in(place());

  ASSERT_TRUE(in_use && at_rest);
  EXPECT_THAT(*in_use, HasSubstr("permall"));
  EXPECT_THAT(*at_rest, HasSubstr("permall"));
  EXPECT_THAT(*at_rest, HasSubstr("volatilestate"));
}

TEST_F(DropInStoreTest, KeepsATpmInASingleFile) {
  const auto single = StatePlace::at("file://" + (folder_.path() / "one").string());
  ASSERT_TRUE(single);

  const auto made = permanent(**DropInStore::prepare(*single, nullptr));

  EXPECT_EQ(permanent(**DropInStore::prepare(*single, nullptr)), made);
  EXPECT_TRUE(has("one"));
  EXPECT_FALSE(StatePlace::at("nfs://host/x"));
}

class SingleFileTest : public testing::Test {
 protected:
  static constexpr std::size_t kVolumeBytes = std::size_t{4} << 20U;

  SingleFileTest() : place_(*StatePlace::at("file://" + path().string())) {
    std::ofstream file(path());
    std::filesystem::resize_file(path(), kVolumeBytes);
  }

  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "volume"; }

  void write_at(std::size_t offset, std::string_view content) const {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << content;
  }

  tests::support::TempFolder folder_;
  const StatePlace place_;
};

// As Proxmox VE makes them.
TEST_F(SingleFileTest, GetsATpmWhereItIsABlankVolume) {
  EXPECT_EQ(*states_in(place_), "{ \"type\": \"swtpm\", \"states\": [] }\n");
  const auto store = *DropInStore::prepare(place_, nullptr);
  const auto made = store->load(BlobKind::kPermanent);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_TRUE(store->close());

  EXPECT_EQ(std::filesystem::file_size(path()), kVolumeBytes);
  EXPECT_EQ(*place_.owner(), vtpm::boot::StateOwner::kOurs);
  const auto found = (*DropInStore::prepare(place_, nullptr))->load(BlobKind::kPermanent);
  ASSERT_TRUE(found && *found);
  EXPECT_TRUE(std::ranges::equal((*found)->expose(), (*made)->expose()));
}

// A store whose beginning was lost looks like this.
TEST_F(SingleFileTest, GetsNoTpmWhereAnythingIsInIt) {
  write_at(kVolumeBytes - 1, "x");

  EXPECT_FALSE((*DropInStore::prepare(place_, nullptr))->load(BlobKind::kPermanent));
  EXPECT_EQ(*place_.owner(), vtpm::boot::StateOwner::kOurs);
}

// In a folder, zeros are what a power cut leaves of a file that was not flushed.
TEST_F(SingleFileTest, GetsNoTpmWhereABlankFileLiesInAFolder) {
  const auto folder = *StatePlace::at(folder_.path().string());
  std::filesystem::rename(path(), folder.store);

  EXPECT_FALSE((*DropInStore::prepare(folder, nullptr))->load(BlobKind::kPermanent));
}

TEST_F(SingleFileTest, SaysTheWayOutOfSwtpmsOwnForm) {
  write_at(0, "nilmptws\x01");

  const auto refused = (*DropInStore::prepare(place_, nullptr))->load(BlobKind::kPermanent);

  ASSERT_EQ(error_code(refused), ErrorCode::kDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("swtpm_ioctl --save permanent"));
}

}  // namespace
}  // namespace tools::swtpm
