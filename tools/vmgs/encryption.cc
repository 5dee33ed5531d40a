// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <utility>

#include "tools/vmgs/change.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/protectors.h"
#include "tools/vmgs/store.h"
#include "vmgs/edit/scrub.h"
#include "vmgs/volume/headers.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

struct EncryptArguments {
  ChangeArguments change;
  std::string new_key;
};

struct DecryptArguments {
  ChangeArguments change;
  bool drop_protectors = false;
};

// What both ways came to.
struct Converted {
  std::size_t encrypted_files = 0;
  std::size_t files = 0;
  std::uint64_t scrubbed_blocks = 0;
};

base::Result<Converted> scrubbed(OpenStore& store) {
  Converted converted;
  for (const auto& file : store.volume.files()) {
    ++converted.files;
    converted.encrypted_files += file.encrypted ? 1U : 0U;
  }
  TRY_ASSIGN(blocks, ::vmgs::edit::scrub(*store.container.device, store.container.spacing));
  converted.scrubbed_blocks = blocks;
  return converted;
}

boost::json::object to_json(const Converted& converted) {
  return {{"files", converted.files},
          {"encrypted_files", converted.encrypted_files},
          {"scrubbed_blocks", converted.scrubbed_blocks}};
}

std::string blocks_text(const Converted& converted) {
  return "what was replaced is overwritten, with the free blocks (" +
         std::to_string(converted.scrubbed_blocks) + ")\n";
}

// Whether a header is left of before the store was encrypted.
base::Result<bool> leads_to_plaintext(const OpenStore& store) {
  TRY_ASSIGN(slots, volume::read_header_slots(*store.container.device, store.container.spacing));
  return std::ranges::any_of(
      slots, [](const auto& slot) { return slot.header && !slot.header->encrypted; });
}

// Once more, where an earlier run was cut off: what it has left to do.
base::Result<void> finish_encrypting(OpenStore& store, volume::DatastoreKey key) {
  if (const auto opened = store.volume.unlock(volume::fixed_key(std::move(key))); !opened) {
    return opened.error().code == base::ErrorCode::kAuthentication
               ? base::fail(base::ErrorCode::kDenied,
                            "the store is encrypted already, under another key than the new one: "
                            "`vmgs rekey` changes its key")
               : base::fail(opened.error());
  }
  TRY_ASSIGN(in_plaintext, leads_to_plaintext(store));
  return in_plaintext ? store.volume.commit(
                            volume::Transaction(volume::Sequence::kKeep, volume::Barriers::kTwo))
                      : base::Result<void>();
}

base::Result<cli::ExitStatus> encrypt(const EncryptArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(key, read_store_key(arguments.new_key));
  Converted converted;
  TRY_ASSIGN(changed,
             change_store(arguments.change, output, [&](OpenStore& store) -> base::Result<void> {
               TRY(store.volume.locked() ? finish_encrypting(store, std::move(key))
                                         : store.volume.encrypt(std::move(key)));
               TRY_ASSIGN(done, scrubbed(store));
               converted = done;
               return {};
             }));
  if (changed.undo_file) {
    output.talk(*changed.undo_file +
                " holds the plaintext: delete it, securely, when you are sure of the key");
  }
  TRY(answer_change(
      output, arguments.change, "strongroom.vmgs.encrypt/1", to_json(converted), changed,
      std::to_string(converted.encrypted_files) + " of " + std::to_string(converted.files) +
          " files are encrypted, the others are plaintext by their role; " +
          blocks_text(converted)));
  return cli::ExitStatus::kDone;
}

base::Result<void> decrypt_store(OpenStore& store, bool drop) {
  TRY_ASSIGN(protectors, protectors_to_drop(store, drop));
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  for (const auto id : protectors) {
    transaction.remove(id);
  }
  return store.volume.decrypt(transaction);
}

base::Result<cli::ExitStatus> decrypt(const DecryptArguments& arguments, cli::Output& output) {
  Converted converted;
  TRY_ASSIGN(changed,
             change_store(arguments.change, output, [&](OpenStore& store) -> base::Result<void> {
               TRY(decrypt_store(store, arguments.drop_protectors));
               TRY_ASSIGN(done, scrubbed(store));
               converted = done;
               return {};
             }));
  TRY(answer_change(output, arguments.change, "strongroom.vmgs.decrypt/1", to_json(converted),
                    changed,
                    "all " + std::to_string(converted.files) + " files are plaintext; " +
                        blocks_text(converted)));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command encrypt_command() {
  return {.name = "encrypt",
          .summary =
              "Encrypt a plaintext store and every file in it; once more, with the same key, "
              "finishes what was cut off",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<EncryptArguments>();
            add_change_arguments(app, arguments->change, Writing::kOnApply);
            app.add_option("--new-key", arguments->new_key,
                           "The datastore key that is to open it, as --key")
                ->type_name("FROM")
                ->required();
            return [arguments](cli::Output& output) { return encrypt(*arguments, output); };
          }};
}

cli::Command decrypt_command() {
  return {.name = "decrypt",
          .summary = "Make an encrypted store and every file in it plaintext",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<DecryptArguments>();
            add_change_arguments(app, arguments->change, Writing::kOnApply);
            app.add_flag("--drop-protectors", arguments->drop_protectors,
                         "Remove the protectors (files 6, 11, 48) that open the store for a VM");
            return [arguments](cli::Output& output) { return decrypt(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
