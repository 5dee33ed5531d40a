// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/root_key.h"

#include <memory>

#include "vmgs/crypto/random.h"

namespace vtpm::sealing {

KeySource IngressKey::source() && {
  // std::function wants a copyable target, and it may be asked twice.
  auto held = std::make_shared<const base::Secret<32>>(std::move(bytes_));
  return ingress_source([held](const ProtectorReader&) {
    return base::Result<IngressKey>(IngressKey(base::Secret<32>::copy_of(held->expose())));
  });
}

KeySource ingress_source(IngressKeyFinder find) {
  return [find = std::move(find)](const ProtectorReader& read) -> base::Result<DatastoreKey> {
    TRY_ASSIGN(found, find(read));
    if (found.bytes_.is_all_zero()) {
      return base::fail(base::ErrorCode::kCorrupt, "the root key that was found is all zero");
    }
    return DatastoreKey{std::move(found.bytes_)};
  };
}

base::Result<EgressKey> EgressKey::draw() {
  TRY_ASSIGN(bytes, vmgs::crypto::random_secret<32>());
  return EgressKey(DatastoreKey{std::move(bytes)});
}

}  // namespace vtpm::sealing
