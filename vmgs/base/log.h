// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>

namespace base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// A LogSink takes one finished line. It may be called from any thread.
using LogSink = std::function<void(LogLevel, std::string_view)>;

// set_log_sink() says where lines go; a program does so once, before its threads start. Until
// then lines are dropped.
void set_log_sink(LogSink sink);

// log() hands one line to the sink. Key material has no road here: Secret<N> gives no text.
void log(LogLevel level, std::string_view line);

}  // namespace base
