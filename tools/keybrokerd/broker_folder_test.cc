// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/broker_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/log.h"

namespace tools::keybrokerd {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using testing::HasSubstr;
using tests::support::error_code;

const keybroker::crypto::Time kNow{std::chrono::seconds(1'795'000'000)};

class BrokerFolderTest : public testing::Test {
 protected:
  base::Result<BrokerFolder> open(bool is_new, keybroker::crypto::Time now = kNow) {
    return open_broker_folder(folder(), is_new, now);
  }

  [[nodiscard]] fs::path folder() const { return temp_.path() / "broker"; }

  tests::support::TempFolder temp_;
};

TEST_F(BrokerFolderTest, WhatIsMadeIsThereAgain) {
  const auto made = open(true);
  ASSERT_TRUE(made) << made.error().message;
  const auto found = open(false);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->answer_key.chain, made->answer_key.chain);
  EXPECT_TRUE(std::ranges::equal(found->secrets.newest().bytes.expose(),
                                 made->secrets.newest().bytes.expose()));
  EXPECT_TRUE(std::ranges::equal(found->records_key.expose(), made->records_key.expose()));
  ASSERT_EQ(found->master_keys.size(), 1U);
  EXPECT_EQ(found->master_keys.front().version, made->master_keys.front().version);
  EXPECT_TRUE(std::ranges::equal(found->master_keys.front().bytes.expose(),
                                 made->master_keys.front().bytes.expose()));
}

TEST_F(BrokerFolderTest, NothingLostIsMadeAnewBesideRecords) {
  ASSERT_TRUE(open(true));
  for (const auto* file : {"master.key", "records.key", "cluster.secrets"}) {
    fs::rename(folder() / file, temp_.path() / file);
    const auto refused = open(false);
    ASSERT_EQ(error_code(refused), ErrorCode::kCorrupt) << file;
    EXPECT_THAT(refused.error().message, HasSubstr(file));
    EXPECT_FALSE(fs::exists(folder() / file));
    fs::rename(temp_.path() / file, folder() / file);
  }
  fs::remove(folder() / "root.pem");
  fs::remove(folder() / "answer.pem");
  EXPECT_EQ(error_code(open(false)), ErrorCode::kCorrupt);
}

TEST_F(BrokerFolderTest, TokenKeysAreNotMadeAnewBesideRecordsWithoutAWord) {
  std::string log;
  base::set_log_sink([&log](base::LogLevel level, std::string_view line) {
    if (level >= base::LogLevel::kWarning) {
      log += line;
    }
  });
  ASSERT_TRUE(open(true));
  ASSERT_TRUE(open(false));
  EXPECT_EQ(log, "");
  fs::remove(folder() / "tokens.pem");
  ASSERT_TRUE(open(false));
  EXPECT_THAT(log, HasSubstr("tokens.pem was not there"));
  base::set_log_sink({});
}

TEST_F(BrokerFolderTest, ADamagedFileIsNamed) {
  ASSERT_TRUE(open(true));
  std::ofstream(folder() / "cluster.secrets") << "1 nonsense\n";
  const auto refused = open(false);
  ASSERT_EQ(error_code(refused), ErrorCode::kCorrupt);
  EXPECT_THAT(refused.error().message, HasSubstr("cluster.secrets is damaged"));
}

// The root may be kept apart: answers are signed without it until their key nears its end.
TEST_F(BrokerFolderTest, TheRootIsNeededForANewAnswerKeyOnly) {
  const auto made = open(true);
  ASSERT_TRUE(made);
  fs::rename(folder() / "root.pem", temp_.path() / "root.pem");
  const auto without = open(false);
  ASSERT_TRUE(without) << without.error().message;
  const auto late = kNow + std::chrono::days(330);
  const auto still = open(false, late);
  ASSERT_TRUE(still) << still.error().message;
  EXPECT_EQ(still->answer_key.chain, made->answer_key.chain);
  fs::rename(temp_.path() / "root.pem", folder() / "root.pem");
  const auto renewed = open(false, late);
  ASSERT_TRUE(renewed) << renewed.error().message;
  EXPECT_NE(renewed->answer_key.chain.front(), made->answer_key.chain.front());
  EXPECT_EQ(renewed->answer_key.chain.back(), made->answer_key.chain.back());
}

}  // namespace
}  // namespace tools::keybrokerd
