// SPDX-License-Identifier: Apache-2.0
#include "tools/daemon/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>

namespace tools::daemon {

namespace {

using base::LogLevel;

enum class Form { kText, kJson, kJournal };

struct Log {
  Form form = Form::kText;
  LogLevel least = LogLevel::kInfo;
  std::shared_ptr<spdlog::logger> logger;
};

Log& log() {
  static Log the_log;
  return the_log;
}

struct LevelRow {
  LogLevel level;
  std::string_view name;
  spdlog::level::level_enum of_spdlog;
  int of_journal;  // syslog(3)
};

constexpr std::array<LevelRow, 4> kLevels = {{
    {LogLevel::kDebug, "debug", spdlog::level::debug, 7},
    {LogLevel::kInfo, "info", spdlog::level::info, 6},
    {LogLevel::kWarning, "warning", spdlog::level::warn, 4},
    {LogLevel::kError, "error", spdlog::level::err, 3},
}};

const LevelRow& row(LogLevel level) { return kLevels.at(static_cast<std::size_t>(level)); }

// systemd.exec(5): JOURNAL_STREAM names the device and inode of the stream that it set up.
bool stderr_is_the_journal() {
  const char* named = std::getenv("JOURNAL_STREAM");

  struct stat found {};

  return named != nullptr && fstat(STDERR_FILENO, &found) == 0 &&
         named == std::to_string(found.st_dev) + ":" + std::to_string(found.st_ino);
}

struct AboutVm {
  std::string id;
  std::string_view name;
};

void write_journal(LogLevel level, std::string_view line, const std::optional<AboutVm>& vm) {
  std::array<std::string, 4> fields = {"MESSAGE=" + std::string(line),
                                       "PRIORITY=" + std::to_string(row(level).of_journal), "", ""};
  int count = 2;
  if (vm) {
    fields[2] = "VM_ID=" + vm->id;
    fields[3] = "VM_NAME=" + std::string(vm->name);
    count = 4;
  }
  std::array<iovec, 4> pieces{};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    pieces[i] = {fields[i].data(), fields[i].size()};
  }
  sd_journal_sendv(pieces.data(), count);
}

void write_json(LogLevel level, std::string_view line, const std::optional<AboutVm>& vm) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  boost::json::object object;
  object["time_ms"] = now.count();
  object["level"] = row(level).name;
  if (vm) {
    object["vm_id"] = vm->id;
    object["vm_name"] = vm->name;
  }
  object["message"] = line;
  log().logger->log(row(level).of_spdlog, boost::json::serialize(object));
}

void write(LogLevel level, std::string_view line, const std::optional<AboutVm>& vm) {
  if (level < log().least) {
    return;
  }
  switch (log().form) {
    case Form::kJournal:
      write_journal(level, line, vm);
      return;
    case Form::kJson:
      write_json(level, line, vm);
      return;
    case Form::kText:
      log().logger->log(row(level).of_spdlog,
                        vm ? std::string(vm->name) + ": " + std::string(line) : std::string(line));
      return;
  }
}

}  // namespace

void start_log(LogLevel least) {
  log().least = least;
  log().logger = spdlog::stderr_color_mt("log");
  log().logger->set_level(spdlog::level::debug);
  log().logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  if (stderr_is_the_journal()) {
    log().form = Form::kJournal;
  } else if (isatty(STDERR_FILENO) == 0) {
    log().form = Form::kJson;
    log().logger->set_pattern("%v");
  }
  base::set_log_sink([](LogLevel level, std::string_view line) { write(level, line, {}); });
}

void set_least_level(LogLevel least) { log().least = least; }

void log_of_vm(LogLevel level, const vmgs::format::VmId& id, std::string_view name,
               std::string_view line) {
  if (log().logger == nullptr) {
    base::log(level, line);
    return;
  }
  write(level, line, AboutVm{to_string(id), name});
}

base::Result<LogLevel> parse_level(std::string_view word) {
  for (const auto& candidate : kLevels) {
    if (candidate.name == word) {
      return candidate.level;
    }
  }
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "'" + std::string(word) + "' is no log level: debug, info, warning, error");
}

}  // namespace tools::daemon
