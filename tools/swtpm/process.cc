// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

#include "tools/swtpm/suboptions.h"
#include "vmgs/base/log.h"

namespace tools::swtpm {

using enum SuboptionKind;

namespace {

tl::unexpected<base::Error> refused(const std::string& what) {
  return base::fail(base::ErrorCode::kIo, what + ": " + std::generic_category().message(errno));
}

base::Result<void> become(const std::string& name) {
  const auto* const user = ::getpwnam(name.c_str());
  if (user == nullptr) {
    return base::fail(base::ErrorCode::kNotFound, "User '" + name + "' does not exist.");
  }
  if (user->pw_uid == ::geteuid()) {
    return {};
  }
  if (::initgroups(name.c_str(), user->pw_gid) != 0 || ::setgid(user->pw_gid) != 0 ||
      ::setuid(user->pw_uid) != 0) {
    return refused("becoming user " + name);
  }
  return {};
}

}  // namespace

base::Result<void> enter(const std::optional<std::string>& root,
                         const std::optional<std::string>& user) {
  if (root && (::chroot(root->c_str()) != 0 || ::chdir("/") != 0)) {
    return refused("chroot " + *root);
  }
  return user ? become(*user) : base::Result<void>();
}

base::Result<void> keep_to_itself() {
  ::umask(S_IRWXG | S_IRWXO);
  const rlimit no_core{0, 0};
  return ::setrlimit(RLIMIT_CORE, &no_core) == 0 && ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
             ? base::Result<void>()
             : refused("hardening the process");
}

base::Result<void> set_log(const std::optional<std::string>& value) {
  TRY_ASSIGN(given, Suboptions::parse("logging", value.value_or(""),
                                      {{"file", kText},
                                       {"fd", kNumber},
                                       {"level", kNumber},
                                       {"prefix", kText},
                                       {"truncate", kFlag}}));
  auto file = std::make_shared<base::Descriptor>();
  const auto path = given.text("file");
  if (path && *path != "-") {
    const int truncate = given.flag("truncate") ? O_TRUNC : 0;
    *file = base::Descriptor(
        ::open(path->c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | truncate,
               S_IRUSR | S_IWUSR | S_IRGRP));
    if (!file->is_open()) {
      return refused("Could not open logfile for writing: " + *path);
    }
  } else if (const auto number = given.number("fd"); number && !path) {
    *file = base::Descriptor(static_cast<int>(*number));
    if (::fcntl(file->number(), F_GETFD) < 0) {
      return refused("Could not access logfile using fd " + std::to_string(*number));
    }
  } else if (!path) {
    *file = base::Descriptor(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  }
  base::set_log_sink([file, prefix = given.text("prefix").value_or("swtpm: ")](
                         base::LogLevel level, std::string_view line) {
    if (level == base::LogLevel::kDebug || !file->is_open()) {
      return;
    }
    const auto text = prefix + std::string(line) + "\n";
    [[maybe_unused]] const auto ignored = ::write(file->number(), text.data(), text.size());
  });
  return {};
}

base::Result<void> PidFile::write(const std::string& value) {
  TRY_ASSIGN(given, Suboptions::parse("pid", value, {{"file", kText}, {"fd", kNumber}}));
  const auto path = given.text("file");
  const auto number = given.number("fd");
  if (!path && !number) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "The file or fd parameter is required for the pid option.");
  }
  const base::Descriptor file(path ? ::open(path->c_str(),
                                            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                                            S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)
                                   : static_cast<int>(*number));
  const auto text = std::to_string(::getpid());
  if (!file.is_open() ||
      ::write(file.number(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return refused("Could not write pidfile");
  }
  path_ = path.value_or("");
  return {};
}

PidFile::~PidFile() {
  if (!path_.empty()) {
    ::unlink(path_.c_str());
  }
}

base::Result<Background> Background::begin() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return refused("Could not prepare to daemonize");
  }
  base::Descriptor reading(ends[0]);
  base::Descriptor writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    return refused("Could not prepare to daemonize");
  }
  if (child != 0) {
    writing = base::Descriptor();
    std::array<char, 1> word{};
    ssize_t count = 0;
    do {
      count = ::read(reading.number(), word.data(), word.size());
    } while (count < 0 && errno == EINTR);
    ::_exit(count == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  ::setsid();
  return Background(std::move(writing));
}

void Background::ready() {
  const base::Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null.number(), stream);
  }
  [[maybe_unused]] const auto ignored = ::write(parent_.number(), "r", 1);
  parent_ = base::Descriptor();
}

}  // namespace tools::swtpm
