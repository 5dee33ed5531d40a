// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/hardening.h"

#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace tools::vtpm_instance {

base::Result<void> harden_process() {
  ::umask(S_IRWXG | S_IRWXO);
  ::mallopt(M_ARENA_MAX, 1);
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || std::signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
      // A limit on file sizes is a store that failed, not a TPM that died.
      std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "hardening the process: " + std::generic_category().message(errno));
  }
  return {};
}

}  // namespace tools::vtpm_instance
