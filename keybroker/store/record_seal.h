// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "keybroker/store/vm_record.h"
#include "vmgs/base/secret.h"

namespace keybroker::store {

struct WorkloadKey;

// RecordSeal makes a row that decides who gets a key known as the broker's own: HMAC-SHA-256 over
// all in it that decides, under a key that is not in the database. Whoever can write the database
// can take such a row away or put back one that was there before, and can make none. Immutable.
class RecordSeal {
 public:
  // under() takes the broker's key for its records.
  static std::shared_ptr<const RecordSeal> under(base::Secret<32> key);

  // of() a VM's record is over its registration with all policies, its status, its version, its
  // launch before a conversion and when it was created. Epoch, anchor and restores move with each
  // boot and are not in it.
  [[nodiscard]] Sha256Digest of(const VmRecord& record) const;

  // of() a workload key is over its place, kind, policy, whether that may change, and the key as it
  // is sealed. Its content key is wrapped anew with the tenant's, and opens no other.
  [[nodiscard]] Sha256Digest of(const WorkloadKey& key) const;

  // of_request() tells requests apart, and tells nobody who has not the key what was in one.
  [[nodiscard]] Sha256Digest of_request(base::ByteView content) const;

 private:
  explicit RecordSeal(base::Secret<32> key) : key_(std::move(key)) {}

  base::Secret<32> key_;
};

// The word at the front of the error (kAuthentication) about a row that the broker did not write.
inline constexpr std::string_view kRecordsAltered = "records-altered";

}  // namespace keybroker::store
