// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/broker_boot_case.h"

// What a boot takes for its store when a commit has failed and the TPM is powered on again.
namespace vtpm::boot {
namespace {

using namespace tests::support::broker_boot;

class ReopenedStoreTest : public BrokerBootCase {
 protected:
  ReopenedStoreTest() { document_.offline_rule = OfflineRule::kAllow; }

  // fail_a_commit() loses the file from sight for the time of a commit. What comes back is the very
  // file with other content in it, as the storage would have it, or as the commit has left it.
  void fail_a_commit(const Life& life, const std::string& put_back_meanwhile = "") const {
    const auto moved = folder_ / "moved";
    std::filesystem::rename(path_, moved);
    EXPECT_FALSE(life.store().store(BlobKind::kPermanent, base::bytes_of("lost")));
    if (!put_back_meanwhile.empty()) {
      std::filesystem::copy_file(folder_ / put_back_meanwhile, moved,
                                 std::filesystem::copy_options::overwrite_existing);
    }
    std::filesystem::rename(moved, path_);
  }

  static void expect_refused_again(const Life& life, Readiness why) {
    EXPECT_EQ(error_code(life.store().load(BlobKind::kPermanent)), ErrorCode::kDenied);
    EXPECT_EQ(life.boot->trouble(), why);
  }

  static std::string loaded(const Life& life) {
    const auto blob = life.store().load(BlobKind::kPermanent);
    if (!blob) {
      return "error: " + blob.error().message;
    }
    const auto view = (*blob)->expose();
    return {reinterpret_cast<const char*>(view.data()), view.size()};
  }

  // A copy of the VM's past that ran on by itself, without the broker, until its sequence was
  // beyond that of the newest state, which is there again.
  std::string copy_that_ran_ahead() {
    live("tries: 0");
    const auto past = copy("past");
    live("tries: 99");
    const auto newest = copy("newest");
    put_back(past);
    broker_is_away(true);
    {
      const auto life = begin();
      for (int i = 0; i < 10; ++i) {
        life.write("tries: 0");
      }
    }
    auto ahead = copy("ahead");
    put_back(newest);
    return ahead;
  }

  static base::Result<void> rejoin(const Life& life) {
    return life.boot->rejoin([](const std::function<void()>& work) { work(); }, {});
  }
};

TEST_F(ReopenedStoreTest, OnlyWhatWasStoredLastIsTaken) {
  live("first");
  const auto older = copy("older");
  const auto life = serve();
  life.write("second");
  const auto newer = copy("newer");

  fail_a_commit(life, newer);
  EXPECT_EQ(loaded(life), "second");

  fail_a_commit(life, older);
  expect_refused_again(life, Readiness::kStaleState);
}

TEST_F(ReopenedStoreTest, ACopyOfThisVeryBootIsOldAllTheSame) {
  live("first");
  const auto life = serve();
  life.write("second");
  const auto second = copy("second");
  life.write("third");

  fail_a_commit(life, second);

  expect_refused_again(life, Readiness::kStaleState);
}

TEST_F(ReopenedStoreTest, ACommitThatIsThereAlthoughItFailedIsTaken) {
  live("first");
  const auto life = serve();
  life.write("second");

  fail_a_commit(life);

  EXPECT_EQ(loaded(life), "lost");
  life.write("third");
  ASSERT_TRUE(life.boot->close());
  EXPECT_EQ(found(), "third");
}

TEST_F(ReopenedStoreTest, ACommitThatFailedDoesNotTakeThePlaceOfOneThatDidNot) {
  live("first");
  const auto life = serve();
  life.write("second");
  const auto second = copy("second");
  fail_a_commit(life);
  fail_a_commit(life);
  const auto lost = copy("lost");  // of the same number as the third, as a new key was a commit
  put_back(second);
  ASSERT_EQ(loaded(life), "second");
  life.write("third");

  fail_a_commit(life, lost);

  expect_refused_again(life, Readiness::kForkedState);
}

TEST_F(ReopenedStoreTest, AnOfflineBootMayFindWhatItHasOpened) {
  live("first");
  const auto closed = copy("closed");
  broker_is_away(true);
  const auto life = begin();
  ASSERT_TRUE(life.started);

  fail_a_commit(life, closed);
  EXPECT_EQ(loaded(life), "first");

  life.write("offline");
  fail_a_commit(life, closed);
  expect_refused_again(life, Readiness::kStaleState);
}

// Its record would have gone on to that copy, as if it descended from what the broker has noted.
TEST_F(ReopenedStoreTest, AnOfflineBootDoesNotTakeAnotherLine) {
  const auto ahead = copy_that_ran_ahead();
  {
    const auto life = begin();
    ASSERT_TRUE(life.started);

    fail_a_commit(life, ahead);

    expect_refused_again(life, Readiness::kForkedState);
  }
  put_back("newest");
  broker_is_away(false);
  EXPECT_EQ(found(), "tries: 99");
}

TEST_F(ReopenedStoreTest, NorDoesABootThatHasFoundItsBrokerAgain) {
  const auto ahead = copy_that_ran_ahead();
  const auto life = begin();
  ASSERT_TRUE(life.started);
  broker_is_away(false);
  ASSERT_TRUE(rejoin(life));
  life.write("tries: 99, online");
  const auto newest = copy("newest");

  fail_a_commit(life, newest);
  EXPECT_EQ(loaded(life), "tries: 99, online");

  fail_a_commit(life, ahead);
  expect_refused_again(life, Readiness::kForkedState);
}

TEST_F(ReopenedStoreTest, NorOneThatFindsItLater) {
  const auto ahead = copy_that_ran_ahead();
  const auto life = begin();
  ASSERT_TRUE(life.started);
  fail_a_commit(life, ahead);
  broker_is_away(false);
  const auto notices = broker_.notices.size();

  expect_refused_again(life, Readiness::kForkedState);

  EXPECT_EQ(error_code(rejoin(life)), ErrorCode::kDenied);
  EXPECT_EQ(broker_.notices.size(), notices) << "nothing of that copy is noted";
}

}  // namespace
}  // namespace vtpm::boot
