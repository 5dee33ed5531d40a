// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/host_key.h"

#include <utility>

#include "vmgs/crypto/random.h"
#include "vmgs/storage/private_file.h"

namespace vtpm::sealing {

base::Result<DatastoreKey> read_host_key(const std::filesystem::path& file, KeyFileKind kind) {
  const auto others = kind == KeyFileKind::kCredential ? vmgs::storage::OtherReaders::kGroup
                                                       : vmgs::storage::OtherReaders::kNone;
  TRY_ASSIGN(content,
             vmgs::storage::read_private_file(file, others, vmgs::volume::kMostKeyFileBytes));
  auto key = vmgs::volume::parse_datastore_key(content.expose());
  if (!key) {
    return base::fail(std::move(key).error().context(file.string()));
  }
  return key;
}

base::Result<DatastoreKey> make_host_key(const std::filesystem::path& file) {
  TRY_ASSIGN(key, vmgs::crypto::random_secret<32>());
  TRY(vmgs::storage::create_private_file(file, key.expose()));
  return DatastoreKey{std::move(key)};
}

}  // namespace vtpm::sealing
