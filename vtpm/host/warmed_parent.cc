// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/warmed_parent.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <vector>

#include "keybroker/protocol/instance.pb.h"
#include "vtpm/host/frame.h"
#include "vtpm/host/lease.h"

namespace vtpm::host {

namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;

tl::unexpected<base::Error> fail_io(const std::string& what, int error) {
  return base::fail(ErrorCode::kIo, what + ": " + std::generic_category().message(error));
}

base::Result<void> expect_one_thread() {
  std::error_code error;
  std::size_t threads = 0;
  for (auto task = std::filesystem::directory_iterator("/proc/self/task", error);
       !error && task != std::filesystem::directory_iterator(); task.increment(error)) {
    ++threads;
  }
  if (threads != 1) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the warmed parent has " + std::to_string(threads) + " threads, not one");
  }
  return {};
}

class Parent {
 public:
  static base::Result<Parent> create(base::Descriptor link);

  // run() is run_warmed_parent().
  base::Result<std::optional<ChildEnds>> run();

 private:
  Parent(base::Descriptor link, base::Descriptor deaths, const sigset_t& old_mask)
      : link_(std::move(link)), deaths_(std::move(deaths)), old_mask_(old_mask) {}

  base::Result<std::optional<ChildEnds>> answer(const instance::ForkRequest& request);
  base::Result<ChildEnds> become_child(const instance::ForkRequest& request, ChildEnds ends);
  base::Result<void> report_deaths();

  base::Descriptor link_;
  base::Descriptor deaths_;  // readable when a child has ended
  sigset_t old_mask_;
  FrameReader requests_;
};

base::Result<Parent> Parent::create(base::Descriptor link) {
  sigset_t deaths;
  sigset_t old_mask;
  sigemptyset(&deaths);
  sigaddset(&deaths, SIGCHLD);
  sigprocmask(SIG_BLOCK, &deaths, &old_mask);
  base::Descriptor descriptor(signalfd(-1, &deaths, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor.is_open()) {
    return fail_io("cannot watch children", errno);
  }
  return Parent(std::move(link), std::move(descriptor), old_mask);
}

base::Result<std::optional<ChildEnds>> Parent::run() {
  instance::FromParent warm;
  warm.mutable_warm();
  if (!send_frame(link_.number(), warm)) {
    // vtpmd has ended meanwhile.
    return std::optional<ChildEnds>();
  }
  for (;;) {
    std::array<pollfd, 2> events{{{link_.number(), POLLIN, 0}, {deaths_.number(), POLLIN, 0}}};
    if (poll(events.data(), events.size(), -1) < 0 && errno != EINTR) {
      return fail_io("cannot wait", errno);
    }
    if (events[1].revents != 0) {
      TRY(report_deaths());
    }
    if (events[0].revents == 0) {
      continue;
    }
    TRY_ASSIGN(open, requests_.receive(link_.number()));
    if (!open) {
      return std::optional<ChildEnds>();
    }
    instance::ForkRequest request;
    for (;;) {
      TRY_ASSIGN(complete, requests_.next(request));
      if (!complete) {
        break;
      }
      TRY_ASSIGN(child, answer(request));
      if (child) {
        return child;
      }
    }
  }
}

base::Result<std::optional<ChildEnds>> Parent::answer(const instance::ForkRequest& request) {
  auto received = requests_.take_descriptors();
  if (received.size() != (request.successor() ? 5U : 6U)) {
    return base::fail(ErrorCode::kCorrupt, "a fork request came with " +
                                               std::to_string(received.size()) + " descriptors");
  }
  ChildEnds ends;
  ends.link = std::move(received[0]);
  ends.control = std::move(received[1]);
  ends.data = std::move(received[2]);
  ends.variables = std::move(received[3]);
  if (request.successor()) {
    ends.predecessor = std::move(received[4]);
  } else {
    ends.lease = std::move(received[4]);
    ends.door = std::move(received[5]);
  }
  instance::FromParent reply;
  const pid_t pid = fork();
  const int error = errno;
  if (pid == 0) {
    TRY_ASSIGN(child, become_child(request, std::move(ends)));
    return std::optional<ChildEnds>(std::move(child));
  }
  // The parent's copies of the descriptors end here: its next child must not have them, and whoever
  // hears of the child may count on the lease being the child's alone.
  { const ChildEnds closed = std::move(ends); }
  if (pid > 0) {
    reply.mutable_forked()->set_serial(request.serial());
    reply.mutable_forked()->set_pid(pid);
  } else {
    reply.mutable_fork_failed()->set_serial(request.serial());
    reply.mutable_fork_failed()->set_reason("cannot fork: " +
                                            std::generic_category().message(error));
  }
  TRY(send_frame(link_.number(), reply));
  return std::optional<ChildEnds>();
}

base::Result<ChildEnds> Parent::become_child(const instance::ForkRequest& request, ChildEnds ends) {
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
  prctl(PR_SET_NAME, request.process_name().c_str());
  if (ends.lease.is_open()) {
    TRY(sign_lease(ends.lease));
  }
  return ends;
}

base::Result<void> Parent::report_deaths() {
  signalfd_siginfo ignored{};
  while (read(deaths_.number(), &ignored, sizeof(ignored)) > 0) {
  }
  // One signal may stand for several deaths.
  int status = 0;
  for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
    instance::FromParent report;
    auto& ended = *report.mutable_ended();
    ended.set_pid(pid);
    if (WIFSIGNALED(status)) {
      ended.set_signal(WTERMSIG(status));
    } else {
      ended.set_exit_status(WEXITSTATUS(status));
    }
    TRY(send_frame(link_.number(), report));
  }
  return {};
}

}  // namespace

base::Result<std::optional<ChildEnds>> run_warmed_parent(base::Descriptor link) {
  TRY(expect_one_thread());
  // In a child, what this object owns of the parent's is closed on the way out.
  TRY_ASSIGN(parent, Parent::create(std::move(link)));
  return parent.run();
}

base::Result<WarmedParent> start_warmed_parent(const std::filesystem::path& program) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_io("cannot make a socket pair", errno);
  }
  base::Descriptor ours(ends[0]);
  const base::Descriptor theirs(ends[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.number(), kParentLinkNumber);
  posix_spawn_file_actions_addclosefrom_np(&actions, kParentLinkNumber + 1);
  // A signal that vtpmd blocks or ignores is not blocked or ignored there.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // A session of its own: what a terminal sends to all that vtpmd started must not reach instances,
  // which outlive vtpmd for their guests.
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);

  std::string path = program.string();
  std::string verb = "--warmed-parent";
  std::array<char*, 3> argv{path.data(), verb.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT || error == EACCES || error == ENOEXEC) {
    return base::fail(ErrorCode::kNotFound,
                      "cannot execute " + path + ": " + std::generic_category().message(error));
  }
  if (error != 0) {
    return fail_io("cannot start " + path, error);
  }
  return WarmedParent{pid, std::move(ours)};
}

base::Result<void> await_warm(const WarmedParent& parent, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  FrameReader reports;
  instance::FromParent report;
  bool in_time = true;
  for (bool open = true; open && in_time;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd event{parent.link.number(), POLLIN, 0};
    const int ready = left.count() > 0 ? poll(&event, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    in_time = ready > 0;
    if (!in_time) {
      break;
    }
    const auto received = reports.receive(parent.link.number());
    const auto complete = reports.next(report);
    if (complete && *complete && report.has_warm()) {
      return {};
    }
    open = received && *received && complete && !*complete;
  }
  // One that ends by itself keeps its own status.
  kill(parent.pid, SIGKILL);
  int status = 0;
  waitpid(parent.pid, &status, 0);
  std::string how = "is not warm in time";
  if (in_time) {
    how = WIFSIGNALED(status) ? "was killed by signal " + std::to_string(WTERMSIG(status))
                              : "ended with status " + std::to_string(WEXITSTATUS(status));
  }
  return base::fail(ErrorCode::kUnavailable, "the warmed parent " + how);
}

base::Result<void> request_fork(int link, std::uint64_t serial, const std::string& process_name,
                                const ChildEnds& ends) {
  instance::ForkRequest request;
  request.set_serial(serial);
  request.set_process_name(process_name);
  request.set_successor(ends.predecessor.is_open());
  std::vector<int> descriptors{ends.link.number(), ends.control.number(), ends.data.number(),
                               ends.variables.number()};
  if (ends.predecessor.is_open()) {
    descriptors.push_back(ends.predecessor.number());
  } else {
    descriptors.insert(descriptors.end(), {ends.lease.number(), ends.door.number()});
  }
  return send_frame(link, request, descriptors);
}

}  // namespace vtpm::host
