// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/warmed_parent.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "keybroker/protocol/instance.pb.h"
#include "tests/support/temp_folder.h"
#include "vtpm/host/frame.h"
#include "vtpm/host/lease.h"

namespace vtpm::host {
namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;

std::array<base::Descriptor, 2> socket_pair() {
  std::array<int, 2> ends{};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {base::Descriptor(ends[0]), base::Descriptor(ends[1])};
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) {
    ++count;
  }
  closedir(folder);
  return count - 3;  // ".", "..", and the folder itself
}

bool is_blocked(int signal_number) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal_number) == 1;
}

// What the children of the test's parent do: say how many descriptors they have beyond those of the
// test itself, or 255 if a signal is blocked, then echo what comes over their link, until it
// closes.
[[noreturn]] void echo(const ChildEnds& ends, std::size_t of_the_test) {
  auto said = static_cast<unsigned char>(open_descriptors() - of_the_test);
  if (is_blocked(SIGCHLD)) {
    said = 255;
  }
  (void)!write(ends.link.number(), &said, 1);
  char byte = 0;
  while (read(ends.link.number(), &byte, 1) == 1) {
    if (byte == 'x') {
      _exit(7);
    }
    (void)!write(ends.link.number(), &byte, 1);
  }
  _exit(0);
}

// A real warmed parent in a process of its own, forked before anything else is open.
class WarmedParentTest : public ::testing::Test {
 protected:
  WarmedParentTest() {
    auto pair = socket_pair();
    parent_.pid = fork();
    if (parent_.pid == 0) {
      { const auto closed = std::move(pair[0]); }
      const auto of_the_test = open_descriptors() - 1;
      auto child = run_warmed_parent(std::move(pair[1]));
      if (!child) {
        _exit(2);
      }
      if (*child) {
        echo(**child, of_the_test);
      }
      _exit(0);
    }
    parent_.link = std::move(pair[0]);
    EXPECT_TRUE(next_report().has_warm());
  }

  ~WarmedParentTest() override {
    if (parent_.pid > 0) {
      kill(parent_.pid, SIGKILL);
      waitpid(parent_.pid, nullptr, 0);
    }
  }

  // fork_child() gives our end of the child's link.
  base::Descriptor fork_child(std::uint64_t serial) {
    auto link = socket_pair();
    auto control = socket_pair();
    auto data = socket_pair();
    auto variables = socket_pair();
    auto door = socket_pair();
    auto lease = take_lease(folder_ / ("lease" + std::to_string(serial)));
    EXPECT_TRUE(lease && *lease);
    const ChildEnds ends{std::move(link[1]),      std::move(control[0]), std::move(data[0]),
                         std::move(variables[0]), std::move(**lease),    std::move(door[0])};
    EXPECT_TRUE(request_fork(parent_.link.number(), serial, "vtpm-test", ends));
    return std::move(link[0]);
  }

  instance::FromParent next_report() {
    instance::FromParent report;
    for (auto complete = reports_.next(report); complete && !*complete;
         complete = reports_.next(report)) {
      const auto open = reports_.receive(parent_.link.number());
      if (!open || !*open) {
        ADD_FAILURE() << "the parent is gone";
        return report;
      }
    }
    return report;
  }

  static int read_byte(const base::Descriptor& link) {
    unsigned char byte = 0;
    return read(link.number(), &byte, 1) == 1 ? byte : -1;
  }

  tests::support::TempFolder folder_;
  WarmedParent parent_{};
  FrameReader reports_;
};

TEST_F(WarmedParentTest, ForksAChildThatHasItsOwnEndsAndNothingElse) {
  const auto first = fork_child(1);
  EXPECT_EQ(read_byte(first), 6);
  const auto second = fork_child(2);
  EXPECT_EQ(read_byte(second), 6);

  const auto report = next_report();
  EXPECT_EQ(report.forked().serial(), 1U);
  EXPECT_GT(report.forked().pid(), 0);
  EXPECT_EQ(next_report().forked().serial(), 2U);
  for (const auto* link : {&first, &second}) {
    ASSERT_EQ(write(link->number(), "e", 1), 1);
    EXPECT_EQ(read_byte(*link), 'e');
  }
}

TEST_F(WarmedParentTest, LeavesTheLeaseWithTheChildAlone) {
  auto link = fork_child(1);
  read_byte(link);
  const auto pid = next_report().forked().pid();

  const auto holder = lease_holder(folder_ / "lease1");
  ASSERT_TRUE(holder);
  EXPECT_EQ(holder->pid, pid);

  link = base::Descriptor();
  pollfd event{holder->process.number(), POLLIN, 0};
  ASSERT_EQ(poll(&event, 1, 10'000), 1);
  EXPECT_TRUE(take_lease(folder_ / "lease1")->has_value());
}

TEST_F(WarmedParentTest, ReportsHowAChildEnded) {
  const auto exits = fork_child(1);
  read_byte(exits);
  const auto exits_pid = next_report().forked().pid();
  const auto killed = fork_child(2);
  read_byte(killed);
  const auto killed_pid = next_report().forked().pid();

  ASSERT_EQ(write(exits.number(), "x", 1), 1);
  auto report = next_report();
  EXPECT_EQ(report.ended().pid(), exits_pid);
  EXPECT_EQ(report.ended().exit_status(), 7);
  EXPECT_EQ(report.ended().signal(), 0);

  kill(killed_pid, SIGKILL);
  report = next_report();
  EXPECT_EQ(report.ended().pid(), killed_pid);
  EXPECT_EQ(report.ended().signal(), SIGKILL);
}

TEST_F(WarmedParentTest, LeavesItsChildrenAliveWhenItDies) {
  const auto link = fork_child(1);
  read_byte(link);

  kill(parent_.pid, SIGKILL);
  waitpid(parent_.pid, nullptr, 0);
  parent_.pid = -1;

  ASSERT_EQ(write(link.number(), "e", 1), 1);
  EXPECT_EQ(read_byte(link), 'e');
}

TEST_F(WarmedParentTest, EndsWhenItsLinkCloses) {
  parent_.link = base::Descriptor();

  int status = -1;
  ASSERT_EQ(waitpid(parent_.pid, &status, 0), parent_.pid);
  parent_.pid = -1;

  EXPECT_EQ(status, 0);
}

TEST_F(WarmedParentTest, EndsWithAnErrorWhenTheLinkBringsNoRequest) {
  ASSERT_EQ(write(parent_.link.number(), "\xff\xff\xff\xff", 4), 4);

  int status = -1;
  ASSERT_EQ(waitpid(parent_.pid, &status, 0), parent_.pid);
  parent_.pid = -1;

  EXPECT_EQ(WEXITSTATUS(status), 2);
}

TEST_F(WarmedParentTest, EndsWithAnErrorWhenDescriptorsAreMissing) {
  instance::ForkRequest request;
  ASSERT_TRUE(send_frame(parent_.link.number(), request));

  int status = -1;
  ASSERT_EQ(waitpid(parent_.pid, &status, 0), parent_.pid);
  parent_.pid = -1;

  EXPECT_EQ(WEXITSTATUS(status), 2);
}

TEST(RunWarmedParentTest, RefusesAProcessWithTwoThreads) {
  std::array<int, 2> gate{};
  ASSERT_EQ(pipe(gate.data()), 0);
  std::thread second([&] {
    char byte = 0;
    (void)!read(gate[0], &byte, 1);
  });

  const auto child = run_warmed_parent(base::Descriptor());

  close(gate[1]);
  second.join();
  close(gate[0]);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::kInvalidArgument);
}

TEST(StartWarmedParentTest, GivesTheProgramItsLinkAndNothingElse) {
  tests::support::TempFolder folder;
  const auto secret = socket_pair();
  // Not closed on exec, as a descriptor of a library may be.
  const base::Descriptor leaky(dup(secret[0].number()));

  // A shell that is called as the parent would be: it says over the link what it has open.
  const auto program = folder / "parent";
  {
    FILE* file = fopen(program.c_str(), "w");
    // 10 is the shell's own copy of the script.
    fputs(R"(#!/bin/sh
n=4
while [ $n -lt 200 ]; do
  [ $n -ne 10 ] && [ -e /proc/$$/fd/$n ] && extra="$extra $n"
  n=$((n + 1))
done
echo "$1$extra" >&3
)",
          file);
    fclose(file);
    chmod(program.c_str(), 0755);
  }
  const auto started = start_warmed_parent(program);
  ASSERT_TRUE(started) << started.error().message;
  std::array<char, 100> said{};
  const auto got = read(started->link.number(), said.data(), said.size());
  waitpid(started->pid, nullptr, 0);

  EXPECT_EQ(std::string(said.data(), static_cast<std::size_t>(got)), "--warmed-parent\n");
}

// A shell script in the parent's place: its link is descriptor 3.
class AwaitWarmTest : public ::testing::Test {
 protected:
  base::Result<void> await(const std::string& script, std::chrono::milliseconds limit) {
    const auto program = folder_ / "parent";
    FILE* file = fopen(program.c_str(), "w");
    fputs(("#!/bin/sh\n" + script + "\n").c_str(), file);
    fclose(file);
    chmod(program.c_str(), 0755);
    const auto started = start_warmed_parent(program);
    EXPECT_TRUE(started);
    auto warm = await_warm(*started, limit);
    // Whoever failed is gone.
    EXPECT_EQ(waitpid(started->pid, nullptr, WNOHANG), warm ? 0 : -1);
    if (warm) {
      kill(started->pid, SIGKILL);
      waitpid(started->pid, nullptr, 0);
    }
    return warm;
  }

  tests::support::TempFolder folder_;
};

constexpr std::chrono::milliseconds kLong{20'000};

TEST_F(AwaitWarmTest, EndsWhenTheParentSaysSo) {
  // One frame of two bytes: field 4, an empty message.
  EXPECT_TRUE(await(R"(printf '\0\0\0\002\042\0' >&3; exec sleep 1000)", kLong));
}

TEST_F(AwaitWarmTest, SaysHowAParentEndedThatDidNotBecomeWarm) {
  const auto ended = await("exit 3", kLong);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(ended.error().message.find("ended with status 3"), std::string::npos);
  const auto killed = await("kill -SEGV $$", kLong);
  ASSERT_FALSE(killed);
  EXPECT_NE(killed.error().message.find("signal 11"), std::string::npos);
}

TEST_F(AwaitWarmTest, GivesUpOnOneThatSaysSomethingElseOrNothing) {
  EXPECT_FALSE(await("echo hello there >&3; exec sleep 1000", kLong));
  const auto silent = await("exec sleep 1000", std::chrono::milliseconds(50));
  ASSERT_FALSE(silent);
  EXPECT_NE(silent.error().message.find("not warm in time"), std::string::npos);
}

// A terminal's interrupt goes to a process group.
TEST(StartWarmedParentTest, StartsAProcessThatSignalsForVtpmdsGroupDoNotReach) {
  const auto started = start_warmed_parent("/bin/false");
  ASSERT_TRUE(started);

  // It is not reaped yet, so it still has its group.
  EXPECT_EQ(getpgid(started->pid), started->pid);
  EXPECT_EQ(getsid(started->pid), started->pid);
  waitpid(started->pid, nullptr, 0);
}

TEST(StartWarmedParentTest, SaysThatTheProgramIsNotThere) {
  const auto started = start_warmed_parent("/nonexistent/vtpm-instance");

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vtpm::host
