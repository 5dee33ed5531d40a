// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "tools/config/vtpmd_settings.h"
#include "vmgs/base/result.h"

namespace tools::vtpmd {

// run_daemon() is vtpmd from its lock to its orderly end by SIGTERM or SIGINT. `reload` gives the
// settings anew at SIGHUP; of those the log level takes effect. An error is why it cannot run.
base::Result<void> run_daemon(const config::VtpmdSettings& settings,
                              const std::function<base::Result<config::VtpmdSettings>()>& reload);

}  // namespace tools::vtpmd
