// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "vmgs/base/log.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"

namespace tools::daemon {

// start_log() has all lines of this process go where its stderr leads: to the journal with its
// fields, to a terminal as text, to anything else as lines of JSON. Lines below `least` are
// dropped.
void start_log(base::LogLevel least);

// set_least_level() changes that.
void set_least_level(base::LogLevel least);

// log_of_vm() is base::log() with the VM as fields, VM_ID and VM_NAME in the journal. Before
// start_log() it is no more than that.
void log_of_vm(base::LogLevel level, const vmgs::format::VmId& id, std::string_view name,
               std::string_view line);

// parse_level() knows debug, info, warning, error.
base::Result<base::LogLevel> parse_level(std::string_view word);

}  // namespace tools::daemon
