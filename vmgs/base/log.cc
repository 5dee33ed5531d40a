// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/log.h"

#include <utility>

namespace base {

namespace {

LogSink& sink() {
  static LogSink the_sink;
  return the_sink;
}

}  // namespace

void set_log_sink(LogSink new_sink) { sink() = std::move(new_sink); }

void log(LogLevel level, std::string_view line) {
  if (sink()) {
    sink()(level, line);
  }
}

}  // namespace base
