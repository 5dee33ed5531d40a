// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/hardening.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace tools::vtpm_instance {
namespace {

bool has_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  ::syscall(SYS_capget, &header, sets.data());
  return std::any_of(sets.begin(), sets.end(), [](const __user_cap_data_struct& set) {
    return set.effective != 0 || set.permitted != 0 || set.inheritable != 0;
  });
}

bool is_hardened() {
  rlimit core{1, 1};

  struct sigaction pipe {};

  return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
         ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && ::getrlimit(RLIMIT_CORE, &core) == 0 &&
         core.rlim_cur == 0 && core.rlim_max == 0 && ::umask(0) == (S_IRWXG | S_IRWXO) &&
         ::sigaction(SIGPIPE, nullptr, &pipe) == 0 && pipe.sa_handler == SIG_IGN &&
         !has_capabilities();
}

TEST(HardeningTest, LeavesNoCoreGivesNoAccessAndGainsNothing) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(!is_hardened() && harden_process() && is_hardened() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace tools::vtpm_instance
