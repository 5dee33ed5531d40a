// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/tenant_keys.h"

namespace keybroker::hsm {

base::Result<KekRecord> TenantKeys::make(const Uuid& tenant, std::string_view label) {
  if (tokens_->has(tenant)) {
    return tokens_->make(tenant, label);
  }
  return software_.make(tenant, label);
}

base::Result<KekRecord> TenantKeys::make_after(const KekRecord& present, std::string_view label) {
  if (present.provider == Provider::kToken) {
    return tokens_->make(present.tenant, label);
  }
  return make(present.tenant, label);
}

base::Result<base::Bytes> TenantKeys::wrap(const KekRecord& record, base::ByteView context,
                                           const base::Secret<32>& secret) {
  return keeper_of(record).wrap(record, context, secret);
}

base::Result<base::Secret<32>> TenantKeys::unwrap(const KekRecord& record, base::ByteView context,
                                                  base::ByteView wrapped) {
  return keeper_of(record).unwrap(record, context, wrapped);
}

KekStatus TenantKeys::status(const KekRecord& record) { return keeper_of(record).status(record); }

KeyEncryptionKeys& TenantKeys::keeper_of(const KekRecord& record) {
  if (record.provider == Provider::kToken) {
    return *tokens_;
  }
  // Which also refuses what nobody here has made.
  return software_;
}

}  // namespace keybroker::hsm
