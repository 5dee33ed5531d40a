// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/lease.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "tests/support/temp_folder.h"

namespace vtpm::host {
namespace {

using base::ErrorCode;

// A process that inherits a lease, signs it if asked, and holds it until it is told to end.
class Holder {
 public:
  Holder(base::Descriptor lease, bool is_signed) {
    std::array<int, 2> told{};
    std::array<int, 2> ready{};
    EXPECT_EQ(pipe(told.data()), 0);
    EXPECT_EQ(pipe(ready.data()), 0);
    pid_ = fork();
    if (pid_ == 0) {
      close(told[1]);
      if (is_signed && !sign_lease(lease)) {
        _exit(1);
      }
      char byte = 'r';
      (void)!write(ready[1], &byte, 1);
      (void)!read(told[0], &byte, 1);
      _exit(0);
    }
    close(told[0]);
    close(ready[1]);
    end_ = told[1];
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
  }

  ~Holder() { end(); }

  void end() {
    if (end_ >= 0) {
      close(end_);
      end_ = -1;
      waitpid(pid_, nullptr, 0);
    }
  }

  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
  int end_;
};

class LeaseTest : public ::testing::Test {
 protected:
  base::Descriptor take() {
    auto lease = take_lease(path_);
    EXPECT_TRUE(lease && *lease);
    return std::move(**lease);
  }

  bool is_free() {
    const auto lease = take_lease(path_);
    EXPECT_TRUE(lease);
    return lease->has_value();
  }

  tests::support::TempFolder folder_;
  std::filesystem::path path_ = folder_ / "lease";
};

TEST_F(LeaseTest, IsHeldByOneAtATime) {
  {
    const auto lease = take();
    EXPECT_FALSE(is_free());
  }
  EXPECT_TRUE(is_free());
}

TEST_F(LeaseTest, IsHeldByTheProcessThatInheritedItWhateverItsTakerDoes) {
  Holder holder(take(), true);
  EXPECT_FALSE(is_free());

  holder.end();

  EXPECT_TRUE(is_free());
}

TEST_F(LeaseTest, NamesItsHolderAndTellsWhenItEnds) {
  Holder holder(take(), true);

  const auto found = lease_holder(path_);

  ASSERT_TRUE(found);
  EXPECT_EQ(found->pid, holder.pid());
  pollfd event{found->process.number(), POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0);
  holder.end();
  EXPECT_EQ(poll(&event, 1, 0), 1);
}

TEST_F(LeaseTest, SignalsItsHolderAndNobodyElse) {
  Holder holder(take(), true);
  const auto found = lease_holder(path_);
  ASSERT_TRUE(found);

  EXPECT_TRUE(signal(*found, SIGKILL));
  pollfd event{found->process.number(), POLLIN, 0};
  ASSERT_EQ(poll(&event, 1, 10'000), 1);
  holder.end();

  EXPECT_TRUE(signal(*found, SIGKILL));
}

TEST_F(LeaseTest, HasNoHolderWhenItIsFree) {
  EXPECT_EQ(lease_holder(path_).error().code, ErrorCode::kNotFound);
  // A living process that signed and let go, as a number that was given away again would be.
  ASSERT_TRUE(sign_lease(take()));

  EXPECT_EQ(lease_holder(path_).error().code, ErrorCode::kNotFound);
}

TEST_F(LeaseTest, HasNoKnownHolderBeforeItIsSigned) {
  { ASSERT_TRUE(sign_lease(take())); }
  const Holder holder(take(), false);

  EXPECT_EQ(lease_holder(path_).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(is_free());
}

TEST_F(LeaseTest, FailsWithAReasonWhereNoFileCanBe) {
  EXPECT_EQ(take_lease(folder_ / "no" / "lease").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace vtpm::host
