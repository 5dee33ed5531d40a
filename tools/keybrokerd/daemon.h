// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "tools/config/keybrokerd_settings.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// run_daemon() is keybrokerd from its lock to its orderly end by SIGTERM or SIGINT: calls that are
// in work are finished. `reload` gives the settings anew at SIGHUP; of those the log level takes
// effect, and TLS credentials are read again. An error is why it cannot run.
base::Result<void> run_daemon(
    const config::KeybrokerdSettings& settings,
    const std::function<base::Result<config::KeybrokerdSettings>()>& reload);

}  // namespace tools::keybrokerd
