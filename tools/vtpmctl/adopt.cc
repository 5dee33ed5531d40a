// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tools/swtpm/key_option.h"
#include "tools/vtpmctl/commands.h"
#include "vtpm/boot/swtpm_import.h"
#include "vtpm/boot/swtpm_lock.h"

namespace tools::vtpmctl {

using vtpm::boot::StateOwner;
using vtpm::boot::SwtpmFolder;
using vtpm::boot::SwtpmLock;

namespace {

struct Arguments {
  std::vector<std::string> folders;
  std::string key;
  bool dry_run = false;
  bool undo = false;
};

// What became of one TPM.
struct Outcome {
  std::string word;  // stable: adopted, adoptable, ours-already, undone, failed
  std::string reason = {};
  std::optional<base::ErrorCode> code = std::nullopt;
};

Outcome failed(const base::Error& error) { return {"failed", error.message, error.code}; }

base::Result<std::unique_ptr<vtpm::boot::Protector>> protector_for(
    const vtpm::boot::SwtpmState& state, const vmgs::format::SwtpmKey* key) {
  if (!state.was_encrypted) {
    return vtpm::boot::no_protector();
  }
  TRY_ASSIGN(store_key, swtpm::store_key_of(*key));
  return vtpm::boot::given_key_protector(std::move(store_key));
}

base::Result<Outcome> adopt(const SwtpmFolder& folder, const vmgs::format::SwtpmKey* key,
                            bool dry_run) {
  TRY_ASSIGN(owner, vtpm::boot::owner_of(folder.store()));
  if (owner != StateOwner::kSwtpm) {
    return Outcome{"ours-already"};
  }
  if (dry_run) {
    TRY(SwtpmLock::expect_free(folder));
    TRY_ASSIGN(state, vtpm::boot::read_swtpm_state(folder, key));
    TRY(vtpm::boot::expect_starts(state));
    return Outcome{"adoptable"};
  }
  TRY_ASSIGN(lock, SwtpmLock::take(folder));
  TRY_ASSIGN(state, vtpm::boot::read_swtpm_state(folder, key));
  TRY(vtpm::boot::expect_starts(state));
  TRY_ASSIGN(protector, protector_for(state, key));
  vtpm::boot::StoreSettings settings;
  settings.new_kind = vmgs::storage::ContainerKind::kRawFile;
  TRY(vtpm::boot::import_swtpm_state(folder, state, std::move(settings), *protector));
  return Outcome{"adopted"};
}

base::Result<Outcome> put_back(const SwtpmFolder& folder, bool dry_run) {
  if (dry_run) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "--undo does no more than it says; it has no --dry-run");
  }
  TRY_ASSIGN(lock, SwtpmLock::take(folder));
  TRY(vtpm::boot::undo_import(folder));
  return Outcome{"undone"};
}

// The folders of TPMs in `path`: itself, or those of libvirt's layout, UUID/tpm2, or one below it.
std::vector<SwtpmFolder> folders_in(const std::filesystem::path& path) {
  const auto has_tpm = [](const SwtpmFolder& folder) {
    std::error_code ignored;
    return std::filesystem::exists(folder.store(), ignored);
  };
  if (has_tpm({path})) {
    return {{path}};
  }
  std::vector<SwtpmFolder> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    for (const SwtpmFolder& folder :
         {SwtpmFolder{entry.path()}, SwtpmFolder{entry.path() / "tpm2"}}) {
      if (has_tpm(folder)) {
        found.push_back(folder);
      }
    }
  }
  std::sort(found.begin(), found.end(),
            [](const SwtpmFolder& a, const SwtpmFolder& b) { return a.path < b.path; });
  return found;
}

base::Result<void> say(const SwtpmFolder& folder, const Outcome& outcome, cli::Output& output,
                       boost::json::array& all) {
  if (!output.json()) {
    return output.text(outcome.word + " " + folder.path.string() +
                       (outcome.reason.empty() ? "" : ": " + outcome.reason) + "\n");
  }
  boost::json::object one = {{"folder", folder.path.string()}, {"outcome", outcome.word}};
  if (!outcome.reason.empty()) {
    one["reason"] = outcome.reason;
  }
  all.push_back(std::move(one));
  return {};
}

base::Result<cli::ExitStatus> adopt_all(const Arguments& arguments, cli::Output& output) {
  std::optional<vmgs::format::SwtpmKey> key;
  if (!arguments.key.empty()) {
    TRY_ASSIGN(read, swtpm::read_key_option("key", arguments.key));
    key = std::move(read);
  }
  boost::json::array all;
  auto status = cli::ExitStatus::kDone;
  for (const auto& path : arguments.folders) {
    const auto folders = folders_in(path);
    if (folders.empty()) {
      return base::fail(base::ErrorCode::kNotFound,
                        path + ": swtpm keeps no TPM 2.0 here, nor one folder or two below");
    }
    for (const auto& folder : folders) {
      const auto done = arguments.undo ? put_back(folder, arguments.dry_run)
                                       : adopt(folder, key ? &*key : nullptr, arguments.dry_run);
      const auto outcome = done ? *done : failed(done.error());
      TRY(say(folder, outcome, output, all));
      // One that fails keeps nobody else from being adopted; the first failure is what is told.
      if (outcome.code && status == cli::ExitStatus::kDone) {
        status = cli::exit_status(*outcome.code);
      }
    }
  }
  if (output.json()) {
    TRY(output.document("strongroom.adopted/1", {{"tpms", std::move(all)}}));
  }
  return status;
}

}  // namespace

cli::Command adopt_command() {
  return {
      .name = "adopt",
      .summary = "Take over TPMs that swtpm has kept, with all they have sealed",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        app.footer(
            "Each TPM's state goes into a VMGS file in swtpm's folder, where the swtpm of this\n"
            "package finds it; swtpm's own file stays there as tpm2-00.permall.swtpm. What was\n"
            "adopted before is left alone, so a run that was cut short is run again. vtpmd is\n"
            "not asked. TPMs of confidential VMs do not come into being this way.\n\nExamples:\n"
            "  vtpmctl adopt --dry-run /var/lib/libvirt/swtpm\n"
            "  vtpmctl adopt --key pwdfile=secret,mode=aes-256-cbc "
            "/var/lib/libvirt/swtpm/UUID/tpm2\n"
            "  vtpmctl adopt --undo /var/lib/libvirt/swtpm/UUID/tpm2\n");
        app.add_option("folder", arguments->folders,
                       "A state folder of swtpm's, or one with such folders in it")
            ->required();
        app.add_option("--key", arguments->key,
                       "What the TPMs are encrypted with, as swtpm's --key takes it");
        app.add_flag("--dry-run", arguments->dry_run,
                     "Say what would be done, and whether each TPM would start");
        app.add_flag("--undo", arguments->undo,
                     "Put swtpm's files back where the TPM was not used since");
        return [arguments](cli::Output& output) { return adopt_all(*arguments, output); };
      }};
}

}  // namespace tools::vtpmctl
