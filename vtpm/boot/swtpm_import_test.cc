// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/swtpm_import.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/boot/swtpm_lock.h"
#include "vtpm/engine/engine.h"

namespace vtpm::boot {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;

class SwtpmImportTest : public testing::Test {
 protected:
  SwtpmFolder folder() const { return {temp_.path()}; }

  static base::Bytes content_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    return base::copy_of(base::bytes_of(text));
  }

  static void put(const std::filesystem::path& path, base::ByteView content) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()),
               static_cast<std::streamsize>(content.size()));
  }

  // What swtpm leaves when its TPM's volatile state was stored: of one TPM, as files.
  void leave() const {
    const auto data = std::filesystem::path(STRONGROOM_TEST_DATA) / "swtpm";
    const auto permanent = content_of(data / "permanent.blob");
    const auto transient = content_of(data / "volatile.blob");
    for (const auto& [blob, path] : {std::pair(permanent, folder().store()),
                                     std::pair(transient, folder().volatile_state())}) {
      const auto state = vmgs::format::decode_swtpm_blob(blob);
      put(path,
          vmgs::format::encode_swtpm_blob(vmgs::format::SwtpmUse::kFile, state->state).expose());
    }
  }

  base::Result<void> import() {
    TRY_ASSIGN(state, read_swtpm_state(folder(), nullptr));
    return import_swtpm_state(folder(), state, {.path = folder().store()}, *protector_);
  }

  tests::support::TempFolder temp_;
  std::unique_ptr<Protector> protector_ = no_protector();
};

TEST_F(SwtpmImportTest, ReadsBothStatesAndTheyStart) {
  leave();

  const auto state = read_swtpm_state(folder(), nullptr);

  ASSERT_TRUE(state) << state.error().message;
  ASSERT_TRUE(state->volatile_state);
  EXPECT_FALSE(state->was_encrypted);
  EXPECT_TRUE(expect_starts(*state));
}

TEST_F(SwtpmImportTest, SaysThatAStateDoesNotStart) {
  leave();
  auto state = read_swtpm_state(folder(), nullptr);
  ASSERT_TRUE(state);
  state->permanent.fill()[40] ^= std::byte{0xff};
  state->permanent.fill()[0] ^= std::byte{0xff};

  EXPECT_EQ(error_code(expect_starts(*state)), ErrorCode::kCorrupt);
}

TEST_F(SwtpmImportTest, PutsBothIntoAStoreInPlaceOfTheFile) {
  leave();
  const auto theirs = content_of(folder().store());
  const auto state = read_swtpm_state(folder(), nullptr);
  ASSERT_TRUE(state);

  ASSERT_TRUE(import());

  const auto store = StateStore::open({.path = folder().store()}, *protector_);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_TRUE(std::ranges::equal((*(*store)->load(BlobKind::kPermanent))->expose(),
                                 state->permanent.expose()));
  EXPECT_TRUE(std::ranges::equal((*(*store)->load(BlobKind::kVolatile))->expose(),
                                 state->volatile_state->expose()));
  EXPECT_EQ(content_of(folder().kept_permanent()), theirs);
  EXPECT_FALSE(std::filesystem::exists(folder().volatile_state()));
  EXPECT_TRUE(std::filesystem::exists(folder().kept_volatile()));
}

// A certificate that says that only a TEE has the seeds would be a lie.
TEST_F(SwtpmImportTest, MarksTheTpmAsImportedForGood) {
  leave();
  const auto state = read_swtpm_state(folder(), nullptr);
  ASSERT_TRUE(import());
  {
    auto store = StateStore::open({.path = folder().store()}, *protector_);
    ASSERT_TRUE(store);
    EXPECT_TRUE((*store)->is_imported());
    ASSERT_TRUE((*store)->store(BlobKind::kPermanent, state->permanent.expose()));
    ASSERT_TRUE((*store)->close());
  }

  EXPECT_TRUE((*StateStore::open({.path = folder().store()}, *protector_))->is_imported());
}

TEST_F(SwtpmImportTest, LocksTheFolderAsSwtpmDoes) {
  EXPECT_TRUE(SwtpmLock::expect_free(folder()));
  EXPECT_FALSE(std::filesystem::exists(folder().lock())) << "asking leaves nothing";

  // Another process, for the lock is one of the process.
  int ready[2];
  int done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t other = ::fork();
  if (other == 0) {
    const auto lock = SwtpmLock::take(folder());
    char word = lock ? 'y' : 'n';
    (void)!::write(ready[1], &word, 1);
    (void)!::read(done[0], &word, 1);
    ::_exit(0);
  }
  char word = 'n';
  ASSERT_EQ(::read(ready[0], &word, 1), 1);
  EXPECT_EQ(word, 'y');
  const auto refused = SwtpmLock::take(folder());
  const auto asked = SwtpmLock::expect_free(folder());
  ASSERT_EQ(::write(done[1], "x", 1), 1);
  ::waitpid(other, nullptr, 0);

  EXPECT_EQ(error_code(refused), ErrorCode::kUnavailable);
  EXPECT_NE(refused.error().message.find(std::to_string(other)), std::string::npos);
  EXPECT_EQ(error_code(asked), ErrorCode::kUnavailable);
  EXPECT_TRUE(SwtpmLock::take(folder()));
  for (const int end : {ready[0], ready[1], done[0], done[1]}) {
    ::close(end);
  }
}

TEST_F(SwtpmImportTest, BeginsAgainAfterACrash) {
  leave();
  auto importing = folder().store();
  importing += ".importing";
  std::ofstream(importing) << "half a store";

  ASSERT_TRUE(import());

  EXPECT_TRUE(StateStore::open({.path = folder().store()}, *protector_));
  EXPECT_FALSE(std::filesystem::exists(importing));
}

TEST_F(SwtpmImportTest, IsUndoneUntilTheTpmWasUsed) {
  leave();
  const auto theirs = content_of(folder().store());
  const auto transient = content_of(folder().volatile_state());
  ASSERT_TRUE(import());

  ASSERT_TRUE(undo_import(folder()));

  EXPECT_EQ(content_of(folder().store()), theirs);
  EXPECT_EQ(content_of(folder().volatile_state()), transient);
  EXPECT_EQ(error_code(undo_import(folder())), ErrorCode::kNotFound);
  EXPECT_TRUE(import()) << "and it can be imported again";
}

TEST_F(SwtpmImportTest, IsNotUndoneOnceTheTpmWasUsed) {
  leave();
  ASSERT_TRUE(import());
  {
    auto store = StateStore::open({.path = folder().store()}, *protector_);
    ASSERT_TRUE(store);
    auto engine = engine::Engine::create(**store);
    ASSERT_TRUE(engine);
    ASSERT_TRUE((*engine)->start(engine::Origin::kExisting));
    (*engine)->terminate();
    engine->reset();
    ASSERT_TRUE((*store)->close());
  }

  EXPECT_EQ(error_code(undo_import(folder())), ErrorCode::kDenied);
  EXPECT_TRUE(StateStore::open({.path = folder().store()}, *protector_));
}

TEST_F(SwtpmImportTest, KeepsAnEarlierOriginal) {
  leave();
  ASSERT_TRUE(import());
  leave();

  ASSERT_TRUE(import());

  EXPECT_TRUE(std::filesystem::exists(folder().kept_permanent()));
  EXPECT_TRUE(std::filesystem::exists(folder().kept_permanent().string() + ".1"));
}

TEST_F(SwtpmImportTest, KnowsWhoseAFileIs) {
  EXPECT_EQ(*owner_of(folder().store()), StateOwner::kNobody);
  std::ofstream(folder().store()) << "";
  EXPECT_EQ(*owner_of(folder().store()), StateOwner::kNobody);
  leave();
  EXPECT_EQ(*owner_of(folder().store()), StateOwner::kSwtpm);
  ASSERT_TRUE(import());
  EXPECT_EQ(*owner_of(folder().store()), StateOwner::kOurs);
  EXPECT_EQ(error_code(owner_of(temp_.path())), ErrorCode::kCorrupt);
}

TEST_F(SwtpmImportTest, SaysThatThereIsNothing) {
  EXPECT_EQ(error_code(read_swtpm_state(folder(), nullptr)), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vtpm::boot
