// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/folder.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/storage/fake_system_calls.h"

namespace vmgs::storage {
namespace {

using ::tests::support::error_code;
namespace fs = std::filesystem;
using ::testing::ElementsAre;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class PublishTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { fake_system_calls() = {.rename_lacks_noreplace = GetParam()}; }

  void TearDown() override { fake_system_calls() = {}; }

  tests::support::TempFolder folder_;
};

TEST_P(PublishTest, GivesTheFileItsFinalName) {
  std::ofstream(folder_ / "store.new") << "new";

  ASSERT_TRUE(publish(folder_ / "store.new", folder_ / "store"));

  EXPECT_THAT(fake_system_calls().calls, ElementsAre("rename", "fsync folder"));
  EXPECT_EQ(text_of(folder_ / "store"), "new");
  EXPECT_FALSE(fs::exists(folder_ / "store.new"));
}

TEST_P(PublishTest, NeverReplacesWhatIsThere) {
  std::ofstream(folder_ / "store.new") << "new";
  std::ofstream(folder_ / "store") << "old";

  const auto published = publish(folder_ / "store.new", folder_ / "store");

  ASSERT_FALSE(published);
  EXPECT_EQ(error_code(published), base::ErrorCode::kDenied);
  EXPECT_EQ(text_of(folder_ / "store"), "old");
  EXPECT_EQ(text_of(folder_ / "store.new"), "new");
}

TEST_P(PublishTest, SaysWhatIsMissing) {
  EXPECT_EQ(error_code(publish(folder_ / "absent", folder_ / "store")), base::ErrorCode::kNotFound);
}

INSTANTIATE_TEST_SUITE_P(BothWays, PublishTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "ByLink" : "ByRename"; });

TEST(SyncFolderTest, SaysThatTheSyncFailed) {
  const tests::support::TempFolder folder;
  fake_system_calls() = {.fsync_error = EIO};

  const auto synced = sync_folder_of(folder / "file");

  fake_system_calls() = {};
  ASSERT_FALSE(synced);
  EXPECT_EQ(error_code(synced), base::ErrorCode::kIo);
}

TEST(SyncFolderTest, SyncsTheFolderOfAPath) {
  const tests::support::TempFolder folder;

  EXPECT_TRUE(sync_folder_of(folder / "need-not-exist"));
  EXPECT_TRUE(sync_folder_of("relative"));
  EXPECT_EQ(error_code(sync_folder_of(folder / "absent" / "file")), base::ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vmgs::storage
