// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "keybroker/hsm/key_encryption.h"
#include "keybroker/hsm/software_keys.h"
#include "keybroker/hsm/token_keys.h"

namespace keybroker::hsm {

// TenantKeys is all key-encryption keys of a broker: new ones are made in the tenant's token if it
// has one, and else in software; a record goes to whoever made it. A tenant that moves to a token
// keeps using its older records until its VM keys are wrapped anew. None moves back: where the
// configuration has lost a tenant's token, its keys are token-absent and no other is made.
class TenantKeys final : public KeyEncryptionKeys {
 public:
  // `tokens` is not null: a broker without any has none in it.
  TenantKeys(SoftwareKeys software, std::unique_ptr<TokenKeys> tokens)
      : software_(std::move(software)), tokens_(std::move(tokens)) {}

  base::Result<KekRecord> make(const Uuid& tenant, std::string_view label) override;

  // make_after() makes the key that follows `present`. kUnavailable (token-absent) if that one is
  // in a token and the configuration names none for the tenant.
  base::Result<KekRecord> make_after(const KekRecord& present, std::string_view label);

  base::Result<base::Bytes> wrap(const KekRecord& record, base::ByteView context,
                                 const base::Secret<32>& secret) override;
  base::Result<base::Secret<32>> unwrap(const KekRecord& record, base::ByteView context,
                                        base::ByteView wrapped) override;
  KekStatus status(const KekRecord& record) override;

  // software() is where records are carried over to a new master key.
  [[nodiscard]] const SoftwareKeys& software() const { return software_; }

 private:
  KeyEncryptionKeys& keeper_of(const KekRecord& record);

  SoftwareKeys software_;
  std::unique_ptr<TokenKeys> tokens_;
};

}  // namespace keybroker::hsm
