// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

#include "keybroker/hsm/key_encryption.h"

namespace keybroker::hsm {

// CappedKeys is the keys of a broker as some of its threads use them, so many of whom at most are
// in one tenant's token at a time: one more is sent away (busy). No call of PKCS #11 has a
// deadline, and a token that hangs must not keep all threads that serve a kind of callers. Keys in
// software are not counted. Any thread.
class CappedKeys final : public KeyEncryptionKeys {
 public:
  // `keys` outlive it.
  CappedKeys(KeyEncryptionKeys& keys, std::size_t most_callers)
      : keys_(keys), most_callers_(most_callers) {}

  base::Result<KekRecord> make(const Uuid& tenant, std::string_view label) override;
  base::Result<base::Bytes> wrap(const KekRecord& record, base::ByteView context,
                                 const base::Secret<32>& secret) override;
  base::Result<base::Secret<32>> unwrap(const KekRecord& record, base::ByteView context,
                                        base::ByteView wrapped) override;
  KekStatus status(const KekRecord& record) override;

 private:
  class Caller;

  KeyEncryptionKeys& keys_;
  const std::size_t most_callers_;
  std::mutex mutex_;
  std::map<Uuid, std::size_t> callers_;
};

}  // namespace keybroker::hsm
