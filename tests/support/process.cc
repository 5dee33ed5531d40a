// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "vmgs/base/descriptor.h"

namespace tests::support {

namespace {

using Clock = std::chrono::steady_clock;

int remaining_milliseconds(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  return left.count() > 0 ? static_cast<int>(left.count()) : 0;
}

base::Descriptor pidfd_of(pid_t pid) {
  return base::Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

int exit_status(int status) {
  constexpr int kShellSignalBase = 128;
  return WIFEXITED(status) ? WEXITSTATUS(status) : kShellSignalBase + WTERMSIG(status);
}

// The kernel's list has flag 00010000 for sockets on which somebody listens.
bool somebody_listens(const std::filesystem::path& path) {
  std::ifstream sockets("/proc/net/unix");
  for (std::string line; std::getline(sockets, line);) {
    if (line.find(" 00010000 ") != std::string::npos && line.ends_with(" " + path.string())) {
      return true;
    }
  }
  return false;
}

[[noreturn]] void become(const std::vector<std::string>& argv, const Process::Options& options,
                         int error_pipe) {
  // A test that dies takes its children with it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (options.cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(static_cast<std::size_t>(*options.cpu), &cpus);
    ::sched_setaffinity(0, sizeof cpus, &cpus);
  }
  const int output =
      ::open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  // What whoever ran the test left open, such as ctest its log, is not for the program.
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  for (const int descriptor : options.passed) {
    ::fcntl(descriptor, F_SETFD, 0);
  }
  std::vector<char*> arguments;
  for (const auto& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  const int error = errno;
  (void)!::write(error_pipe, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

base::Result<Process> Process::start(const std::vector<std::string>& argv, const Options& options) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return base::fail(base::ErrorCode::kIo, std::string("pipe: ") + std::strerror(errno));
  }
  const base::Descriptor reading(ends[0]);
  base::Descriptor writing(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) {
    return base::fail(base::ErrorCode::kIo, std::string("fork: ") + std::strerror(errno));
  }
  if (pid == 0) {
    become(argv, options, writing.number());
  }
  writing = base::Descriptor();
  Process process(pid);
  // The pipe closes when the program runs; before that it may bring the error of exec.
  int error = 0;
  if (::read(reading.number(), &error, sizeof error) > 0) {
    return base::fail(base::ErrorCode::kNotFound, argv[0] + ": " + std::strerror(error));
  }
  return process;
}

Process::Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

Process::~Process() { kill(); }

void Process::signal(int number) const {
  if (pid_ > 0) {
    ::kill(pid_, number);
  }
}

void Process::kill() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
}

std::optional<int> Process::wait(std::chrono::milliseconds limit) {
  if (pid_ < 0) {
    return std::nullopt;
  }
  const auto pidfd = pidfd_of(pid_);
  pollfd ended{pidfd.number(), POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(limit.count())) != 1) {
    return std::nullopt;
  }
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  return exit_status(status);
}

bool wait_for_socket(const std::filesystem::path& path, Process& process,
                     std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  const base::Descriptor changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ::inotify_add_watch(changes.number(), path.parent_path().c_str(), IN_CREATE | IN_MOVED_TO);
  const auto pidfd = pidfd_of(process.pid());
  while (!somebody_listens(path)) {
    // Between bind() and listen() there is no event to wait for, hence the short limit once the
    // name is there.
    const int longest = std::filesystem::exists(path) ? 1 : remaining_milliseconds(deadline);
    std::array<pollfd, 2> events{pollfd{changes.number(), POLLIN, 0},
                                 pollfd{pidfd.number(), POLLIN, 0}};
    ::poll(events.data(), events.size(), longest);
    if ((events[1].revents & POLLIN) != 0 || remaining_milliseconds(deadline) == 0) {
      return somebody_listens(path);
    }
    std::array<char, 4096> drained{};
    while (::read(changes.number(), drained.data(), drained.size()) > 0) {
    }
  }
  return true;
}

}  // namespace tests::support
