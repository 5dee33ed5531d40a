// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/hand_over.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>
#include <optional>
#include <string>
#include <utility>

#include "vmgs/base/cursor.h"

namespace vtpm::handover {
namespace {

using base::ErrorCode;
using strongroom::instance::v1::Succession;

Deadline soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(10); }

Deadline in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

// Where a successor dies, or what else becomes of it.
enum class Fate {
  kServes,
  kDiesBeforeTheEstateComes,
  kDiesWithTheEstate,
  kDiesWithHalfTheEstate,
  kDiesOnceItHasDecided,
  kDeclines,
  kTalksOutOfTurn,
  kHangs,
};

// Two instances with nothing to lose: the test is the one before, and the successor a process of
// its own, which dies for good at the step that it is told.
class HandOverTest : public testing::Test {
 protected:
  HandOverTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_ = base::Descriptor(ends[0]);
    theirs_ = base::Descriptor(ends[1]);
    EXPECT_EQ(::pipe(ends.data()), 0);
    served_ = base::Descriptor(ends[0]);
    serves_ = base::Descriptor(ends[1]);
  }

  static Estate estate(std::size_t bytes = 1000) {
    Estate all;
    all.tpm.permanent = base::SecretBytes(bytes);
    for (auto* slot : {&all.lease, &all.door}) {
      *slot = base::Descriptor(::dup(STDERR_FILENO));
    }
    return all;
  }

  void start_successor(Fate fate) {
    successor_ = ::fork();
    if (successor_ == 0) {
      { const auto closed = std::move(ours_); }
      ::_exit(succeed(fate));
    }
    { const auto closed = std::move(theirs_); }
    { const auto closed = std::move(serves_); }
  }

  // What the successor does; it says in the pipe that it serves.
  int succeed(Fate fate) {
    if (!announce(theirs_.number(), soon())) {
      return 1;
    }
    if (fate == Fate::kDiesBeforeTheEstateComes) {
      return die();
    }
    if (fate == Fate::kDiesWithHalfTheEstate) {
      std::array<char, 4> piece{};
      (void)!::recv(theirs_.number(), piece.data(), piece.size(), MSG_WAITALL);
      return die();
    }
    auto given = await(theirs_.number(), soon());
    if (!given) {
      return 2;
    }
    switch (fate) {
      case Fate::kDiesWithTheEstate:
        return die();
      case Fate::kDeclines:
        decline(theirs_.number(), "no room");
        return 0;
      case Fate::kTalksOutOfTurn:
        (void)announce(theirs_.number(), soon());
        ::pause();
        return 0;
      case Fate::kHangs:
        ::pause();
        return 0;
      default:
        break;
    }
    const Decision decision(std::move(given->decision));
    if (fate == Fate::kDiesOnceItHasDecided) {
      return decision.take() ? die() : 3;
    }
    return claim(theirs_.number(), decision) && ::write(serves_.number(), "s", 1) == 1 ? 0 : 4;
  }

  static int die() {
    ::raise(SIGKILL);
    return 5;
  }

  // Whether the successor serves, once it has ended.
  bool successor_serves() {
    char said = 0;
    return ::read(served_.number(), &said, 1) == 1;
  }

  base::Result<void> hand_over(Fate fate, Deadline deadline) {
    start_successor(fate);
    EXPECT_TRUE(announced(ours_.number(), soon()));
    return give(ours_.number(), estate(), deadline);
  }

  void TearDown() override {
    if (successor_ > 0) {
      ::kill(successor_, SIGKILL);
      ::waitpid(successor_, nullptr, 0);
    }
  }

  base::Descriptor ours_;
  base::Descriptor theirs_;
  base::Descriptor served_;
  base::Descriptor serves_;
  pid_t successor_ = -1;
};

TEST_F(HandOverTest, LeavesTheSuccessorServing) {
  EXPECT_TRUE(hand_over(Fate::kServes, soon()));
  EXPECT_TRUE(successor_serves());
}

// More than fits into a pair at once.
TEST_F(HandOverTest, HandsALargeEstateOver) {
  start_successor(Fate::kServes);
  ASSERT_TRUE(announced(ours_.number(), soon()));

  EXPECT_TRUE(give(ours_.number(), estate(2'000'000), soon()));
  EXPECT_TRUE(successor_serves());
}

TEST_F(HandOverTest, GoesOnWhenTheSuccessorDiesAtAnyStepBeforeItHasDecided) {
  for (const auto fate :
       {Fate::kDiesBeforeTheEstateComes, Fate::kDiesWithHalfTheEstate, Fate::kDiesWithTheEstate}) {
    HandOverTest::TearDown();
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_ = base::Descriptor(ends[0]);
    theirs_ = base::Descriptor(ends[1]);

    const auto given = hand_over(fate, soon());

    ASSERT_FALSE(given) << static_cast<int>(fate);
    EXPECT_EQ(given.error().code, ErrorCode::kUnavailable);
  }
}

// It may have served already.
TEST_F(HandOverTest, EndsWhenTheSuccessorDiesOnceItHasDecided) {
  EXPECT_TRUE(hand_over(Fate::kDiesOnceItHasDecided, soon()));
}

TEST_F(HandOverTest, GoesOnWithTheReasonOfASuccessorThatDeclines) {
  const auto given = hand_over(Fate::kDeclines, soon());

  ASSERT_FALSE(given);
  EXPECT_EQ(given.error().message, "no room");
}

TEST_F(HandOverTest, GoesOnWhenTheSuccessorHangsOrTalksNonsense) {
  EXPECT_EQ(hand_over(Fate::kHangs, in(std::chrono::milliseconds(50))).error().code,
            ErrorCode::kUnavailable);
}

TEST_F(HandOverTest, GoesOnWhenTheSuccessorTalksOutOfTurn) {
  EXPECT_EQ(hand_over(Fate::kTalksOutOfTurn, soon()).error().code, ErrorCode::kCorrupt);
}

// The one before dies; the test is the successor.

TEST_F(HandOverTest, ServesNothingWhenTheOneBeforeDiesWithoutHavingGivenItsEstate) {
  { const auto dead = std::move(ours_); }

  EXPECT_EQ(await(theirs_.number(), soon()).error().code, ErrorCode::kUnavailable);
}

TEST_F(HandOverTest, ServesNothingWhenTheOneBeforeDiesInTheMiddleOfItsEstate) {
  base::Writer head;
  head.u32_be(10);
  head.u32_be(10);
  ASSERT_EQ(::send(ours_.number(), head.written().data(), 8, 0), 8);
  { const auto dead = std::move(ours_); }

  EXPECT_EQ(await(theirs_.number(), soon()).error().code, ErrorCode::kUnavailable);
}

TEST_F(HandOverTest, ServesWhenTheOneBeforeDiesWithItsEstateGiven) {
  const pid_t before = ::fork();
  if (before == 0) {
    { const auto closed = std::move(theirs_); }
    (void)give(ours_.number(), estate(), soon());
    ::_exit(0);
  }
  { const auto closed = std::move(ours_); }
  auto given = await(theirs_.number(), soon());
  ASSERT_TRUE(given) << given.error().message;
  // It waits for an answer.
  ::kill(before, SIGKILL);
  ASSERT_EQ(::waitpid(before, nullptr, 0), before);

  EXPECT_TRUE(claim(theirs_.number(), Decision(std::move(given->decision))));
}

TEST_F(HandOverTest, DoesNotServeWhatTheOneBeforeHasTakenBack) {
  auto outcome = std::async(std::launch::async, [this] {
    return give(ours_.number(), estate(), in(std::chrono::milliseconds(1)));
  });
  auto given = await(theirs_.number(), soon());
  ASSERT_TRUE(given);
  ASSERT_FALSE(outcome.get());

  EXPECT_FALSE(claim(theirs_.number(), Decision(std::move(given->decision))));
}

// However close the two come to each other.
TEST_F(HandOverTest, NeverServesOnBothSides) {
  int given_up = 0;
  for (int round = 0; round < 300; ++round) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_ = base::Descriptor(ends[0]);
    theirs_ = base::Descriptor(ends[1]);
    const auto patience = std::chrono::microseconds(round * 10);
    auto outcome = std::async(std::launch::async, [this, patience] {
      return give(ours_.number(), estate(), std::chrono::steady_clock::now() + patience);
    });
    auto given = await(theirs_.number(), soon());
    const bool successor_serves =
        given && claim(theirs_.number(), Decision(std::move(given->decision)));
    if (!given) {
      { const auto dead = std::move(theirs_); }
    }

    const bool goes_on = !outcome.get();

    ASSERT_NE(goes_on, successor_serves) << "round " << round;
    given_up += goes_on ? 1 : 0;
  }
  std::printf("the one before went on in %d of 300 rounds\n", given_up);
}

TEST(DecisionTest, CanBeTakenOnce) {
  const auto decision = Decision::make();
  ASSERT_TRUE(decision);
  const Decision other(*decision->share());

  EXPECT_TRUE(other.take());
  EXPECT_FALSE(decision->take());
  EXPECT_FALSE(other.take());
}

TEST(ParcelTest, IsRefusedWhenItClaimsToBeLargerThanAny) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const base::Descriptor one(ends[0]);
  const base::Descriptor other(ends[1]);
  base::Writer head;
  head.u32_be(1);
  head.u32_be(kMaxParcelSecretBytes + 1);
  ASSERT_EQ(::send(one.number(), head.written().data(), 8, 0), 8);

  EXPECT_EQ(receive_parcel(other.number(), soon()).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vtpm::handover
