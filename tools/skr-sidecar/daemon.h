// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/skr-sidecar/guest.h"
#include "vmgs/base/result.h"

namespace tools::skr_sidecar {

struct DaemonOptions {
  std::string socket;     // where callers connect
  std::string group;      // whose members may, beside root and this program's user; empty: none
  std::int64_t port = 0;  // in place of the socket: on 127.0.0.1, for every process; 0: no
  std::vector<std::string> brokers;  // URLs
  std::string authorities;           // under which their certificates are believed
  GuestOptions guest;
};

// run_daemon() serves until SIGTERM or SIGINT; what is being answered then is finished. Requests
// are answered one at a time: there is one TPM. An error is why it cannot run.
base::Result<void> run_daemon(const DaemonOptions& options);

}  // namespace tools::skr_sidecar
