// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/host_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

namespace vtpm::sealing {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;

constexpr std::string_view kDigits =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eFf";

class HostKeyTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "vm.key"; }

  void write(std::string_view content, unsigned mode = 0600) const {
    std::ofstream(path(), std::ios::binary) << content;
    ASSERT_EQ(::chmod(path().c_str(), mode), 0);
  }

  [[nodiscard]] std::string read_hex() const {
    const auto key = read_host_key(path());
    return key ? base::to_hex(key->bytes.expose()) : key.error().message;
  }

  tests::support::TempFolder folder_;
};

TEST_F(HostKeyTest, ReadsRawBytesAndDigitsWithOrWithoutALineEnd) {
  const auto raw = *base::from_hex(kDigits);
  const auto expected = base::to_hex(raw);
  write({reinterpret_cast<const char*>(raw.data()), raw.size()});
  EXPECT_EQ(read_hex(), expected);
  for (const char* end : {"", "\n", "\r\n"}) {
    write(std::string(kDigits) + end);
    EXPECT_EQ(read_hex(), expected);
  }
}

TEST_F(HostKeyTest, RefusesAnythingElse) {
  const std::string digits(kDigits);
  for (const auto& content :
       {std::string(), std::string(31, 'x'), std::string(33, 'x'), std::string(64, 'x'),
        digits.substr(1), digits + "0", digits + "\n\n", digits + " ", "\n" + digits}) {
    write(content);
    const auto key = read_host_key(path());
    ASSERT_EQ(error_code(key), base::ErrorCode::kInvalidArgument) << content.size();
  }
  write("short");
  EXPECT_EQ(
      read_host_key(path()).error().message,
      path().string() + ": 5 bytes are no key: expected 32 raw bytes or 64 hexadecimal digits");
}

TEST_F(HostKeyTest, NeverRepeatsTheContentInAMessage) {
  write("0123456789abcdefghijklmnopqrstuvwxyz");

  EXPECT_THAT(read_hex(), ::testing::Not(HasSubstr("abcdef")));
}

TEST_F(HostKeyTest, RefusesZero) {
  write(std::string(32, '\0'));
  EXPECT_THAT(read_hex(), HasSubstr("32 zero bytes are no key"));
  write(std::string(64, '0'));
  EXPECT_THAT(read_hex(), HasSubstr("32 zero bytes are no key"));
}

TEST_F(HostKeyTest, RefusesAFileThatOthersMayRead) {
  write(kDigits, 0640);

  const auto key = read_host_key(path());

  ASSERT_EQ(error_code(key), base::ErrorCode::kDenied);
  EXPECT_THAT(key.error().message, HasSubstr("is open to others than its owner; close it: chmod"));
}

TEST_F(HostKeyTest, ReadsACredentialThatItsAccessListShowsToAGroup) {
  write(kDigits, 0440);
  EXPECT_TRUE(read_host_key(path(), KeyFileKind::kCredential));
  write(kDigits, 0444);
  EXPECT_EQ(error_code(read_host_key(path(), KeyFileKind::kCredential)), base::ErrorCode::kDenied);
}

TEST_F(HostKeyTest, SaysWhenThereIsNone) {
  EXPECT_EQ(error_code(read_host_key(path())), base::ErrorCode::kNotFound);
}

TEST_F(HostKeyTest, AMadeKeyIsReadBack) {
  const auto made = make_host_key(path());

  ASSERT_TRUE(made);
  EXPECT_FALSE(made->bytes.is_all_zero());
  EXPECT_EQ(std::filesystem::file_size(path()), 32U);
  EXPECT_TRUE(read_host_key(path())->bytes.equals_in_constant_time(made->bytes));
}

TEST_F(HostKeyTest, TwoMadeKeysDifferAndNoneIsOverwritten) {
  const auto first = make_host_key(path());

  EXPECT_EQ(error_code(make_host_key(path())), base::ErrorCode::kDenied);
  const auto second = make_host_key(folder_ / "other.key");
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->bytes.equals_in_constant_time(first->bytes));
  EXPECT_TRUE(read_host_key(path())->bytes.equals_in_constant_time(first->bytes));
}

}  // namespace
}  // namespace vtpm::sealing
