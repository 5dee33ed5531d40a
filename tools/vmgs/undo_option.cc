// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/undo_option.h"

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <ctime>

namespace tools::vmgs {

namespace fs = std::filesystem;

void add_undo_arguments(CLI::App& app, UndoArguments& arguments) {
  auto* none = app.add_flag("--no-undo", arguments.none,
                            "Keep no undo file: there is no way back then but a backup");
  app.add_option("--undo-file", arguments.file,
                 "Where to keep what is overwritten (default: FILE.undo- and the time)")
      ->type_name("PATH")
      ->excludes(none);
}

bool keeps_undo(const std::string& store, const UndoArguments& arguments) {
  std::error_code ignored;
  return !arguments.none && (!arguments.file.empty() || !fs::is_block_file(store, ignored));
}

base::Result<std::optional<fs::path>> undo_file_for(const std::string& store,
                                                    const UndoArguments& arguments) {
  if (arguments.none) {
    return std::optional<fs::path>();
  }
  if (!arguments.file.empty()) {
    return std::optional<fs::path>(arguments.file);
  }
  std::error_code ignored;
  if (fs::is_block_file(store, ignored)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      store +
                          " is a block device: say with --undo-file where to keep what is "
                          "overwritten, or --no-undo");
  }
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "%Y%m%dT%H%M%SZ", &utc);
  return std::optional<fs::path>(store + ".undo-" + time.data());
}

base::Result<std::optional<std::string>> finish_change(const ::vmgs::storage::Container& container,
                                                       const cli::Output& output) {
  return finish_change(container.undo, container.file->path().string(), output);
}

base::Result<std::optional<std::string>> finish_change(::vmgs::storage::UndoRecorder* undo,
                                                       const std::string& store,
                                                       const cli::Output& output) {
  if (undo == nullptr || !undo->path()) {
    return std::optional<std::string>();
  }
  const auto path = undo->path()->string();
  TRY(undo->finish());
  output.talk("to undo this: vmgs undo " + store + " " + path + " --apply");
  return std::optional(path);
}

}  // namespace tools::vmgs
