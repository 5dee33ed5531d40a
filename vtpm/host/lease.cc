// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/lease.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>

namespace vtpm::host {

namespace {

using base::ErrorCode;

tl::unexpected<base::Error> fail_io(const std::string& what, int error) {
  return base::fail(ErrorCode::kIo, what + ": " + std::generic_category().message(error));
}

tl::unexpected<base::Error> nobody(const std::filesystem::path& path) {
  return base::fail(ErrorCode::kNotFound, "nobody holds " + path.string());
}

base::Result<int> signed_pid(const std::filesystem::path& path) {
  const base::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    return errno == ENOENT ? base::Result<int>(nobody(path))
                           : base::Result<int>(fail_io("cannot open " + path.string(), errno));
  }
  std::array<char, 16> text{};
  const auto got = pread(file.number(), text.data(), text.size(), 0);
  int pid = 0;
  if (got <= 0 || std::from_chars(text.data(), text.data() + got, pid).ec != std::errc() ||
      pid <= 0) {
    return nobody(path);
  }
  return pid;
}

}  // namespace

base::Result<std::optional<base::Descriptor>> take_lease(const std::filesystem::path& path) {
  base::Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file.is_open()) {
    return fail_io("cannot open " + path.string(), errno);
  }
  if (flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return std::optional<base::Descriptor>();
    }
    return fail_io("cannot lock " + path.string(), errno);
  }
  // Whoever signed it before is dead.
  if (ftruncate(file.number(), 0) != 0) {
    return fail_io("cannot write " + path.string(), errno);
  }
  return std::optional<base::Descriptor>(std::move(file));
}

base::Result<void> sign_lease(const base::Descriptor& lease) {
  const auto text = std::to_string(getpid()) + "\n";
  if (pwrite(lease.number(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return fail_io("cannot sign the lease", errno);
  }
  // Whoever signed it before may have had a longer number. It is never without one.
  if (ftruncate(lease.number(), static_cast<off_t>(text.size())) != 0) {
    return fail_io("cannot sign the lease", errno);
  }
  return {};
}

base::Result<LeaseHolder> lease_holder(const std::filesystem::path& path) {
  TRY_ASSIGN(pid, signed_pid(path));
  base::Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.is_open()) {
    return errno == ESRCH ? base::Result<LeaseHolder>(nobody(path))
                          : base::Result<LeaseHolder>(fail_io("cannot watch a process", errno));
  }
  // Only now is it known that the number still means the holder: whoever signed a lease that is
  // held lives, and its number cannot have been given to another process. But for the moment in
  // which an instance that gave its place away has ended, and the one that took it has not signed
  // yet.
  const base::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    return fail_io("cannot open " + path.string(), errno);
  }
  if (flock(file.number(), LOCK_EX | LOCK_NB) == 0) {
    return nobody(path);
  }
  return LeaseHolder{pid, std::move(process)};
}

base::Result<void> signal(const LeaseHolder& holder, int number) {
  const int process = holder.process.number();
  if (syscall(SYS_pidfd_send_signal, process, number, nullptr, 0) != 0 && errno != ESRCH) {
    return fail_io("cannot signal process " + std::to_string(holder.pid), errno);
  }
  return {};
}

}  // namespace vtpm::host
