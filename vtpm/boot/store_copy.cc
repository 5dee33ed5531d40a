// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/store_copy.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "vmgs/format/file_id.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/volume.h"

namespace vtpm::boot {

namespace {

using base::ErrorCode;
using vmgs::format::FileId;
using vmgs::storage::Container;
using vmgs::storage::ContainerKind;
using vmgs::volume::Sequence;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;

struct File {
  FileId id;
  base::SecretBytes content;
  vmgs::volume::Protection protection;
};

base::Result<void> expect_tpm_of(const Volume& volume, const vmgs::format::VmId& vm_id) {
  if (!volume.contains(FileId::kTpmNvram)) {
    return base::fail(ErrorCode::kNotFound, "the store holds no TPM state");
  }
  TRY_ASSIGN(content, volume.read(FileId::kTpmNvram));
  const auto state = vmgs::format::decode_tpm_state(content.expose());
  if (!state) {
    return base::fail(base::Error(state.error()).context(describe(FileId::kTpmNvram)));
  }
  if (state->vm_id != vm_id) {
    return base::fail(ErrorCode::kDenied, "the store has the TPM of VM " + to_string(state->vm_id) +
                                              ", and this is VM " + to_string(vm_id));
  }
  return {};
}

base::Result<Volume> open_first(const Container& container, const StoreSettings& from,
                                Protector& opener) {
  if (container.kind == ContainerKind::kBlockDevice) {
    return base::fail(ErrorCode::kDenied,
                      from.path.string() +
                          " is a block device, and there is no place beside it for the store under "
                          "the new protection. Move the store into a file");
  }
  TRY_ASSIGN(volume, Volume::open(*container.device, container.spacing));
  TRY(opener.expect_fits(volume));
  TRY(opener.unlock(volume));
  if (volume.edited_without_key()) {
    return base::fail(ErrorCode::kDenied,
                      "the store was changed without its key, and no start would serve it: look at "
                      "it with `vmgs check`");
  }
  TRY(expect_tpm_of(volume, *from.vm_id));
  return volume;
}

// What is of the state, and not of the store that it lies in.
bool goes_along(FileId id) {
  return vmgs::format::is_content(id) && !vmgs::format::holds_protector(id) &&
         id != FileId::kRecord;
}

base::Result<std::vector<File>> state_in(const Volume& volume) {
  std::vector<File> files;
  for (const auto& status : volume.files()) {
    if (!goes_along(status.id)) {
      continue;
    }
    auto content = volume.read(status.id);
    if (!content) {
      return base::fail(std::move(content).error().context(describe(status.id)));
    }
    const bool plaintext =
        vmgs::format::is_plaintext_by_role(status.id) || (volume.encrypted() && !status.encrypted);
    files.push_back(
        {status.id, *std::move(content),
         plaintext ? vmgs::volume::Protection::kPlaintext : vmgs::volume::Protection::kAsStore});
  }
  return files;
}

// A store that fits its protection and does not give back what went into it is not made.
base::Result<void> prove(const Container& made, Protector& keeper, const std::vector<File>& files) {
  TRY_ASSIGN(volume, Volume::open(*made.device, made.spacing));
  TRY(keeper.expect_fits(volume));
  if (volume.encrypted()) {
    TRY(keeper.unlock(volume));
  }
  TRY_ASSIGN(found, state_in(volume));
  const bool same = std::ranges::equal(found, files, [](const File& a, const File& b) {
    return a.id == b.id && std::ranges::equal(a.content.expose(), b.content.expose());
  });
  if (!same) {
    return base::fail(ErrorCode::kIo,
                      "the copy of the store does not read as it was written: look at the disk");
  }
  return {};
}

base::Result<void> fill(const Container& made, Protector& keeper, Sequence sequence,
                        const std::vector<File>& files) {
  TRY_ASSIGN(beginning, keeper.make());
  Transaction first(sequence);
  for (const auto& file : files) {
    first.put(file.id, file.content.expose(), file.protection);
  }
  if (beginning.sealed_keys) {
    first.put(FileId::kSealedKeys, *beginning.sealed_keys, vmgs::volume::Protection::kPlaintext);
  }
  if (beginning.key_protector) {
    first.put(FileId::kKeyProtector, *beginning.key_protector,
              vmgs::volume::Protection::kPlaintext);
  }
  TRY(Volume::format(*made.device, made.spacing, std::move(beginning.key), first));
  return prove(made, keeper, files);
}

}  // namespace

base::Result<void> copy_store(const StoreSettings& from, Protector& opener,
                              const std::filesystem::path& to, Protector& keeper) {
  TRY_ASSIGN(container, vmgs::storage::open_container(from.path, {.spacing = from.spacing}));
  TRY_ASSIGN(volume, open_first(container, from, opener));
  TRY_ASSIGN(files, state_in(volume));
  // Of plaintext nobody can say where it comes from.
  const bool has_history = volume.encrypted() && !volume.edited();

  auto temporary = to;
  temporary += ".creating";
  TRY_ASSIGN(made, vmgs::storage::create_container(temporary,
                                                   {.kind = container.kind,
                                                    .store_bytes = container.device->size_bytes(),
                                                    .spacing = container.spacing}));
  auto done = fill(made, keeper, has_history ? Sequence::kAdvance : Sequence::kEdit, files);
  if (done) {
    done = made.file->publish_as(to);
  }
  if (!done) {
    ::unlink(temporary.c_str());
  }
  return done;
}

}  // namespace vtpm::boot
