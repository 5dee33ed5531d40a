// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"
#include "vmgs/storage/new_file.h"

namespace tools::kbctl {

namespace {

struct Arguments {
  Service service;
  std::string file;
};

constexpr const char* kExamples = R"(Example:
  kbctl backup records-2026-11-22.db
Keys in it are wrapped; the master key and the signing keys lie in the broker's folder and are kept apart.
`keybrokerd restore` puts it back. A broker on PostgreSQL is backed up with the tools of that.
)";

base::Result<cli::ExitStatus> backup(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(file, ::vmgs::storage::NewFile::create(arguments.file));
  base::Result<void> written;
  std::uint64_t bytes = 0;
  TRY(arguments.service.stream<api::BackupChunk>(
      "BrokerService", "Backup", api::BackupRequest(), [&](const api::BackupChunk& chunk) {
        bytes += chunk.data().size();
        written = file.write(base::bytes_of(chunk.data()));
        return written.has_value();
      }));
  TRY(written);
  TRY(file.publish());
  TRY(output.json()
          ? output.document("strongroom.backup/1", {{"file", arguments.file}, {"bytes", bytes}})
          : output.text(std::to_string(bytes) + " bytes\n"));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command backup_command() {
  return {
      .name = "backup",
      .summary = "Write the records of an SQLite broker as they are now to a file (role operator)",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        app.footer(kExamples);
        app.add_option("file", arguments->file, "A new file")->required();
        add_service_arguments(app, arguments->service);
        return [arguments](cli::Output& output) { return backup(*arguments, output); };
      }};
}

}  // namespace tools::kbctl
