// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/state_blob_codec.h"

#include <utility>

#include "vmgs/format/swtpm_blob.h"

namespace tools::vtpm_instance {

using transport::tpm_socket::OutgoingStateBlob;
using transport::tpm_socket::StateBlob;
using vmgs::format::SwtpmKey;
using vmgs::format::SwtpmKeys;
using vmgs::format::SwtpmTravel;

namespace {

const SwtpmKey* pointer_to(const std::optional<SwtpmKey>& key) { return key ? &*key : nullptr; }

}  // namespace

base::Result<OutgoingStateBlob> SwtpmStateBlobs::wrap(StateBlob, base::ByteView state,
                                                      bool file_key_off) {
  const SwtpmKeys keys{pointer_to(file_key_), pointer_to(migration_key_)};
  TRY_ASSIGN(bytes, vmgs::format::seal_swtpm_travel(
                        state, keys,
                        file_key_off ? SwtpmTravel::kFileKeyTakenOff : SwtpmTravel::kUnderFileKey));
  return OutgoingStateBlob{std::move(bytes), file_key_.has_value() && !file_key_off};
}

base::Result<base::SecretBytes> SwtpmStateBlobs::unwrap(StateBlob, base::ByteView blob,
                                                        bool under_file_key) {
  const SwtpmKeys keys{pointer_to(file_key_), pointer_to(migration_key_)};
  TRY_ASSIGN(opened, vmgs::format::open_swtpm_blob(blob, keys, under_file_key));
  return std::move(opened.state);
}

transport::tpm_socket::KeysInUse SwtpmStateBlobs::keys_in_use() const {
  return {.file = file_key_.has_value(), .migration = migration_key_.has_value()};
}

}  // namespace tools::vtpm_instance
