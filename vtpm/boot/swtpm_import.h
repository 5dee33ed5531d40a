// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/swtpm_blob.h"
#include "vtpm/boot/protector.h"
#include "vtpm/boot/store_settings.h"

namespace vtpm::boot {

// SwtpmFolder says where things lie in swtpm's state folder. Our store takes the name of its
// permanent state, so that neither program ever finds a folder without a TPM where the other has
// one: swtpm refuses our store, and does not make a new TPM beside it. What was swtpm's stays there
// under another name.
struct SwtpmFolder {
  std::filesystem::path path;

  [[nodiscard]] std::filesystem::path store() const { return path / "tpm2-00.permall"; }

  [[nodiscard]] std::filesystem::path volatile_state() const {
    return path / "tpm2-00.volatilestate";
  }

  [[nodiscard]] std::filesystem::path kept_permanent() const {
    return path / "tpm2-00.permall.swtpm";
  }

  [[nodiscard]] std::filesystem::path kept_volatile() const {
    return path / "tpm2-00.volatilestate.swtpm";
  }

  [[nodiscard]] std::filesystem::path lock() const { return path / ".lock"; }

  // The digest of the store as it was imported: as long as it has that, no guest has used it.
  [[nodiscard]] std::filesystem::path imported() const { return path / "tpm2-00.permall.imported"; }
};

// What swtpm has kept of a TPM, as libtpms wrote it.
struct SwtpmState {
  base::SecretBytes permanent;
  std::optional<base::SecretBytes> volatile_state;
  bool was_encrypted = false;
};

// Whose a file is that stands where a TPM's state should be.
enum class StateOwner { kNobody, kSwtpm, kOurs };

// owner_of() looks at the first bytes. kNobody if there is no such file or it is empty; kOurs for
// whatever does not begin as swtpm's files do, which is then for StateStore to judge. kIo.
base::Result<StateOwner> owner_of(const std::filesystem::path& file);

// read_swtpm_state() reads and opens what swtpm left. kNotFound if it left nothing; kAuthentication
// for a key that is missing, another or none that these files are under, and for files that are not
// encrypted though there is a key; kCorrupt, kDenied for a TPM 1.2 or a later version, kIo.
base::Result<SwtpmState> read_swtpm_state(const SwtpmFolder& folder,
                                          const vmgs::format::SwtpmKey* key);

// expect_starts() is kCorrupt for a state from which libtpms does not start a TPM. No Engine may
// live in this process.
base::Result<void> expect_starts(const SwtpmState& state);

// import_swtpm_state() puts it into a new store in place of swtpm's file, with the TPM's identity
// and all it has sealed. A crash leaves swtpm's files or the store, whole, and what it left half is
// removed the next time. The store belongs to whom swtpm's file does. Nobody may use the TPM
// meanwhile. Errors of StateStore::create(); kIo.
base::Result<void> import_swtpm_state(const SwtpmFolder& folder, const SwtpmState& state,
                                      StoreSettings settings, Protector& protector);

// undo_import() puts swtpm's files back in place of the store. kNotFound where nothing was
// imported; kDenied once the TPM was used, as what it has sealed since would be lost.
base::Result<void> undo_import(const SwtpmFolder& folder);

}  // namespace vtpm::boot
