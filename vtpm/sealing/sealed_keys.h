// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/volume/datastore_key.h"
#include "vtpm/tee/tee.h"

namespace vtpm::sealing {

using vmgs::volume::DatastoreKey;

// seal() gives the bytes of SEALED_KEYS with `key`, the root key of a store, sealed to this VM on
// this machine: to its measurement, policy and committed TCB (TDX: the SVN of now), and to the
// launch digest of its own report. One entry. Errors are those of Tee.
base::Result<base::Bytes> seal(const DatastoreKey& key, tee::Tee& tee,
                               const vmgs::format::VmId& vm_id);

// Unsealed is a root key and what the file that held it was sealed for.
struct Unsealed {
  DatastoreKey key;
  std::vector<tee::Svn> svns;  // of all entries, newest first
  std::size_t opened = 0;      // the entry that opened, an index into svns
};

// unseal() opens SEALED_KEYS with the first entry that this VM on this machine can open.
//   kCorrupt: the bytes are no SEALED_KEYS.
//   kDenied: the entries are for another machine, image, VM or TCB. The message says for each what
//   is stored, what the machine has, which of them differ, and what would open it.
//   kAuthentication: all that is recorded fits and an entry still does not open: it was altered, or
//   what is not recorded (chip, guest policy) differs.
//   Anything else is an error of the TEE and says nothing about the file.
base::Result<Unsealed> unseal(base::ByteView sealed_keys, tee::Tee& tee,
                              const vmgs::format::VmId& vm_id);

// A machine whose TCB moved on may be taken back by its operator for a while. In that grace period
// the root key is sealed twice, for the new TCB and for the one before.
enum class TcbGrace : std::uint8_t { kRunning, kOver };

// reseal() is seal() for a rotation of what unseal() opened: one entry for the committed TCB and,
// while the grace period is running, a second one for the newest TCB among `opened` that differs.
base::Result<base::Bytes> reseal(const DatastoreKey& key, tee::Tee& tee,
                                 const vmgs::format::VmId& vm_id, const Unsealed& opened,
                                 TcbGrace grace);

// prove() derives every key of `sealed_keys` afresh, opens every entry in memory and compares the
// result with `key` in constant time. A file that has not passed is never committed.
// kAuthentication if an entry holds another key, else the errors of unseal().
base::Result<void> prove(base::ByteView sealed_keys, tee::Tee& tee, const vmgs::format::VmId& vm_id,
                         const DatastoreKey& key);

}  // namespace vtpm::sealing
