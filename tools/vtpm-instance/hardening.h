// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"

namespace tools::vtpm_instance {

// harden_process() makes the process one that may hold secrets: no core dumps, not traceable, no
// capabilities though root started it, none to be had by exec, new files for their owner only; and
// one that may be one of many: one heap for both of its threads. kUnavailable if the kernel
// refuses.
base::Result<void> harden_process();

}  // namespace tools::vtpm_instance
