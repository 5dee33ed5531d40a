// SPDX-License-Identifier: Apache-2.0
#include "tests/support/killed.h"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace tests::support {

namespace {

constexpr std::array<std::uint64_t, 14> kChanges = {
    SYS_write,  SYS_pwrite64, SYS_pwritev,   SYS_fsync,    SYS_fdatasync,
    SYS_link,   SYS_linkat,   SYS_rename,    SYS_renameat, SYS_renameat2,
    SYS_unlink, SYS_unlinkat, SYS_ftruncate, SYS_fallocate};

bool is_change(const __ptrace_syscall_info& call) {
  if (call.op != PTRACE_SYSCALL_INFO_ENTRY) {
    return false;
  }
  if (call.entry.nr == SYS_openat) {
    return (call.entry.args[2] & O_CREAT) != 0;
  }
  return std::ranges::find(kChanges, call.entry.nr) != kChanges.end();
}

void expect(bool true_of_tracing, const char* what) {
  if (!true_of_tracing) {
    std::perror(what);
    std::abort();
  }
}

int state_of(pid_t child) {
  int status = 0;
  expect(waitpid(child, &status, 0) == child, "waiting for a traced child");
  return status;
}

// To where it enters or leaves its next system call, with the signal that it was stopped by.
void go_on(pid_t child, int signal) {
  expect(ptrace(PTRACE_SYSCALL, child, nullptr, signal) == 0, "tracing a child");
}

}  // namespace

bool killed_before_change(unsigned n, const std::function<bool()>& work) {
  const pid_t child = fork();
  expect(child >= 0, "making a child");
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0 || raise(SIGSTOP) != 0) {
      _exit(2);
    }
    _exit(work() ? 0 : 1);
  }
  int status = state_of(child);
  expect(WIFSTOPPED(status), "stopping a child");
  expect(ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0,
         "tracing a child");
  go_on(child, 0);
  for (unsigned changes = 0;;) {
    status = state_of(child);
    if (WIFEXITED(status)) {
      expect(WEXITSTATUS(status) == 0, "the work of a child that nobody has killed");
      return false;
    }
    expect(WIFSTOPPED(status), "the end of a child that nobody has killed");
    const bool at_call = WSTOPSIG(status) == (SIGTRAP | 0x80);
    __ptrace_syscall_info call{};
    if (at_call) {
      expect(ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(call), &call) > 0,
             "looking at a child's call");
    }
    if (at_call && is_change(call) && changes++ == n) {
      expect(kill(child, SIGKILL) == 0, "killing a child");
      while (!WIFSIGNALED(status)) {
        status = state_of(child);
      }
      return true;
    }
    go_on(child, at_call ? 0 : WSTOPSIG(status));
  }
}

}  // namespace tests::support
