// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/stream.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/storage/fake_system_calls.h"

namespace tools::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tests::support::error_code;

constexpr std::string_view kDigits =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

// The reading end of a pipe into which `content` is written from another thread, in small pieces.
class FilledPipe {
 public:
  explicit FilledPipe(std::string content) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    reader_ = base::Descriptor(ends[0]);
    writer_ = std::jthread([content = std::move(content), end = base::Descriptor(ends[1])] {
      for (std::size_t done = 0; done < content.size();) {
        const auto count = std::min<std::size_t>(1000, content.size() - done);
        const auto written = ::write(end.number(), content.data() + done, count);
        if (written < 0) {
          return;
        }
        done += static_cast<std::size_t>(written);
      }
    });
  }

  [[nodiscard]] int number() const { return reader_.number(); }

 private:
  std::jthread writer_;
  base::Descriptor reader_;
};

// Puts a pipe in the place of stdin while it lives.
class StdinFrom {
 public:
  explicit StdinFrom(const FilledPipe& pipe) : saved_(::dup(STDIN_FILENO)) {
    ::dup2(pipe.number(), STDIN_FILENO);
  }

  StdinFrom(const StdinFrom&) = delete;
  StdinFrom& operator=(const StdinFrom&) = delete;

  ~StdinFrom() { ::dup2(saved_.number(), STDIN_FILENO); }

 private:
  base::Descriptor saved_;
};

class StreamTest : public ::testing::Test {
 protected:
  // A reader that has seen enough closes its end while the other still writes.
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }

  std::string make_file(std::string_view content, unsigned mode = 0600) const {
    const auto path = folder_ / "input";
    std::ofstream(path, std::ios::binary) << content;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path.string();
  }

  tests::support::TempFolder folder_;
};

TEST_F(StreamTest, ReadsAFileWhole) {
  for (const std::size_t size : {0U, 1U, 65535U, 65536U, 65537U, 200000U}) {
    std::string content(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
      content[i] = static_cast<char>(i * 7 + i / 256);
    }

    const auto read = read_input(make_file(content), 200000);

    ASSERT_TRUE(read) << size;
    EXPECT_TRUE(std::ranges::equal(read->expose(), base::bytes_of(content))) << size;
  }
}

TEST_F(StreamTest, ReadsStdinWhole) {
  const std::string content(100000, 'x');
  const FilledPipe pipe(content);
  const StdinFrom in(pipe);

  const auto read = read_input("-", 100000);

  ASSERT_TRUE(read);
  EXPECT_TRUE(std::ranges::equal(read->expose(), base::bytes_of(content)));
}

TEST_F(StreamTest, RefusesMoreThanThereIsRoomFor) {
  EXPECT_EQ(error_code(read_input(make_file("12345"), 4)), base::ErrorCode::kInvalidArgument);
  EXPECT_TRUE(read_input(make_file("12345"), 5));
  EXPECT_EQ(error_code(read_input(make_file(std::string(100001, 'x')), 100000)),
            base::ErrorCode::kInvalidArgument);
}

TEST_F(StreamTest, SaysWhatItCannotRead) {
  EXPECT_EQ(error_code(read_input((folder_ / "absent").string(), 10)), base::ErrorCode::kNotFound);
  EXPECT_EQ(error_code(read_input(folder_.path().string(), 10)), base::ErrorCode::kIo);
}

TEST_F(StreamTest, ReadsAKeyFromAFileStdinOrADescriptor) {
  const auto expect_key = [](const base::Result<::vmgs::volume::DatastoreKey>& key) {
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(base::to_hex(key->bytes.expose()), kDigits);
  };
  const auto raw = *base::from_hex(kDigits);
  const std::string raw_text(reinterpret_cast<const char*>(raw.data()), raw.size());

  expect_key(read_key(make_file(std::string(kDigits) + "\n")));
  expect_key(read_key(make_file(raw_text)));
  {
    const FilledPipe pipe{std::string(kDigits)};
    expect_key(read_key("fd:" + std::to_string(pipe.number())));
  }
  const FilledPipe pipe(raw_text);
  const StdinFrom in(pipe);
  expect_key(read_key("-"));
}

TEST_F(StreamTest, RefusesKeysThatAreNone) {
  EXPECT_EQ(error_code(read_key(make_file("short"))), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(read_key(make_file(std::string(67, '1')))),
            base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(read_key(make_file(std::string(64, '0')))),
            base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(read_key("fd:987654")), base::ErrorCode::kIo);
  EXPECT_EQ(error_code(read_key("fd:0x")), base::ErrorCode::kNotFound);  // taken for a path
  const FilledPipe endless(std::string(5000, '1'));
  EXPECT_EQ(error_code(read_key("fd:" + std::to_string(endless.number()))),
            base::ErrorCode::kInvalidArgument);
}

// A list of revoked certificates was there after a power cut, and was empty.
TEST_F(StreamTest, AFileThatWasWrittenOutlastsACrash) {
  using ::vmgs::storage::fake_system_calls;
  const auto file = folder_ / "list";
  ASSERT_TRUE(write_file(file, base::bytes_of("first")));
  fake_system_calls() = {};
  ASSERT_TRUE(write_file(file, base::bytes_of("second")));
  EXPECT_THAT(fake_system_calls().calls, ElementsAre("fsync file", "fsync folder"));

  fake_system_calls() = {.fsync_error = ENOSPC};
  EXPECT_FALSE(write_file(file, base::bytes_of("third")));
  fake_system_calls() = {};
  std::string kept;
  std::getline(std::ifstream(file), kept);
  EXPECT_EQ(kept, "second");
}

TEST_F(StreamTest, RefusesAKeyFileThatOthersMayRead) {
  const auto key = read_key(make_file(kDigits, 0644));

  ASSERT_EQ(error_code(key), base::ErrorCode::kDenied);
  EXPECT_THAT(key.error().message, HasSubstr("chmod 600"));
}

}  // namespace
}  // namespace tools::cli
