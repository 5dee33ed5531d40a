// SPDX-License-Identifier: Apache-2.0
#include "tools/daemon/authority_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

namespace tools::daemon {
namespace {

namespace fs = std::filesystem;
using keybroker::authority::CaKey;
using keybroker::evidence::AkClass;
using ::testing::HasSubstr;
using tests::support::error_code;

const auto kNow = *keybroker::crypto::parse_time("2026-01-01T00:00:00Z");

mode_t mode_of(const fs::path& path) {
  struct stat status {};

  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

class AuthorityFolderTest : public ::testing::Test {
 protected:
  [[nodiscard]] base::Result<AuthorityFolder> open(bool simulated = false,
                                                   CaKey kind = CaKey::kP384) const {
    return open_authority_folder(folder(), simulated, kind, kNow);
  }

  [[nodiscard]] fs::path folder() const { return temp_ / "authority"; }

  [[nodiscard]] std::string refusal() const {
    const auto opened = open();
    EXPECT_EQ(error_code(opened), base::ErrorCode::kCorrupt);
    return opened ? "opened" : opened.error().message;
  }

  tests::support::TempFolder temp_;
};

TEST_F(AuthorityFolderTest, MakesCasOnceAndKeepsThem) {
  const auto first = open();
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_EQ(first->cas.size(), 2U);
  // The kind of key counts for a CA that is made, not for one that is there.
  const auto second = open(false, CaKey::kRsa3072);
  ASSERT_TRUE(second) << second.error().message;
  for (const auto ak_class : {AkClass::kCvm, AkClass::kHost}) {
    EXPECT_EQ(first->cas.at(ak_class).certificate, second->cas.at(ak_class).certificate);
    EXPECT_EQ(first->cas.at(ak_class).root, second->cas.at(ak_class).root);
  }
}

TEST_F(AuthorityFolderTest, IsClosedToOthers) {
  ASSERT_TRUE(open());
  EXPECT_EQ(mode_of(folder()), 0700U);
  EXPECT_EQ(mode_of(folder() / "cvm.pem"), 0600U);
  EXPECT_EQ(mode_of(folder() / "host.pem"), 0600U);
  fs::permissions(folder() / "host.pem", fs::perms::others_read, fs::perm_options::add);
  EXPECT_EQ(error_code(open()), base::ErrorCode::kDenied);
}

TEST_F(AuthorityFolderTest, HasACaForSimulatorsWhenAskedOnly) {
  ASSERT_TRUE(open());
  EXPECT_FALSE(fs::exists(folder() / "simulated.pem"));
  const auto with = open(true);
  ASSERT_TRUE(with) << with.error().message;
  EXPECT_TRUE(with->cas.contains(AkClass::kSimulated));
  EXPECT_FALSE(open()->cas.contains(AkClass::kSimulated)) << "what is there is not used unasked";
}

TEST_F(AuthorityFolderTest, NeverReplacesWhatIsDamaged) {
  ASSERT_TRUE(open());
  const auto file = folder() / "host.pem";
  fs::resize_file(file, 300);
  EXPECT_THAT(refusal(), HasSubstr(file.string() + " is damaged"));
  EXPECT_THAT(refusal(), HasSubstr("Restore it from a backup"));
  EXPECT_EQ(fs::file_size(file), 300U);
  // One class's CA in another's place.
  fs::copy_file(folder() / "cvm.pem", file, fs::copy_options::overwrite_existing);
  EXPECT_THAT(refusal(), HasSubstr("not that of class host"));
}

// A CA whose records are gone would take nothing back any more.
TEST_F(AuthorityFolderTest, WantsTheRecordsOfItsCas) {
  ASSERT_TRUE(open());
  fs::remove(folder() / "certificates.db");
  EXPECT_THAT(refusal(), HasSubstr("issued and revoked"));
  EXPECT_FALSE(fs::exists(folder() / "certificates.db"));
  std::ofstream(folder() / "certificates.db") << "not a database at all, but long enough to say so";
  EXPECT_THAT(refusal(), HasSubstr("certificates.db"));
}

TEST_F(AuthorityFolderTest, WantsTheCasOfItsRecords) {
  {
    auto opened = *open();
    // A list that was published, and a certificate of the other class.
    ASSERT_TRUE(opened.records.next_crl_number(AkClass::kCvm));
    keybroker::authority::CertificateRecord record;
    record.serial = base::Bytes(16, std::byte{1});
    record.statement.ak_class = AkClass::kHost;
    ASSERT_TRUE(opened.records.add(record));
  }
  for (const char* name : {"cvm.pem", "host.pem"}) {
    fs::rename(folder() / name, folder() / "away");
    EXPECT_THAT(refusal(), AllOf(HasSubstr(name), HasSubstr("is not there")));
    EXPECT_FALSE(fs::exists(folder() / name));
    fs::rename(folder() / "away", folder() / name);
  }
  EXPECT_TRUE(open());
}

// As a crash leaves it between the two.
TEST_F(AuthorityFolderTest, ACaThatWasNeverUsedIsMadeAgain) {
  ASSERT_TRUE(open());
  fs::remove(folder() / "cvm.pem");
  EXPECT_TRUE(open());
}

TEST_F(AuthorityFolderTest, EmptyRecordsBesideACaAreNotItsRecords) {
  ASSERT_TRUE(open());
  for (const char* name : {"certificates.db", "certificates.db-wal", "certificates.db-shm"}) {
    fs::remove(folder() / name);
  }
  std::ofstream(folder() / "certificates.db").flush();
  EXPECT_THAT(refusal(), HasSubstr("knows nothing of"));
  EXPECT_THAT(refusal(), HasSubstr("knows nothing of")) << "and stays so";
}

}  // namespace
}  // namespace tools::daemon
