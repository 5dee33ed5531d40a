// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <fstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/bytes.h"
#include "vmgs/crypto/digest.h"

namespace tests::integration {
namespace {

namespace json = boost::json;
using support::Ran;

const std::string kKey(64, '7');
const std::string kState(9000, 's');
const std::string kId(20, 'i');

std::string sha256_of(std::string_view text) {
  return base::to_hex(vmgs::crypto::sha256(base::bytes_of(text)));
}

// Stores of ours and of an implementation that shares nothing with ours: independent/vmgs.py.
class VmgsIndependentTest : public ::testing::Test {
 protected:
  Ran vmgs(std::vector<std::string> arguments, std::string_view input = {}) const {
    arguments.insert(arguments.begin(), VMGS_TOOL);
    return support::run_command(arguments, input);
  }

  static Ran other(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"/usr/bin/python3", INDEPENDENT_VMGS});
    return support::run_command(arguments);
  }

  // What the other one finds in a store.
  static json::value found(const std::string& store, const std::string& key = {}) {
    const auto ran = other(key.empty() ? std::vector<std::string>{"read", store}
                                       : std::vector<std::string>{"read", store, key});
    EXPECT_EQ(ran.status, 0) << ran.err;
    json::error_code error;
    return json::parse(ran.out, error);
  }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string key_file() const {
    std::ofstream(path("key")) << kKey;
    ::chmod(path("key").c_str(), 0600);
    return path("key");
  }

  // A store of ours with a file that is rewritten, one that is plaintext and one that is deleted.
  void make_ours(std::vector<std::string> options, const std::vector<std::string>& key) const {
    const auto with_key = [&](std::vector<std::string> words) {
      words.insert(words.end(), key.begin(), key.end());
      return words;
    };
    options.insert(options.begin(), {"create", path("ours")});
    ASSERT_EQ(vmgs(with_key(options)).status, 0);
    const auto write = [&](const std::string& id, const std::string& data,
                           const std::string& option) {
      const auto ran = vmgs(with_key({"write", path("ours"), id, option, "--no-undo"}), data);
      ASSERT_EQ(ran.status, 0) << ran.err;
    };
    write("TPM_NVRAM", "first", "--overwrite");
    write("ATTEST", "gone", "--overwrite");
    write("VM_UNIQUE_ID", kId, "--plaintext");
    write("TPM_NVRAM", kState, "--overwrite");
    ASSERT_EQ(vmgs(with_key({"delete", path("ours"), "ATTEST", "--no-undo"})).status, 0);
  }

  support::TempFolder folder_;
};

TEST_F(VmgsIndependentTest, ReadsPlaintextStoresOfOurs) {
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{}, {"--raw"}, {"--raw", "--sector-size", "4096"}}) {
    make_ours(options, {});

    const auto store = found(path("ours"));

    EXPECT_EQ(store.at("encrypted"), false);
    EXPECT_EQ(store.at("files").as_object().size(), 2U);
    EXPECT_EQ(store.at("files").at("3").at("sha256").as_string(), sha256_of(kState));
    EXPECT_EQ(store.at("files").at("7").at("sha256").as_string(), sha256_of(kId));
    std::filesystem::remove(path("ours"));
  }
}

TEST_F(VmgsIndependentTest, ReadsEncryptedStoresOfOursAndAfterARekeyOrAnEncryption) {
  make_ours({}, {"--key", key_file()});
  const auto check = [&](const std::string& key) {
    const auto store = found(path("ours"), key);
    EXPECT_EQ(store.at("encrypted"), true);
    EXPECT_EQ(store.at("files").at("3").at("encrypted"), true);
    EXPECT_EQ(store.at("files").at("3").at("sha256").as_string(), sha256_of(kState));
    EXPECT_EQ(store.at("files").at("7").at("encrypted"), false);
    EXPECT_EQ(store.at("files").at("7").at("sha256").as_string(), sha256_of(kId));
  };
  check(kKey);
  EXPECT_NE(other({"read", path("ours"), std::string(64, '8')}).status, 0);

  const std::string new_key(64, '9');
  std::ofstream(path("new")) << new_key;
  ::chmod(path("new").c_str(), 0600);
  ASSERT_EQ(
      vmgs({"rekey", path("ours"), "--key", key_file(), "--new-key", path("new"), "--no-undo"})
          .status,
      0);
  check(new_key);
  ASSERT_EQ(vmgs({"decrypt", path("ours"), "--key", path("new"), "--apply", "--no-undo"}).status,
            0);
  EXPECT_EQ(found(path("ours")).at("files").at("3").at("sha256").as_string(), sha256_of(kState));
  ASSERT_EQ(vmgs({"encrypt", path("ours"), "--new-key", key_file(), "--apply", "--no-undo"}).status,
            0);
  check(kKey);
}

TEST_F(VmgsIndependentTest, OursReadsAndWritesStoresOfTheOther) {
  for (const auto& key : {std::string("-"), kKey}) {
    for (const auto& [kind, spacing] :
         {std::pair("vhd", "512"), std::pair("raw", "512"), std::pair("raw", "4096")}) {
      const auto store = path("theirs");
      ASSERT_EQ(
          other({"write", store, kind, spacing, key, "3=" + base::to_hex(base::bytes_of(kState)),
                 "7=" + base::to_hex(base::bytes_of(kId)) + ":plain", "4=:plain"})
              .status,
          0);
      const auto with_key = [&](std::vector<std::string> words) {
        if (key != "-") {
          words.insert(words.end(), {"--key", key_file()});
        }
        return words;
      };

      EXPECT_EQ(vmgs(with_key({"check", store})).status, 0) << vmgs(with_key({"check", store})).out;
      EXPECT_EQ(vmgs(with_key({"read", store, "TPM_NVRAM"})).out, kState);
      EXPECT_EQ(vmgs(with_key({"read", store, "VM_UNIQUE_ID"})).out, kId);
      ASSERT_EQ(
          vmgs(with_key({"write", store, "RTC_SKEW", "--overwrite", "--plaintext", "--no-undo"}),
               "12345678")
              .status,
          0);
      const auto again = found(store, key == "-" ? "" : key);
      EXPECT_EQ(again.at("files").at("4").at("sha256").as_string(), sha256_of("12345678"));
      EXPECT_EQ(again.at("files").at("3").at("sha256").as_string(), sha256_of(kState));
      std::filesystem::remove(store);
    }
  }
}

}  // namespace
}  // namespace tests::integration
