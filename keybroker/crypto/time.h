// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace keybroker::crypto {

// A moment in UTC, in whole seconds. Nothing in this room or above it reads a clock: whoever asks
// says when it is.
using Time = std::chrono::sys_seconds;

// parse_time() reads "2025-06-19T10:16:03Z" (RFC 3339 in UTC, no fractions), kInvalidArgument
// otherwise. to_text() writes it.
base::Result<Time> parse_time(std::string_view text);
std::string to_text(Time time);

}  // namespace keybroker::crypto
