// SPDX-License-Identifier: Apache-2.0
#include "vtpm/state/variable_flash.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/error_code.h"
#include "vmgs/format/uefi_flash.h"

namespace vtpm::state {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using Clock = VariableFlash::Clock;
using std::chrono::milliseconds;

constexpr std::size_t kSize = 8192;

// Keeps the image in memory, counts what is asked of it, and fails on request.
class FakeFlashStore final : public FlashStore {
 public:
  [[nodiscard]] bool is_awaited() const override { return awaited; }

  base::Result<std::optional<base::SecretBytes>> load_flash() override {
    ++loads;
    if (!image) {
      return std::optional<base::SecretBytes>();
    }
    return std::optional(base::SecretBytes::taking(base::Bytes(*image)));
  }

  base::Result<void> store_flash(base::ByteView bytes) override {
    ++stores;
    if (fails) {
      return base::fail(ErrorCode::kIo, "the disk is full");
    }
    image = base::copy_of(bytes);
    return {};
  }

  std::optional<base::Bytes> image;
  int loads = 0;
  int stores = 0;
  bool fails = false;
  bool awaited = false;
};

base::Result<base::SecretBytes> blank() { return blank_flash(kSize); }

class VariableFlashTest : public testing::Test {
 protected:
  // `after` the beginning.
  [[nodiscard]] Clock::time_point at(int after) const { return begin_ + milliseconds(after); }

  void open() { ASSERT_TRUE(flash_.open()); }

  base::Result<void> write(std::uint64_t offset, const std::string& text, int after = 0) {
    return flash_.write(offset, base::bytes_of(text), at(after));
  }

  [[nodiscard]] std::string read(std::uint64_t offset, std::size_t size) const {
    std::string text(size, '\0');
    flash_.read(offset, std::as_writable_bytes(std::span(text)));
    return text;
  }

  [[nodiscard]] std::string stored(std::uint64_t offset, std::size_t size) const {
    return {reinterpret_cast<const char*>(store_.image->data()) + offset, size};
  }

  const Clock::time_point begin_ = Clock::now();
  FakeFlashStore store_;
  VariableFlash flash_{&store_, blank, VariableFlash::Timing{}};
};

TEST_F(VariableFlashTest, BeginsBlankAndIsStoredOnlyOnceItIsWritten) {
  open();
  EXPECT_EQ(flash_.size_bytes(), kSize);
  EXPECT_EQ(read(0, 2), "\xff\xff");

  EXPECT_TRUE(flash_.commit(at(0)));
  EXPECT_FALSE(flash_.tend(at(10'000)));
  flash_.close(at(10'000));
  EXPECT_FALSE(store_.image);
}

TEST_F(VariableFlashTest, BeginsWithWhatWasStoredWhateverItsFirstImage) {
  store_.image = base::Bytes(4096, std::byte{'x'});
  open();

  EXPECT_EQ(flash_.size_bytes(), 4096u);
  EXPECT_EQ(read(4094, 2), "xx");
}

TEST_F(VariableFlashTest, RefusesAnImageOfASizeThatNoFlashHas) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{4095}, vmgs::format::kMaxFlashBytes + 4096}) {
    store_.image = base::Bytes(size);
    EXPECT_EQ(error_code(flash_.open()), ErrorCode::kCorrupt) << size;
  }
}

TEST_F(VariableFlashTest, StoresAPauseAfterTheLastWrite) {
  open();
  ASSERT_TRUE(write(1, "a", 0));
  ASSERT_TRUE(write(2, "b", 40));

  EXPECT_EQ(flash_.tend(at(89)), at(90));
  EXPECT_EQ(store_.stores, 0);
  EXPECT_FALSE(flash_.tend(at(90)));
  EXPECT_EQ(store_.stores, 1);
  EXPECT_EQ(stored(0, 4),
            "\xff"
            "ab\xff");
}

TEST_F(VariableFlashTest, StoresInAWhileWhenWritesNeverPause) {
  open();
  for (int after = 0; after < 1000; after += 20) {
    ASSERT_TRUE(write(0, std::to_string(after), after));
    ASSERT_TRUE(flash_.tend(at(after)));
  }
  EXPECT_EQ(store_.stores, 0);

  EXPECT_FALSE(flash_.tend(at(1000)));
  EXPECT_EQ(store_.stores, 1) << "of fifty writes";
}

TEST_F(VariableFlashTest, ACommitStoresAtOnceAndOnlyWhatIsNotStored) {
  open();
  ASSERT_TRUE(write(0, "a"));

  EXPECT_TRUE(flash_.commit(at(0)));
  EXPECT_EQ(stored(0, 1), "a");
  EXPECT_TRUE(flash_.commit(at(0)));
  EXPECT_EQ(store_.stores, 1);
}

TEST_F(VariableFlashTest, CloseStoresAndLetsGoOfTheMemory) {
  open();
  ASSERT_TRUE(write(0, "a"));
  flash_.close(at(1));

  EXPECT_EQ(stored(0, 1), "a");
  EXPECT_EQ(flash_.size_bytes(), 0u);
  open();
  EXPECT_EQ(read(0, 1), "a");
  EXPECT_EQ(store_.loads, 2);
}

TEST_F(VariableFlashTest, SaysThatItCannotStoreUntilItCan) {
  open();
  ASSERT_TRUE(write(0, "a"));
  store_.fails = true;

  EXPECT_EQ(error_code(flash_.commit(at(0))), ErrorCode::kIo);
  ASSERT_TRUE(flash_.failure());
  EXPECT_EQ(flash_.failure()->message, "the disk is full");
  EXPECT_EQ(error_code(write(1, "b", 10)), ErrorCode::kIo);
  EXPECT_EQ(read(0, 2), "ab") << "the hypervisor has it in its own memory, too";

  store_.fails = false;
  EXPECT_EQ(error_code(write(2, "c", 20)), ErrorCode::kIo) << "no commit has worked yet";
  EXPECT_TRUE(flash_.commit(at(20)));
  EXPECT_FALSE(flash_.failure());
  EXPECT_EQ(stored(0, 3), "abc") << "nothing is lost that was ever written";
  EXPECT_TRUE(write(3, "d", 30));
}

TEST_F(VariableFlashTest, TriesAgainByItselfButNotAllTheTime) {
  open();
  ASSERT_TRUE(write(0, "a"));
  store_.fails = true;
  EXPECT_EQ(flash_.tend(at(50)), at(1050));
  EXPECT_EQ(flash_.tend(at(1049)), at(1050));
  EXPECT_EQ(store_.stores, 1);

  store_.fails = false;
  EXPECT_FALSE(flash_.tend(at(1050)));
  EXPECT_EQ(stored(0, 1), "a");
  EXPECT_FALSE(flash_.failure());
}

TEST_F(VariableFlashTest, KeepsWhatItCannotStoreWhenItIsClosed) {
  open();
  ASSERT_TRUE(write(0, "a"));
  store_.fails = true;
  flash_.close(at(0));
  open();

  EXPECT_EQ(read(0, 1), "a");
  store_.fails = false;
  EXPECT_FALSE(flash_.tend(at(1000)));
  EXPECT_EQ(stored(0, 1), "a");
}

TEST_F(VariableFlashTest, LosesNothingThatIsWrittenBeforeTheStateArrives) {
  store_.awaited = true;
  open();
  ASSERT_TRUE(write(2, "b"));
  EXPECT_EQ(error_code(flash_.commit(at(0))), ErrorCode::kUnavailable);
  EXPECT_FALSE(flash_.failure()) << "there is nothing wrong with the store";
  ASSERT_TRUE(write(3, "c", 10));

  store_.awaited = false;
  EXPECT_FALSE(flash_.tend(at(1000)));
  EXPECT_EQ(stored(0, 5),
            "\xff\xff"
            "bc\xff");
}

TEST_F(VariableFlashTest, KeepsWhatArrivedWhereNothingWasWritten) {
  store_.awaited = true;
  open();
  ASSERT_TRUE(write(2, "b"));

  store_.awaited = false;
  store_.image = base::Bytes(kSize, std::byte{'o'});
  EXPECT_TRUE(flash_.commit(at(0)));
  EXPECT_EQ(stored(0, 4), "oobo");
  EXPECT_EQ(read(0, 4), "oobo");
}

TEST_F(VariableFlashTest, RefusesToReplaceAnArrivedFlashOfAnotherSize) {
  store_.awaited = true;
  open();
  ASSERT_TRUE(write(2, "b"));

  store_.awaited = false;
  store_.image = base::Bytes(4096, std::byte{'o'});
  EXPECT_EQ(error_code(flash_.commit(at(0))), ErrorCode::kDenied);
  EXPECT_EQ(store_.image->size(), 4096u);
}

TEST(VariableFlashInMemoryTest, IsKeptForAsLongAsItLives) {
  VariableFlash flash(nullptr, blank, {});
  const auto now = Clock::now();
  ASSERT_TRUE(flash.open());
  ASSERT_TRUE(flash.write(0, base::bytes_of("a"), now));

  EXPECT_TRUE(flash.commit(now));
  EXPECT_FALSE(flash.tend(now));
  flash.close(now);
  ASSERT_TRUE(flash.open());
  std::string text(1, '\0');
  flash.read(0, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "a");
}

}  // namespace
}  // namespace vtpm::state
