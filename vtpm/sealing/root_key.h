// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/volume/datastore_key.h"

namespace vtpm::sealing {

using vmgs::volume::DatastoreKey;
using vmgs::volume::KeySource;
using vmgs::volume::ProtectorReader;

// A root key goes one of two ways, and these two types keep them apart. What lay in a plaintext
// file may have been put there by the host, which then knows it: it may open a store, and nothing
// may be sealed under it.

// IngressKey is a root key that was found. It becomes the source of an unlock and nothing else:
// neither Volume::rekey() nor wrap_dek() nor seal() takes it.
class IngressKey {
 public:
  explicit IngressKey(base::Secret<32> bytes) : bytes_(std::move(bytes)) {}

  // source() is what Volume::unlock() takes. It gives up the key.
  [[nodiscard]] KeySource source() &&;

 private:
  friend KeySource ingress_source(
      std::function<base::Result<IngressKey>(const ProtectorReader&)> find);

  base::Secret<32> bytes_;
};

// IngressKeyFinder finds the root key of one generation in its protectors.
using IngressKeyFinder = std::function<base::Result<IngressKey>(const ProtectorReader&)>;

// ingress_source() is what Volume::unlock() takes, by way of a finder. It fails with kCorrupt for a
// key of zeros, which no store has.
KeySource ingress_source(IngressKeyFinder find);

// EgressKey is the root key that a store gets next. There is one way to come by it: fresh random
// bytes that nobody outside has seen.
class EgressKey {
 public:
  // draw() makes one. kUnavailable if the kernel gives no random bytes.
  static base::Result<EgressKey> draw();

  // datastore_key() is a copy for Volume::rekey(), Volume::format() and seal().
  [[nodiscard]] DatastoreKey datastore_key() const { return key_.clone(); }

  [[nodiscard]] const base::Secret<32>& bytes() const { return key_.bytes; }

 private:
  explicit EgressKey(DatastoreKey key) : key_(std::move(key)) {}

  DatastoreKey key_;
};

}  // namespace vtpm::sealing
