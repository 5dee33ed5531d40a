// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/hardening.h"

#include <linux/capability.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace tools::vtpm_instance {

namespace {

// Without new privileges an exec brings none of them back, not even to root. Where there are none
// nothing is asked for: a service manager may have forbidden the question.
bool drop_capabilities() {
  using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) {
    return false;
  }
  const bool has_none = std::all_of(sets.begin(), sets.end(), [](const auto& set) {
    return set.effective == 0 && set.permitted == 0 && set.inheritable == 0;
  });
  const Sets none{};
  return has_none || ::syscall(SYS_capset, &header, none.data()) == 0;
}

}  // namespace

base::Result<void> harden_process() {
  ::umask(S_IRWXG | S_IRWXO);
  ::mallopt(M_ARENA_MAX, 1);
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !drop_capabilities() ||
      std::signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
      // A limit on file sizes is a store that failed, not a TPM that died.
      std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "hardening the process: " + std::generic_category().message(errno));
  }
  return {};
}

}  // namespace tools::vtpm_instance
