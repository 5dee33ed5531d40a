// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/vmgstool.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/vmgstool_commands.h"

namespace tools::vmgs {

namespace {

using vmgstool::Arguments;
using vmgstool::Exit;
using vmgstool::Outcome;

// A wrong command line ends as the reference's parser of arguments ends.
constexpr int kUsage = 2;

using Act = Outcome<void> (*)(const Arguments&);
using Spelling = std::pair<std::string_view, std::string_view>;

constexpr std::array<Spelling, 14> kLegacyCommands = {{{"-c", "create"},
                                                       {"-create", "create"},
                                                       {"-w", "write"},
                                                       {"-write", "write"},
                                                       {"-r", "dump"},
                                                       {"-dump", "dump"},
                                                       {"-rh", "dump-headers"},
                                                       {"-dumpheaders", "dump-headers"},
                                                       {"-qs", "query-size"},
                                                       {"-querysize", "query-size"},
                                                       {"-uk", "update-key"},
                                                       {"-updatekey", "update-key"},
                                                       {"-e", "encrypt"},
                                                       {"-encrypt", "encrypt"}}};

constexpr std::array<Spelling, 18> kLegacyOptions = {
    {{"-f", "--file-path"},
     {"-filepath", "--file-path"},
     {"-s", "--file-size"},
     {"-filesize", "--file-size"},
     {"-i", "--file-id"},
     {"-fileid", "--file-id"},
     {"-d", "--data-path"},
     {"-datapath", "--data-path"},
     {"-ow", "--allow-overwrite"},
     {"-allowoverwrite", "--allow-overwrite"},
     {"-k", "--key-path"},
     {"-keypath", "--key-path"},
     {"-n", "--new-key-path"},
     {"-newkeypath", "--new-key-path"},
     {"-ea", "--encryption-algorithm"},
     {"-encryptionalgorithm", "--encryption-algorithm"},
     {"-fc", "--force-create"},
     {"-forcecreate", "--force-create"}}};

// The spelling of today; `word` itself where it is no legacy one, in whatever case.
template <std::size_t N>
std::string modern(const std::array<Spelling, N>& spellings, const std::string& word) {
  auto lower = word;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char each) {
    return static_cast<char>(each >= 'A' && each <= 'Z' ? each - 'A' + 'a' : each);
  });
  const auto found = std::find_if(spellings.begin(), spellings.end(),
                                  [&](const Spelling& each) { return each.first == lower; });
  return found == spellings.end() ? word : std::string(found->second);
}

// The reference counts on the first word whether the others are legacy spellings too.
void modernise(std::vector<std::string>& words) {
  if (words.empty() || modern(kLegacyCommands, words.front()) == words.front()) {
    return;
  }
  vmgstool::say("Warning: using legacy arguments. Please migrate to the new syntax.");
  words.front() = modern(kLegacyCommands, words.front());
  for (std::size_t i = 1; i < words.size(); ++i) {
    words[i] = modern(kLegacyOptions, words[i]);
  }
}

// The command line, and what each command of it does.
class CommandLine {
 public:
  CommandLine() : app_("Tool to interact with VMGS files", "vmgstool") {
    app_.require_subcommand(1);
    app_.add_flag("-v,--verbose", verbose_, "Say more")->configurable(false);
    app_.fallthrough();
    add_file_commands();
    add_key_commands();
    add_variable_commands();
  }

  int run(std::vector<std::string> words) {
    try {
      std::reverse(words.begin(), words.end());  // as CLI11 takes them
      app_.parse(std::move(words));
    } catch (const CLI::Success& asked_for_help) {
      return app_.exit(asked_for_help);
    } catch (const CLI::ParseError& error) {
      app_.exit(error);
      return kUsage;
    }
    const CLI::App* named = app_.get_subcommands().front();
    while (!named->get_subcommands().empty()) {
      named = named->get_subcommands().front();
    }
    const auto outcome = acts_.at(named)(arguments_);
    if (outcome) {
      return 0;
    }
    const auto code = static_cast<int>(outcome.error().exit);
    vmgstool::say("EXIT CODE: " + std::to_string(code) + " (" +
                  std::string(name(outcome.error().exit)) + ")");
    vmgstool::say("ERROR: " + outcome.error().message);
    return code;
  }

 private:
  CLI::App& add(CLI::App& to, const std::string& name, const std::string& summary, Act act) {
    auto* const sub = to.add_subcommand(name, summary);
    acts_[sub] = act;
    sub->add_option("-f,--file-path,--filepath", arguments_.file_path, "VMGS file path")
        ->required();
    return *sub;
  }

  CLI::Option* key(CLI::App& app) {
    return app.add_option("-k,--key-path,--keypath", arguments_.key_path,
                          "Encryption key file path: 32 bytes");
  }

  // Which the reference does not know: it keeps no undo file.
  void undo(CLI::App& app) { add_undo_arguments(app, arguments_.undo); }

  CLI::Option* id(CLI::App& app) {
    return app.add_option("-i,--file-id,--fileid", arguments_.file_id, "VMGS file id")->required();
  }

  CLI::Option* data(CLI::App& app) {
    return app.add_option("-d,--data-path,--datapath", arguments_.data_path, "Data file path");
  }

  CLI::Option* algorithm(CLI::App& app) {
    return app
        .add_option("-e,--encryption-algorithm,--encryptionalgorithm", arguments_.algorithm,
                    "Encryption algorithm")
        ->check(CLI::IsMember({"AES_GCM"}));
  }

  void overwrite(CLI::App& app) {
    app.add_flag("--allow-overwrite,--allowoverwrite", arguments_.allow_overwrite,
                 "Replace a file that is there");
  }

  void add_file_commands() {
    auto& create = add(app_, "create", "Create and initialize a VMGS file", vmgstool::create);
    create.add_option("-s,--file-size,--filesize", arguments_.file_size,
                      "Size of the store, default 4194304; its footer comes on top");
    auto* const create_key = key(create);
    auto* const create_algorithm = algorithm(create);
    create_key->needs(create_algorithm);
    create_algorithm->needs(create_key);
    create.add_flag("--force-create,--forcecreate", arguments_.force_create,
                    "Replace a file that is there");

    auto& write = add(app_, "write", "Write data into a file of the store", vmgstool::write);
    data(write)->required();
    id(write);
    key(write);
    overwrite(write);
    undo(write);

    auto& dump = add(app_, "dump", "Read data from a file of the store", vmgstool::dump);
    auto* const to = data(dump);
    id(dump);
    key(dump);
    dump.add_flag("--raw-stdout", arguments_.raw_stdout, "Data as raw bytes")->excludes(to);

    add(app_, "dump-headers", "Dump both headers", vmgstool::dump_headers);
    key(add(app_, "dump-file-table", "Dump the file table", vmgstool::dump_file_table));
    id(add(app_, "query-size", "Get the size of a file of the store", vmgstool::query_size));

    auto& move = add(app_, "move", "Give a file of the store another id", vmgstool::move);
    move.add_option("--src-file-id,--src", arguments_.source_id, "Source file id")->required();
    move.add_option("--dst-file-id,--dst", arguments_.target_id, "Destination file id")->required();
    key(move);
    overwrite(move);
    undo(move);

    auto& remove = add(app_, "delete", "Delete a file of the store", vmgstool::remove);
    id(remove);
    key(remove);
    undo(remove);

    auto& firmware =
        add(app_, "copy-igvmfile", "Copy firmware out of a DLL", vmgstool::copy_firmware);
    data(firmware)->required();
    firmware
        .add_option("-r,--resource-code", arguments_.resource_code,
                    "NONCONFIDENTIAL, SNP, SNP_NO_HCL, TDX, TDX_NO_HCL, or a number")
        ->required();
    overwrite(firmware);
    undo(firmware);
  }

  void add_key_commands() {
    auto& update = add(app_, "update-key", "Replace the encryption key", vmgstool::update_key);
    key(update)->required();
    update
        .add_option("-n,--new-key-path,--newkeypath", arguments_.new_key_path,
                    "New encryption key file path")
        ->required();
    algorithm(update)->required();
    undo(update);

    auto& encrypt = add(app_, "encrypt", "Encrypt an existing VMGS file", vmgstool::encrypt);
    key(encrypt)->required();
    algorithm(encrypt)->required();
    undo(encrypt);

    add(app_, "query-encryption", "Query whether a VMGS file is encrypted",
        vmgstool::query_encryption);
  }

  void add_variable_commands() {
    auto* const group = app_.add_subcommand("uefi-nvram", "UEFI NVRAM operations");
    group->require_subcommand(1);
    group->fallthrough();
    auto& dump = add(*group, "dump", "Dump UEFI NVRAM variables", vmgstool::dump_variables);
    key(dump);
    dump.add_option("-o,--output-path,--outpath", arguments_.output_path, "Output file path");
    dump.add_flag("-t,--truncate", arguments_.truncate, "About a line of each entry");

    auto& boot = add(*group, "remove-boot-entries", "Delete all boot entries",
                     vmgstool::remove_boot_entries);
    key(boot);
    boot.add_flag("-n,--dry-run", arguments_.dry_run, "Print the boot entries only");
    undo(boot);

    auto& entry =
        add(*group, "remove-entry", "Remove a UEFI NVRAM variable", vmgstool::remove_variable);
    key(entry);
    entry.add_option("-n,--name", arguments_.name, "Name of the entry")->required();
    entry.add_option("-v,--vendor", arguments_.vendor, "Vendor GUID of the entry")->required();
    undo(entry);
  }

  CLI::App app_;
  Arguments arguments_;
  std::map<const CLI::App*, Act> acts_;
  bool verbose_ = false;
};

}  // namespace

bool is_vmgstool(const std::string& argv0) {
  return std::filesystem::path(argv0).filename() == "vmgstool";
}

int run_vmgstool(std::vector<std::string> arguments) {
  if (!cli::hold_standard_streams()) {
    return static_cast<int>(Exit::kError);
  }
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    modernise(arguments);
    return CommandLine().run(std::move(arguments));
  } catch (const std::exception& error) {
    vmgstool::say(std::string("ERROR: internal error: ") + error.what());
    return static_cast<int>(Exit::kError);
  }
}

cli::Command compat_command() {
  return {.name = "compat",
          .summary = "Take the command line of vmgstool, and end with its exit codes",
          .set_up = [](CLI::App& app) -> cli::Action {
            app.prefix_command();
            return [&app](cli::Output&) -> base::Result<cli::ExitStatus> {
              return static_cast<cli::ExitStatus>(run_vmgstool(app.remaining()));
            };
          }};
}

}  // namespace tools::vmgs
