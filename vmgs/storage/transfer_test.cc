// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/transfer.h"

#include <gmock/gmock.h>

#include <vector>

namespace vmgs::storage {
namespace {

using ::testing::ElementsAre;

// Answers like a system that was told what to answer: a count, or minus an errno value.
class Script {
 public:
  explicit Script(std::vector<int> answers) : answers_(std::move(answers)) {}

  ssize_t operator()(std::size_t done) {
    asked.push_back(done);
    const int answer = answers_.at(asked.size() - 1);
    if (answer < 0) {
      errno = -answer;
      return -1;
    }
    return answer;
  }

  std::vector<std::size_t> asked;

 private:
  std::vector<int> answers_;
};

TEST(TransferTest, GoesOnAfterShortSteps) {
  Script script({1, 7, 2});

  EXPECT_EQ(transfer_all(10, script), 0);
  EXPECT_THAT(script.asked, ElementsAre(0, 1, 8));
}

TEST(TransferTest, RepeatsAnInterruptedStep) {
  Script script({4, -EINTR, -EINTR, 6});

  EXPECT_EQ(transfer_all(10, script), 0);
  EXPECT_THAT(script.asked, ElementsAre(0, 4, 4, 4));
}

TEST(TransferTest, GivesTheErrorOfAStep) {
  Script script({4, -EIO});

  EXPECT_EQ(transfer_all(10, script), EIO);
}

TEST(TransferTest, EndsWhenNothingMoves) {
  Script script({4, 0});

  EXPECT_EQ(transfer_all(10, script), ENODATA);
}

TEST(TransferTest, AsksForNothingIfThereIsNothingToMove) {
  Script script({});

  EXPECT_EQ(transfer_all(0, script), 0);
}

}  // namespace
}  // namespace vmgs::storage
