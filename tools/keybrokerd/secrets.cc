// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>

#include "keybroker/broker/broker_keys.h"
#include "tools/keybrokerd/commands.h"
#include "vmgs/storage/folder.h"
#include "vmgs/storage/private_file.h"

namespace tools::keybrokerd {

namespace {

namespace broker = keybroker::broker;
namespace fs = std::filesystem;
using Secrets = broker::ClusterSecrets;

struct Arguments {
  Flags flags;
  std::uint32_t version = 0;
};

constexpr const char* kExamples =
    R"(Replacing the cluster secret of several replicas, without refusing a boot:
  keybrokerd secrets add         on one; copy broker/cluster.secrets to all, and restart each
  keybrokerd secrets promote     on one, once all run with it; copy and restart again
  keybrokerd secrets drop 1      once no VM runs that started before that; copy and restart again
A version that is only accepted makes nothing yet: a replica that reads the file later still knows what the others make.
)";

base::Result<void> replace(const fs::path& file, const Secrets& secrets) {
  const auto unfinished = file.string() + ".new";
  std::error_code error;
  fs::remove(unfinished, error);
  TRY(vmgs::storage::create_private_file(unfinished, broker::encode(secrets).expose()));
  fs::rename(unfinished, file, error);
  if (error) {
    return base::fail(base::ErrorCode::kIo, "cannot replace " + file.string() + ": " +
                                                error.message() + "; nothing was changed");
  }
  return vmgs::storage::sync_folder_of(file);
}

using Change = std::function<base::Result<Secrets>(const Secrets&)>;

base::Result<cli::ExitStatus> change(const Flags& flags, const Change& changed,
                                     cli::Output& output) {
  TRY_ASSIGN(settings, read_settings(flags));
  const auto file = settings.state_folder / "broker" / "cluster.secrets";
  TRY_ASSIGN(content, vmgs::storage::read_private_file(file, vmgs::storage::OtherReaders::kNone,
                                                       broker::kMaxBrokerKeyFileBytes));
  auto before = broker::decode_cluster_secrets(content);
  if (!before) {
    return base::fail(std::move(before).error().context(file.string()));
  }
  TRY_ASSIGN(after, changed(*before));
  if (!std::ranges::equal(broker::encode(after).expose(), content.expose())) {
    TRY(replace(file, after));
  }
  std::string text;
  boost::json::array versions;
  for (const auto& version : after.versions()) {
    const auto* use = version.accepted_only                     ? "only accepted"
                      : version.number == after.making().number ? "in use"
                                                                : "accepted, as it was in use";
    text += "version " + std::to_string(version.number) + ": " + use + "\n";
    versions.push_back({{"version", version.number}, {"use", use}});
  }
  TRY(output.json()
          ? output.document("strongroom.cluster_secrets/1", {{"versions", std::move(versions)}})
          : output.text(text));
  return cli::ExitStatus::kDone;
}

cli::Command command(const char* name, const char* summary, const Change& changed) {
  return {.name = name, .summary = summary, .set_up = [changed](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            add_flags(app, arguments->flags);
            return [arguments, changed](cli::Output& output) {
              return change(arguments->flags, changed, output);
            };
          }};
}

cli::Command drop_command() {
  return {.name = "drop",
          .summary = "Take one version out; VMs that were released under it can anchor no more",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            add_flags(app, arguments->flags);
            app.add_option("version", arguments->version, "Its number")->required();
            return [arguments](cli::Output& output) {
              const Change dropping = [number = arguments->version](const Secrets& secrets) {
                return secrets.dropping(number);
              };
              return change(arguments->flags, dropping, output);
            };
          }};
}

base::Result<Secrets> as_they_are(const Secrets& secrets) {
  // The same, by the road that everything else takes.
  return broker::decode_cluster_secrets(broker::encode(secrets));
}

}  // namespace

cli::Command secrets_commands() {
  return {.name = "secrets",
          .summary = "The cluster secrets, which all replicas of a broker share",
          .group = {command("list", "Which versions there are", as_they_are),
                    command("add", "Add a version that is only accepted, for now",
                            [](const Secrets& secrets) { return secrets.adding_one(); }),
                    command("promote", "Use the version that was added last",
                            [](const Secrets& secrets) { return secrets.promoting_newest(); }),
                    drop_command()}};
}

}  // namespace tools::keybrokerd
