// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/tls_authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/command.h"
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

class RevocationTest : public TlsAuthorityTest {
 protected:
  // issue() gives the serial number of a caller's new certificate.
  base::Bytes issue(const TlsAuthority& authority, const std::string& name) {
    EXPECT_TRUE(
        authority.issue({.role = Role::kOperator, .name = name}, temp_.path() / name, kNow));
    const auto pem = content_of(temp_.path() / name / "certificate.pem");
    return keybroker::crypto::decode_pem_certificates(pem, 1)->front().serial();
  }

  // How openssl judges a caller by the files that a server goes by.
  testing::AssertionResult is_revoked(const transport::tls::CredentialFiles& files,
                                      const std::string& name, keybroker::crypto::Time now = kNow) {
    const auto ran = tests::support::run_command(
        {"/usr/bin/openssl", "verify", "-attime", std::to_string(now.time_since_epoch().count()),
         "-CAfile", files.authorities, "-CRLfile", files.revoked, "-crl_check",
         temp_.path() / name / "certificate.pem"});
    if (ran.status == 0) {
      return testing::AssertionFailure() << ran.out;
    }
    return ran.err.find("certificate revoked") == std::string::npos
               ? testing::AssertionFailure() << ran.err
               : testing::AssertionSuccess();
  }
};

TEST_F(RevocationTest, AServerHeedsTheListOnceThereIsOne) {
  auto authority = open();
  ASSERT_TRUE(authority);
  const auto mallory = issue(*authority, "mallory");
  issue(*authority, "alice");
  EXPECT_TRUE(authority->server({"localhost"}, kNow)->revoked.empty());

  ASSERT_TRUE(authority->revoke(mallory, kNow));
  ASSERT_TRUE(authority->revoke(mallory, kNow));
  const auto files = *authority->server({"localhost"}, kNow);
  EXPECT_TRUE(is_revoked(files, "mallory"));
  EXPECT_FALSE(is_revoked(files, "alice"));
}

// A list that has ended keeps everybody out; it is signed anew long before, with all that is on it.
TEST_F(RevocationTest, TheListIsSignedAnewBeforeItEnds) {
  auto authority = open();
  ASSERT_TRUE(authority);
  ASSERT_TRUE(authority->revoke(issue(*authority, "mallory"), kNow));
  const auto later = kNow + std::chrono::days(29);
  const auto files = *authority->server({"localhost"}, later);
  EXPECT_TRUE(is_revoked(files, "mallory", later));
  const auto list = content_of(files.revoked);
  ASSERT_TRUE(authority->server({"localhost"}, later + std::chrono::days(14)));
  EXPECT_EQ(content_of(files.revoked), list);
  ASSERT_TRUE(authority->server({"localhost"}, later + std::chrono::days(16)));
  EXPECT_NE(content_of(files.revoked), list);
}

TEST_F(RevocationTest, OnlyWhatWasIssuedHereIsRevoked) {
  auto authority = open();
  ASSERT_TRUE(authority);
  issue(*authority, "alice");
  EXPECT_EQ(error_code(authority->revoke(base::Bytes(16, std::byte{1}), kNow)),
            ErrorCode::kNotFound);
  EXPECT_THAT(content_of(folder() / "issued"), HasSubstr(" operator - alice\n"));
}

TEST_F(RevocationTest, ADamagedListIsNotTakenForAnEmptyOne) {
  auto authority = open();
  ASSERT_TRUE(authority);
  ASSERT_TRUE(authority->revoke(issue(*authority, "mallory"), kNow));
  std::ofstream(folder() / "revoked.pem") << "";
  EXPECT_EQ(error_code(authority->server({"localhost"}, kNow)), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace tools::keybrokerd
