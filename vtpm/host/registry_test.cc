// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/registry.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace vtpm::host {
namespace {

using base::ErrorCode;
using vmgs::format::VmId;

VmRecord record(const std::string& name, unsigned char number) {
  VmRecord made;
  made.id.bytes.fill(std::byte{number});
  made.name = name;
  made.launch_document = {std::byte{1}, std::byte{0}, std::byte{2}};
  made.created_at = 1'700'000'000;
  made.strict_durability = number % 2 == 0;
  return made;
}

Call call(const std::string& key, const std::string& request = "request") {
  return {key, "CreateVm", base::copy_of(base::bytes_of(request))};
}

class RegistryTest : public ::testing::Test {
 protected:
  Registry open() {
    auto opened = Registry::open(path_);
    EXPECT_TRUE(opened) << opened.error().message;
    return *std::move(opened);
  }

  void run_sql(const char* sql) {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &raw), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(raw, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(raw);
  }

  tests::support::TempFolder folder_;
  std::filesystem::path path_ = folder_ / "registry.db";
};

TEST_F(RegistryTest, KeepsRecordsAcrossOpening) {
  {
    auto registry = open();
    ASSERT_TRUE(registry.insert(record("b", 2)));
    ASSERT_TRUE(registry.insert(record("a", 1)));
  }
  EXPECT_EQ(*open().all(), (std::vector{record("a", 1), record("b", 2)}));
}

TEST_F(RegistryTest, RefusesANameOrAnIdThatIsTaken) {
  auto registry = open();
  ASSERT_TRUE(registry.insert(record("a", 1)));

  EXPECT_EQ(registry.insert(record("a", 2)).error().code, ErrorCode::kDenied);
  EXPECT_EQ(registry.insert(record("b", 1)).error().code, ErrorCode::kDenied);
}

TEST_F(RegistryTest, NotesStateAndDeletion) {
  auto registry = open();
  const auto id = record("a", 1).id;
  ASSERT_TRUE(registry.insert(record("a", 1)));

  ASSERT_TRUE(registry.note_state(id));
  ASSERT_TRUE(registry.note_deleting(id));

  auto expected = record("a", 1);
  expected.has_state = true;
  expected.deleting = true;
  EXPECT_EQ(*registry.all(), std::vector{expected});
  ASSERT_TRUE(registry.erase(id));
  EXPECT_TRUE(registry.all()->empty());
}

TEST_F(RegistryTest, SetsALaunchAndKeepsTheOneBefore) {
  const base::Bytes first = record("a", 1).launch_document;
  const base::Bytes second = {std::byte{2}};
  auto converted = record("a", 1);
  converted.launch_document = second;
  converted.launch_document_before = first;
  converted.store = 7;
  converted.store_before = 3;
  {
    auto registry = open();
    ASSERT_TRUE(registry.insert(record("a", 1)));
    ASSERT_TRUE(registry.insert(record("b", 2)));
    ASSERT_TRUE(registry.set_launch(converted));
  }
  EXPECT_EQ(*open().all(), (std::vector{converted, record("b", 2)}));

  converted.launch_document_before.clear();
  converted.store_before = 7;
  ASSERT_TRUE(open().set_launch(converted));
  EXPECT_EQ(open().all()->front(), converted);
  converted.id = VmId{};
  EXPECT_EQ(open().set_launch(converted).error().code, ErrorCode::kNotFound);
}

TEST_F(RegistryTest, KeepsWhetherTheStateMayLeaveInTheClear) {
  auto plain = record("a", 1);
  plain.plain_state_blobs = true;
  ASSERT_TRUE(open().insert(plain));
  ASSERT_TRUE(open().insert(record("b", 2)));
  EXPECT_EQ(*open().all(), (std::vector{plain, record("b", 2)}));

  ASSERT_TRUE(open().set_plain_state_blobs(plain.id, false));

  plain.plain_state_blobs = false;
  EXPECT_EQ(*open().all(), (std::vector{plain, record("b", 2)}));
  EXPECT_EQ(open().set_plain_state_blobs(VmId{}, true).error().code, ErrorCode::kNotFound);
}

// A registry as the first vtpmd made it, with a VM in it.
TEST_F(RegistryTest, BringsTheOneOfAnOlderProgramUpToDate) {
  {
    auto registry = open();
    ASSERT_TRUE(registry.insert(record("a", 1)));
  }
  run_sql(
      "ALTER TABLE vm DROP COLUMN launch_document_before; ALTER TABLE vm DROP COLUMN store; "
      "ALTER TABLE vm DROP COLUMN store_before; ALTER TABLE vm DROP COLUMN plain_state_blobs; "
      "PRAGMA user_version = 1;");

  EXPECT_EQ(*open().all(), std::vector{record("a", 1)});
  EXPECT_EQ(*open().all(), std::vector{record("a", 1)});
}

TEST_F(RegistryTest, KnowsNoVmThatIsNotThere) {
  auto registry = open();
  const VmId id{};

  EXPECT_EQ(registry.note_state(id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(registry.note_deleting(id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(registry.erase(id).error().code, ErrorCode::kNotFound);
}

TEST_F(RegistryTest, ReplaysTheAnswerOfAKey) {
  {
    auto registry = open();
    EXPECT_EQ(*registry.replay(call("k")), std::nullopt);
    ASSERT_TRUE(registry.remember(call("k"), base::bytes_of("answer"), 100));
  }
  auto registry = open();
  EXPECT_EQ(*registry.replay(call("k")), base::copy_of(base::bytes_of("answer")));
}

TEST_F(RegistryTest, ReplaysAnEmptyAnswerToo) {
  auto registry = open();
  ASSERT_TRUE(registry.remember(call("k"), {}, 100));

  EXPECT_EQ(*registry.replay(call("k")), base::Bytes());
}

TEST_F(RegistryTest, RefusesAKeyThatWasUsedForAnotherCall) {
  auto registry = open();
  ASSERT_TRUE(registry.remember(call("k"), base::bytes_of("answer"), 100));

  EXPECT_EQ(registry.replay(call("k", "other")).error().code, ErrorCode::kDenied);
  auto other_method = call("k");
  other_method.method = "StopVm";
  EXPECT_EQ(registry.replay(other_method).error().code, ErrorCode::kDenied);
}

TEST_F(RegistryTest, ForgetsOldAnswersOnly) {
  auto registry = open();
  ASSERT_TRUE(registry.remember(call("old"), {}, 99));
  ASSERT_TRUE(registry.remember(call("new"), {}, 100));

  ASSERT_TRUE(registry.forget_calls_before(100));

  EXPECT_EQ(*registry.replay(call("old")), std::nullopt);
  EXPECT_NE(*registry.replay(call("new")), std::nullopt);
}

TEST_F(RegistryTest, MakesChangesTogetherOrNotAtAll) {
  auto registry = open();

  const auto failed = registry.together([&]() -> base::Result<void> {
    EXPECT_TRUE(registry.insert(record("a", 1)));
    return base::fail(ErrorCode::kDenied, "no");
  });
  EXPECT_EQ(failed.error().code, ErrorCode::kDenied);
  EXPECT_TRUE(registry.all()->empty());

  EXPECT_TRUE(registry.together([&] { return registry.insert(record("a", 1)); }));
  EXPECT_EQ(registry.all()->size(), 1U);
}

TEST_F(RegistryTest, RefusesAnotherProgramsDatabase) {
  run_sql("CREATE TABLE notes (text TEXT)");

  EXPECT_EQ(Registry::open(path_).error().code, ErrorCode::kCorrupt);
}

TEST_F(RegistryTest, RefusesWhatIsNoDatabase) {
  std::ofstream(path_) << std::string(5000, 'x');

  const auto opened = Registry::open(path_);

  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(opened.error().message.find(path_.string()), std::string::npos);
}

TEST_F(RegistryTest, RefusesTheRegistryOfANewerProgram) {
  open();
  run_sql("PRAGMA user_version = 5");

  EXPECT_EQ(Registry::open(path_).error().code, ErrorCode::kUnavailable);
}

TEST_F(RegistryTest, SaysWhyItCannotBeOpened) {
  EXPECT_EQ(Registry::open(folder_ / "no" / "registry.db").error().code, ErrorCode::kIo);
}

// A process that is killed at once after an insert has returned.
TEST_F(RegistryTest, KeepsWhatItAcknowledgedWhenItsProcessIsKilled) {
  open();
  std::array<int, 2> acknowledged{};
  ASSERT_EQ(pipe(acknowledged.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto registry = Registry::open(path_);
    for (unsigned char number = 1;; ++number) {
      if (registry->insert(record("vm" + std::to_string(number), number))) {
        (void)!write(acknowledged[1], &number, 1);
      }
    }
  }
  unsigned char last = 0;
  while (last < 20) {
    ASSERT_EQ(read(acknowledged[0], &last, 1), 1);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(acknowledged[1]);
  for (unsigned char more = 0; read(acknowledged[0], &more, 1) == 1;) {
    last = more;
  }
  close(acknowledged[0]);

  const auto records = open().all();

  ASSERT_TRUE(records);
  // The one in flight may be there as well.
  EXPECT_GE(records->size(), last);
  EXPECT_LE(records->size(), last + 1U);
}

}  // namespace
}  // namespace vtpm::host
