// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/key_option.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

namespace tools::swtpm {
namespace {

using base::ErrorCode;
using tests::support::error_code;

constexpr std::string_view kDigits = "000102030405060708090a0b0c0d0e0f";

class KeyOptionTest : public testing::Test {
 protected:
  std::string file(const std::string& name, std::string_view content) {
    const auto path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }

  static std::string hex(const base::Result<vmgs::format::SwtpmKey>& key) {
    return key ? base::to_hex(key->expose()) : key.error().message;
  }

  tests::support::TempFolder folder_;
};

TEST_F(KeyOptionTest, ReadsDigitsByDefault) {
  EXPECT_EQ(hex(read_key_option("key", "file=" + file("k", kDigits))), kDigits);
}

TEST_F(KeyOptionTest, ReadsBytesAndPassphrases) {
  const auto binary = file("b", std::string(32, 'k'));
  const auto passphrase = file("p", "correct horse");

  EXPECT_EQ(hex(read_key_option("key", "format=binary,mode=aes-256-cbc,file=" + binary)),
            base::to_hex(base::bytes_of(std::string(32, 'k'))));
  EXPECT_EQ(hex(read_key_option("key", "pwdfile=" + passphrase + ",kdf=sha512")),
            hex(vmgs::format::SwtpmKey::from_passphrase(base::bytes_of("correct horse"),
                                                        vmgs::format::SwtpmKdf::kSha512,
                                                        vmgs::format::SwtpmCipher::kAes128Cbc)));
}

TEST_F(KeyOptionTest, ReadsFromADescriptorAndClosesIt) {
  const int number = ::open(file("k", kDigits).c_str(), O_RDONLY);

  EXPECT_EQ(hex(read_key_option("key", "fd=" + std::to_string(number))), kDigits);

  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(KeyOptionTest, RemovesTheFileWhereItIsAskedTo) {
  const auto kept = file("kept", kDigits);
  const auto removed = file("removed", kDigits);

  EXPECT_TRUE(read_key_option("key", "remove=false,file=" + kept));
  EXPECT_TRUE(read_key_option("key", "remove,file=" + removed));

  EXPECT_TRUE(std::filesystem::exists(kept));
  EXPECT_FALSE(std::filesystem::exists(removed));
}

TEST_F(KeyOptionTest, KeepsAFileThatIsNoKey) {
  const auto path = file("none", "no key");

  EXPECT_EQ(error_code(read_key_option("key", "remove,file=" + path)), ErrorCode::kInvalidArgument);

  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(KeyOptionTest, RefusesWhatNamesNoKey) {
  EXPECT_EQ(error_code(read_key_option("key", "mode=aes-cbc")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(read_key_option("key", "file=" + (folder_.path() / "none").string())),
            ErrorCode::kNotFound);
  EXPECT_EQ(error_code(read_key_option("key", "mode=rot13,file=" + file("k", kDigits))),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(read_key_option("key", "file=" + file("l", std::string(5000, '0')))),
            ErrorCode::kInvalidArgument);
}

TEST_F(KeyOptionTest, MakesAStoreKeyThatIsNotSwtpmsKey) {
  const auto short_key = *read_key_option("key", "file=" + file("k", kDigits));
  const auto other = *read_key_option("key", "pwdfile=" + file("p", "other"));

  const auto store_key = store_key_of(short_key);

  ASSERT_TRUE(store_key);
  EXPECT_NE(base::to_hex(store_key->bytes.expose()).substr(0, 32), kDigits);
  EXPECT_TRUE(store_key->bytes.equals_in_constant_time(store_key_of(short_key)->bytes));
  EXPECT_FALSE(store_key->bytes.equals_in_constant_time(store_key_of(other)->bytes));
}

}  // namespace
}  // namespace tools::swtpm
