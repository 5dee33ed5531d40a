// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "keybroker/store/sqlite.h"
#include "tools/keybrokerd/commands.h"
#include "tools/keybrokerd/services.h"

namespace tools::keybrokerd {

namespace {

namespace fs = std::filesystem;

struct Arguments {
  Flags flags;
  std::string backup;
};

constexpr const char* kExamples = R"(Example:
  systemctl stop keybrokerd
  keybrokerd restore records-2026-11-22.db
  # in keybrokerd.toml:   [recovery]   until = "2026-11-23T12:00:00Z"
  systemctl start keybrokerd
VMs have started since the backup was made, and their records are older than they are. While `recovery` lasts, a VM's
signed receipt moves its record forward; without it such a VM is refused as forked-state.
)";

base::Result<cli::ExitStatus> restore(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(settings, read_settings(arguments.flags));
  if (!settings.postgresql.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the records are in PostgreSQL: restore them with its own tools");
  }
  TRY(keybroker::store::check_backup(arguments.backup));
  TRY_ASSIGN(lock, lock_state_folder(settings.state_folder));
  const auto records = settings.state_folder / "records.db";
  std::error_code error;
  std::string aside;
  if (fs::exists(records, error)) {
    aside = records.string() + ".before-" + keybroker::crypto::to_text(now_in_seconds());
    for (const auto* suffix : {"", "-wal", "-shm"}) {
      if (fs::exists(records.string() + suffix, error)) {
        fs::rename(records.string() + suffix, aside + suffix, error);
        if (error) {
          return base::fail(base::ErrorCode::kIo, records.string() + suffix + ": " +
                                                      error.message() + "; nothing was restored");
        }
      }
    }
  }
  TRY_ASSIGN(backup, keybroker::store::open_sqlite(arguments.backup));
  TRY(keybroker::store::back_up_sqlite(*backup, records));
  TRY(output.json()
          ? output.document("strongroom.restored/1",
                            {{"records", records.string()}, {"set_aside", aside}})
          : output.text(records.string() + " is what " + arguments.backup + " was" +
                        (aside.empty() ? "" : "; what was there before lies at " + aside) +
                        ".\nSet [recovery] until in keybrokerd.toml before you start it.\n"));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command restore_command() {
  return {.name = "restore",
          .summary = "Put a backup of the records in their place, while keybrokerd is stopped",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            add_flags(app, arguments->flags);
            app.add_option("backup", arguments->backup, "What `kbctl backup` has written")
                ->type_name("FILE")
                ->required();
            return [arguments](cli::Output& output) { return restore(*arguments, output); };
          }};
}

}  // namespace tools::keybrokerd
