// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "keybroker/hsm/key_encryption.h"

namespace keybroker::hsm {

// MasterKey is a key of the broker under which software keys lie in the record store. Whoever has
// it and the store has every VM key in it: it is read from a file that is closed to others
// (vmgs/storage's read_private_file), or a systemd credential, and never kept beside the store.
struct MasterKey {
  std::uint8_t version = 0;  // 1 to 255; the highest is the one that new records use
  base::Secret<32> bytes;
};

// SoftwareKeys keeps a random key-encryption key for each tenant, encrypted in its record. The
// default; a tenant who does not trust the broker's host with the key brings a token.
class SoftwareKeys final : public KeyEncryptionKeys {
 public:
  // create() takes every master key under which a record may still lie. kInvalidArgument for none,
  // version 0, a version twice, or a key of zeros.
  static base::Result<SoftwareKeys> create(std::vector<MasterKey> master_keys);

  base::Result<KekRecord> make(const Uuid& tenant, std::string_view label) override;
  base::Result<base::Bytes> wrap(const KekRecord& record, base::ByteView context,
                                 const base::Secret<32>& secret) override;
  base::Result<base::Secret<32>> unwrap(const KekRecord& record, base::ByteView context,
                                        base::ByteView wrapped) override;
  KekStatus status(const KekRecord& record) override;

  // renewed() is the same key under the newest master key, or the record as it is if it lies there
  // already. What the key wraps stays as it is. Once every record is renewed and stored, the older
  // master keys can go.
  base::Result<KekRecord> renewed(const KekRecord& record) const;

 private:
  using Keys = std::map<std::uint8_t, base::Secret<32>>;

  explicit SoftwareKeys(Keys keys) : master_keys_(std::move(keys)) {}

  [[nodiscard]] base::Result<base::Secret<32>> open_record(const KekRecord& record) const;
  [[nodiscard]] base::Result<KekRecord> seal_record(const Uuid& tenant,
                                                    const base::Secret<32>& key) const;

  Keys master_keys_;
};

}  // namespace keybroker::hsm
