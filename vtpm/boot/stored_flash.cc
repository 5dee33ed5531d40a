// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "vmgs/format/file_id.h"
#include "vtpm/boot/state_store.h"

// The variable flash, which lies in the store of the TPM.
namespace vtpm::boot {

using vmgs::format::FileId;

base::Result<std::optional<base::SecretBytes>> StateStore::load_flash() {
  TRY(open_anew_after_failure());
  TRY(expect_open());
  if (!volume_->contains(FileId::kUefiFlash)) {
    return std::optional<base::SecretBytes>();
  }
  TRY_ASSIGN(image, volume_->read(FileId::kUefiFlash));
  return std::optional<base::SecretBytes>(std::move(image));
}

base::Result<void> StateStore::store_flash(base::ByteView image) {
  TRY(open_anew_after_failure());
  TRY(expect_owned());
  return settle(blobs_->store_flash(image));
}

}  // namespace vtpm::boot
