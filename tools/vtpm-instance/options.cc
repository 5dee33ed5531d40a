// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string_view>
#include <utility>

#include "tools/swtpm/key_option.h"

namespace tools::vtpm_instance {

using base::ErrorCode;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;

namespace {

struct Typed {
  std::string vmgs;
  std::string control;
  std::string data;
  std::string key;
  std::string state_blobs;
  std::string migration_key;
  std::string migration_ticket;
  std::string launch_document;
  std::string protection;
  std::string lifetime;
  std::string durability = "one-barrier";
  std::string tcb_grace = "running";
  std::string home = "host";
  std::string export_openhcl_key;
  std::string variables;
  std::string variables_image;
  std::uint64_t variables_bytes = 0;
  std::optional<std::uint16_t> simulator_port;
  bool create = false;
  bool incoming = false;
  bool release_ticket = false;
};

void declare(CLI::App& app, Typed& typed) {
  app.add_option("--ctrl", typed.control, "Control socket to listen on")
      ->required()
      ->type_name("SOCKET");
  app.add_option("--data", typed.data, "Data socket to listen on, for clients without a hypervisor")
      ->type_name("SOCKET");
  app.add_option("--mssim", typed.simulator_port,
                 "Speak the reference simulator's protocol at this port of 127.0.0.1, and its "
                 "platform's at the next, to everybody on this machine; 0 takes free ones")
      ->type_name("PORT");
  app.add_option("--vmgs", typed.vmgs, "Guest-state store: a file or a block device")
      ->type_name("FILE");
  app.add_flag("--create", typed.create, "Make the store, with a new TPM, if there is none");
  app.add_flag("--incoming", typed.incoming, "Wait for the TPM's state to arrive by migration");
  app.add_option("--key", typed.key,
                 "Root key of the store, for protection host (default FILE.key); or a key as "
                 "swtpm's --key takes it: file=, fd=, pwdfile= or pwdfd=, with ,mode= and so on")
      ->type_name("FILE");
  app.add_option("--state-blobs", typed.state_blobs,
                 "How the TPM's state leaves and enters through the hypervisor: refused (default); "
                 "sealed, to the instance that awaits it, once; or plain, as swtpm's does, so that "
                 "whoever keeps a copy can take the TPM back to it")
      ->check(CLI::IsMember({"plain", "sealed", "refused"}))
      ->type_name("FORM");
  app.add_option(
         "--migration-ticket", typed.migration_ticket,
         "With sealed: the ticket of the instance that awaits the TPM; with --incoming this "
         "one makes it")
      ->type_name("FILE");
  app.add_flag("--release-ticket", typed.release_ticket,
               "Serve nobody: what was offered to the ticket and never arrived is given back; "
               "FILE.released is for the host that has offered it");
  app.add_option("--migration-key", typed.migration_key,
                 "What plain state is encrypted under, as swtpm's --migration-key takes it; "
                 "--state-blobs plain is understood")
      ->type_name("KEY");
  app.add_option("--launch-document", typed.launch_document, "The VM's launch document")
      ->type_name("FILE");
  app.add_option("--protection", typed.protection, "host (default) or none")->type_name("MODE");
  app.add_option("--lifetime", typed.lifetime, "persistent (default) or ephemeral")->type_name("L");
  app.add_option(
         "--durability", typed.durability,
         "one-barrier (default), or strict: other readers open the store after a crash, too")
      ->check(CLI::IsMember({"one-barrier", "strict"}))
      ->type_name("D");
  app.add_option("--tcb-grace", typed.tcb_grace,
                 "running (default): the machine may be taken back to its TCB of before, and still "
                 "opens the store; or over")
      ->check(CLI::IsMember({"running", "over"}))
      ->type_name("G");
  app.add_option("--export-openhcl-key", typed.export_openhcl_key,
                 "Serve nobody: put a HW_KEY_PROTECTOR for this vm-configuration (JSON) into the "
                 "store")
      ->type_name("FILE");
  app.add_option("--nbd", typed.variables,
                 "Socket of the VM's UEFI variables: a block export that firmware uses as its "
                 "variable flash")
      ->type_name("SOCKET");
  app.add_option("--variables-from", typed.variables_image,
                 "What the UEFI variables begin with, where the store has none: a firmware's "
                 "OVMF_VARS.fd (default: a blank flash)")
      ->type_name("FILE");
  app.add_option("--variables-size", typed.variables_bytes,
                 "Size of a blank flash (default 540672, for OVMF of 4 MB; 131072 for 2 MB)")
      ->type_name("BYTES");
  app.add_option("--home", typed.home, "host (default), or paravisor: no TPM state leaves")
      ->check(CLI::IsMember({"host", "paravisor"}))
      ->type_name("HOME");
}

tl::unexpected<base::Error> usage(std::string sentence) {
  return base::fail(ErrorCode::kInvalidArgument, std::move(sentence));
}

// As it lies: one changed letter would make another key.
base::Result<std::string> read_vm_configuration(const std::string& path) {
  constexpr std::size_t kMostBytes = 64 * 1024;
  std::ifstream file(path, std::ios::binary);
  std::string content(kMostBytes + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(file.gcount()));
  if (!file.is_open() || file.bad() || content.empty() || content.size() > kMostBytes) {
    return base::fail(ErrorCode::kNotFound, path + ": no vm-configuration can be read");
  }
  return content;
}

base::Result<base::Bytes> read_launch_document(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  // One byte more than there can be, so that what is too long is seen to be.
  std::string content(keybroker::protocol::kMaxLaunchDocumentBytes + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file.is_open() || file.bad() || file.gcount() == 0) {
    return base::fail(ErrorCode::kNotFound, path + ": no launch document can be read");
  }
  content.resize(static_cast<std::size_t>(file.gcount()));
  return base::copy_of(base::bytes_of(content));
}

// systemd hands credentials over in a folder that it names, readable by an access list.
bool is_credential(const std::filesystem::path& file) {
  const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
  return folder != nullptr && file.parent_path() == std::filesystem::path(folder);
}

base::Result<void> read_variables(const Typed& typed, InstanceSetup& setup) {
  if (typed.variables.empty()) {
    return typed.variables_image.empty() && typed.variables_bytes == 0
               ? base::Result<void>()
               : usage("--variables-from and --variables-size go with --nbd");
  }
  if (setup.home == Home::kParavisor) {
    return usage("in a paravisor UEFI variables do not leave for the hypervisor; leave --nbd out");
  }
  if (typed.variables_bytes != 0) {
    if (!typed.variables_image.empty()) {
      return usage("--variables-from has its own size; leave --variables-size out");
    }
    TRY(vmgs::format::expect_flash_size(typed.variables_bytes));
    setup.variables_bytes = typed.variables_bytes;
  }
  setup.variables.path = typed.variables;
  setup.variables_image = typed.variables_image;
  return {};
}

// A file may have any name; these words begin a key of swtpm's.
bool is_swtpm_key(std::string_view text) {
  constexpr std::array<std::string_view, 7> kWords = {
      "file=", "fd=", "pwdfile=", "pwdfd=", "mode=", "format=", "kdf="};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return text.starts_with(word); });
}

StateBlobForm state_blob_form_of(const Typed& typed) {
  const bool has_key = typed.state_blobs.empty() && !typed.migration_key.empty();
  return typed.state_blobs == "plain" || has_key ? StateBlobForm::kPlain
         : typed.state_blobs == "sealed"         ? StateBlobForm::kSealed
                                                 : StateBlobForm::kRefused;
}

base::Result<void> read_keys(const Typed& typed, InstanceSetup& setup) {
  if (is_swtpm_key(typed.key)) {
    TRY_ASSIGN(key, swtpm::read_key_option("key", typed.key));
    TRY_ASSIGN(root, swtpm::store_key_of(key));
    setup.given_key = std::make_shared<const vmgs::volume::DatastoreKey>(std::move(root));
  } else {
    setup.key_file = typed.key.empty() ? typed.vmgs + ".key" : typed.key;
    setup.key_file_kind = is_credential(setup.key_file) ? vtpm::sealing::KeyFileKind::kCredential
                                                        : vtpm::sealing::KeyFileKind::kFile;
  }
  if (typed.migration_key.empty()) {
    return {};
  }
  if (setup.state_blobs == StateBlobForm::kRefused) {
    return usage("--state-blobs refused leaves nothing for --migration-key to encrypt");
  }
  if (setup.state_blobs == StateBlobForm::kSealed) {
    return usage("state that is sealed to a ticket has no other key; leave --migration-key out");
  }
  TRY_ASSIGN(key, swtpm::read_key_option("migration-key", typed.migration_key));
  setup.migration_key = std::make_shared<const vmgs::format::SwtpmKey>(std::move(key));
  return {};
}

base::Result<void> read_migration(const Typed& typed, InstanceSetup& setup) {
  const bool sealed = setup.state_blobs == StateBlobForm::kSealed;
  if (sealed == typed.migration_ticket.empty()) {
    return usage("--state-blobs sealed and --migration-ticket FILE go together");
  }
  if (sealed && (setup.store.empty() || setup.home == Home::kParavisor)) {
    return usage("only a TPM that lies in a store of the host leaves sealed; give --vmgs");
  }
  if (typed.release_ticket && (!sealed || setup.incoming || setup.may_create)) {
    return usage("--release-ticket goes with --state-blobs sealed, without --incoming or --create");
  }
  if (setup.state_blobs == StateBlobForm::kRefused && setup.incoming) {
    return usage(
        "state that is refused cannot arrive: with --incoming say how it does, --state-blobs plain "
        "(as from swtpm), or sealed with --migration-ticket FILE");
  }
  setup.migration_ticket = typed.migration_ticket;
  setup.release_ticket = typed.release_ticket;
  return {};
}

base::Result<InstanceSetup> setup_of(const Typed& typed) {
  InstanceSetup setup;
  if (!typed.launch_document.empty()) {
    if (!typed.protection.empty() || !typed.lifetime.empty()) {
      return usage("--protection and --lifetime are what a launch document says; leave them out");
    }
    TRY_ASSIGN(document, read_launch_document(typed.launch_document));
    setup.launch_document = std::move(document);
  }
  if (!typed.lifetime.empty()) {
    TRY_ASSIGN(lifetime, keybroker::protocol::parse_lifetime(typed.lifetime));
    setup.lifetime = lifetime;
  }
  if (!typed.protection.empty()) {
    TRY_ASSIGN(protection, keybroker::protocol::parse_protection(typed.protection));
    setup.protection = protection;
  }
  if (setup.lifetime == Lifetime::kEphemeral) {
    if (!typed.vmgs.empty() || !typed.protection.empty()) {
      return usage("an ephemeral TPM is kept in memory only; leave --vmgs and --protection out");
    }
    setup.protection = Protection::kNone;
  }
  setup.store = typed.vmgs;
  setup.may_create = typed.create;
  setup.incoming = typed.incoming;
  setup.state_blobs = state_blob_form_of(typed);
  TRY(read_keys(typed, setup));
  setup.barriers = typed.durability == "strict" ? vmgs::volume::Barriers::kTwo
                                                : vmgs::volume::Barriers::kOneWhereSafe;
  setup.tcb_grace = typed.tcb_grace == "over" ? vtpm::sealing::TcbGrace::kOver
                                              : vtpm::sealing::TcbGrace::kRunning;
  setup.home = typed.home == "paravisor" ? Home::kParavisor : Home::kHost;
  if (setup.incoming && setup.home == Home::kParavisor) {
    return usage(
        "in a paravisor no TPM state arrives through the hypervisor; leave --incoming out");
  }
  TRY(read_migration(typed, setup));
  if (!typed.export_openhcl_key.empty()) {
    if (typed.create || typed.incoming || setup.home == Home::kParavisor) {
      return usage(
          "--export-openhcl-key is for a store that is there, and not for a paravisor; leave out "
          "--create, --incoming and --home");
    }
    TRY_ASSIGN(configuration, read_vm_configuration(typed.export_openhcl_key));
    setup.export_for_openhcl = std::move(configuration);
  }
  TRY(read_variables(typed, setup));
  if (typed.simulator_port && (setup.incoming || setup.home == Home::kParavisor)) {
    return usage("--mssim is for a TPM without a hypervisor; leave out --incoming and --home");
  }
  setup.simulator_port = typed.simulator_port;
  setup.control.path = typed.control;
  setup.data.path = typed.data;
  return setup;
}

}  // namespace

base::Result<CommandLine> read_command_line(const std::string& program, int argc,
                                            const char* const* argv) {
  CLI::App app("Runs the TPM of one VM, alone and in the foreground", program);
  app.set_version_flag("--version", program + " " STRONGROOM_VERSION);
  Typed typed;
  declare(app, typed);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    std::ostringstream text;
    app.exit(success, text, text);
    return CommandLine{.setup = {}, .text = text.str()};
  } catch (const CLI::ParseError& error) {
    return usage(std::string(error.what()) + "; see " + program + " --help");
  }
  TRY_ASSIGN(setup, setup_of(typed));
  return CommandLine{.setup = std::move(setup)};
}

}  // namespace tools::vtpm_instance
