// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "tools/vmgs/vmgstool_commands.h"
#include "vmgs/edit/scrub.h"

namespace tools::vmgs::vmgstool {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

// Whoever calls this changes the protectors himself, as with the reference.
Outcome<void> update_key(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(new_key, read_key(arguments.new_key_path));
  TOOL_TRY_ASSIGN(undo_file,
                  change(arguments, Locked::kRefused, [&](OpenStore& store) -> Outcome<void> {
                    TOOL_TRY(store.volume.rekey(
                        std::move(new_key),
                        volume::Transaction(volume::Sequence::kKeep, volume::Barriers::kTwo)));
                    return {};
                  }));
  if (undo_file) {
    say("Warning: " + *undo_file +
        " still opens with the old key: delete it, securely, when you are sure of the new one");
  }
  return {};
}

Outcome<void> encrypt(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(key, read_key(arguments.key_path));
  auto without_key = arguments;  // the key is the one that it does not have yet
  without_key.key_path.clear();
  TOOL_TRY_ASSIGN(undo_file,
                  change(without_key, Locked::kRefused, [&](OpenStore& store) -> Outcome<void> {
                    TOOL_TRY(store.volume.encrypt(std::move(key)));
                    TOOL_TRY(::vmgs::edit::scrub(*store.container.device, store.container.spacing));
                    return {};
                  }));
  if (undo_file) {
    say("Warning: " + *undo_file +
        " holds the plaintext: delete it, securely, when you are sure of the key");
  }
  return {};
}

Outcome<void> query_encryption(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(store,
                  open(arguments.file_path, {}, storage::Access::kReadOnly, Locked::kAllowed));
  if (!store.volume.encrypted()) {
    TOOL_TRY(print(arguments.file_path + " is not encrypted\n"));
    return fail(Exit::kNotEncrypted, "the file is not encrypted");
  }
  TOOL_TRY(print(arguments.file_path + " is encrypted with AES GCM encryption algorithm\n"));
  if (store.volume.contains(format::FileId::kKeyProtector)) {
    return {};
  }
  if (store.volume.contains(format::FileId::kVmUniqueId)) {
    return fail(Exit::kGspById, "the file is encrypted by the id of the VM");
  }
  return fail(Exit::kGspUnknown, "the file is encrypted by a scheme that is not known");
}

}  // namespace tools::vmgs::vmgstool
