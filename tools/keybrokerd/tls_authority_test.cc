// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/tls_authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

namespace tools::keybrokerd {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using testing::HasSubstr;
using tests::support::error_code;
using transport::tls::Role;

const keybroker::crypto::Time kNow{std::chrono::seconds(1'795'000'000)};

std::string content_of(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

class TlsAuthorityTest : public testing::Test {
 protected:
  base::Result<TlsAuthority> open() { return TlsAuthority::open(folder(), kNow); }

  [[nodiscard]] fs::path folder() const { return temp_.path() / "tls"; }

  tests::support::TempFolder temp_;
};

TEST_F(TlsAuthorityTest, StaysTheSame) {
  ASSERT_TRUE(open());
  const auto certificate = content_of(folder() / "ca.pem");
  ASSERT_TRUE(open());
  EXPECT_EQ(content_of(folder() / "ca.pem"), certificate);
}

TEST_F(TlsAuthorityTest, KeysAreClosedToOthers) {
  auto authority = open();
  ASSERT_TRUE(authority);
  ASSERT_TRUE(authority->server({"localhost"}, kNow));
  ASSERT_TRUE(
      authority->issue({.role = Role::kOperator, .name = "alice"}, temp_.path() / "alice", kNow));
  for (const auto& key :
       {folder() / "ca-key.pem", folder() / "server-key.pem", temp_.path() / "alice" / "key.pem"}) {
    EXPECT_EQ(fs::status(key).permissions(), fs::perms::owner_read | fs::perms::owner_write) << key;
  }
}

TEST_F(TlsAuthorityTest, ALostKeyIsNeverMadeAnewBesideItsCertificate) {
  ASSERT_TRUE(open());
  fs::remove(folder() / "ca-key.pem");
  const auto refused = open();
  ASSERT_EQ(error_code(refused), ErrorCode::kCorrupt);
  EXPECT_THAT(refused.error().message, HasSubstr("Restore it from a backup"));
}

TEST_F(TlsAuthorityTest, AKeyOfAnotherAuthorityIsRefused) {
  ASSERT_TRUE(open());
  ASSERT_TRUE(TlsAuthority::open(temp_.path() / "other", kNow));
  fs::copy_file(temp_.path() / "other" / "ca-key.pem", folder() / "ca-key.pem",
                fs::copy_options::overwrite_existing);
  EXPECT_EQ(error_code(open()), ErrorCode::kCorrupt);
}

TEST_F(TlsAuthorityTest, TheServersCertificateIsMadeAnewForOtherNamesAndInItsLastThird) {
  auto authority = open();
  ASSERT_TRUE(authority);
  const auto server = [&](const std::vector<std::string>& names, keybroker::crypto::Time now) {
    const auto files = authority->server(names, now);
    EXPECT_TRUE(files);
    return files ? content_of(files->certificate) : std::string();
  };
  const auto first = server({"localhost", "127.0.0.1", "::1"}, kNow);
  EXPECT_EQ(server({"localhost", "127.0.0.1", "::1"}, kNow + std::chrono::days(59)), first);
  const auto renewed = server({"localhost", "127.0.0.1", "::1"}, kNow + std::chrono::days(61));
  EXPECT_NE(renewed, first);
  EXPECT_NE(server({"broker.example"}, kNow + std::chrono::days(61)), renewed);
}

TEST_F(TlsAuthorityTest, RefusesANameThatNoServerHas) {
  auto authority = open();
  ASSERT_TRUE(authority);
  EXPECT_EQ(error_code(authority->server({""}, kNow)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(authority->server({std::string(254, 'a')}, kNow)),
            ErrorCode::kInvalidArgument);
}

TEST_F(TlsAuthorityTest, ACallersFolderIsNeverOverwritten) {
  auto authority = open();
  ASSERT_TRUE(authority);
  const TlsAuthority::Caller caller{.role = Role::kAuditor, .name = "carol"};
  ASSERT_TRUE(authority->issue(caller, temp_.path() / "carol", kNow));
  const auto key = content_of(temp_.path() / "carol" / "key.pem");
  EXPECT_FALSE(authority->issue(caller, temp_.path() / "carol", kNow));
  EXPECT_EQ(content_of(temp_.path() / "carol" / "key.pem"), key);
}

}  // namespace
}  // namespace tools::keybrokerd
