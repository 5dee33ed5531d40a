// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_pki.h"

namespace transport::tls {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using ::testing::HasSubstr;
using tests::support::TempFolder;
using tests::support::TestPki;

// Files from which a context is made. Each test spoils one of them.
class ContextTest : public ::testing::Test {
 protected:
  ContextTest() {
    const auto files = pki_.service("service");
    files_ = {files.certificate, files.key, pki_.authorities()};
  }

  // What is said for the files as they are now, by both sides alike.
  base::Error refusal() {
    const auto served = server_context(files_);
    const auto called = client_context(files_);
    EXPECT_FALSE(served);
    EXPECT_FALSE(called);
    if (served || called) {
      return {ErrorCode::kIo, "none"};
    }
    EXPECT_EQ(served.error().message, called.error().message);
    return served.error();
  }

  void put(const fs::path& file, const std::string& text) { std::ofstream(file) << text; }

  TempFolder folder_;
  TestPki pki_{folder_.path(), "test"};
  CredentialFiles files_;
};

TEST_F(ContextTest, IsMadeOfGoodFiles) {
  EXPECT_TRUE(server_context(files_));
  EXPECT_TRUE(client_context(files_));
}

TEST_F(ContextTest, NeedsNoAuthoritiesToServeEverybody) {
  files_.authorities.clear();

  EXPECT_TRUE(server_context(files_, Callers::kAnyone));
  EXPECT_FALSE(server_context(files_, Callers::kWithCertificate));
}

TEST_F(ContextTest, NeedsNoCertificateToCall) {
  EXPECT_TRUE(client_context({{}, {}, pki_.authorities()}));
  EXPECT_FALSE(server_context({{}, {}, pki_.authorities()}));
}

// The system's own authorities are not in the place of ours.
TEST_F(ContextTest, NeedsAuthoritiesToCall) {
  files_.authorities.clear();

  EXPECT_FALSE(client_context(files_));
}

TEST_F(ContextTest, RefusesAKeyThatOthersMayRead) {
  for (const auto access :
       {fs::perms::others_read, fs::perms::group_read, fs::perms::group_write}) {
    fs::permissions(files_.key, fs::perms::owner_read | access);

    const auto error = refusal();

    EXPECT_EQ(error.code, ErrorCode::kDenied);
    EXPECT_THAT(error.message, HasSubstr(files_.key.string()));
    EXPECT_THAT(error.message, HasSubstr("chmod 600"));
  }
}

TEST_F(ContextTest, RefusesTheKeyOfAnotherCertificate) {
  files_.key = pki_.service("other").key;

  EXPECT_THAT(refusal().message, HasSubstr("is not the key of " + files_.certificate.string()));
}

// Were it asked for, the passphrase would be read from the terminal of a daemon.
TEST_F(ContextTest, RefusesAnEncryptedKey) {
  const auto encrypted = (folder_ / "encrypted.key").string();
  ASSERT_EQ(tests::support::run_command({"/usr/bin/openssl", "pkey", "-in", files_.key.string(),
                                         "-aes256", "-passout", "pass:secret", "-out", encrypted})
                .status,
            0);
  fs::permissions(encrypted, fs::perms::owner_read);
  files_.key = encrypted;

  EXPECT_THAT(refusal().message, HasSubstr("no unencrypted private key"));
}

TEST_F(ContextTest, RefusesACertificateOfAWeakKey) {
  files_.certificate = folder_ / "weak.pem";
  files_.key = folder_ / "weak.key";
  ASSERT_EQ(tests::support::run_command({"/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:1024",
                                         "-nodes", "-subj", "/CN=weak", "-keyout",
                                         files_.key.string(), "-out", files_.certificate.string()})
                .status,
            0);
  fs::permissions(files_.key, fs::perms::owner_read);

  EXPECT_THAT(refusal().message, HasSubstr("too weak"));
}

TEST_F(ContextTest, NamesTheFileThatIsNotThere) {
  for (auto* file : {&files_.certificate, &files_.key, &files_.authorities}) {
    const auto kept = std::exchange(*file, folder_ / "absent");

    const auto error = refusal();

    EXPECT_EQ(error.code, ErrorCode::kNotFound);
    EXPECT_THAT(error.message, HasSubstr("absent"));
    *file = kept;
  }
}

TEST_F(ContextTest, RefusesWhatIsNoPem) {
  files_.authorities = folder_ / "garbage";
  put(files_.authorities, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(refusal().message, HasSubstr("no PEM file of certificates"));

  put(files_.authorities, "");
  EXPECT_THAT(refusal().message, HasSubstr("no PEM file of certificates"));

  files_.authorities = folder_.path();
  EXPECT_THAT(refusal().message, HasSubstr("no file of PEM text"));
}

// Half of the authorities is not what was asked for.
TEST_F(ContextTest, RefusesAuthoritiesWithABrokenOneAmongThem) {
  std::ofstream(files_.authorities, std::ios::app)
      << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

  EXPECT_THAT(refusal().message, HasSubstr("no PEM file of certificates"));
}

TEST_F(ContextTest, RefusesRevocationListsThatAreNone) {
  files_.revoked = files_.authorities;

  EXPECT_THAT(refusal().message, HasSubstr("no PEM file of revocation lists"));
}

}  // namespace
}  // namespace transport::tls
