// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/key_protector.h"
#include "vtpm/sealing/root_key.h"

namespace vtpm::sealing {

// VmKey is the key of one VM that the key broker made and releases to evidence. It wraps root keys
// in KEY_PROTECTOR and nothing else.
struct VmKey {
  base::Secret<32> bytes;
};

// wrap_dek() gives the bytes of KEY_PROTECTOR with `root_key` wrapped under the VM's key, in the
// slot that follows the ingress slot of `previous`, whose active index is moved on. All else is
// cleared: nothing of the key before remains. For a store without the file, `previous` is empty.
base::Result<base::Bytes> wrap_dek(const EgressKey& root_key, const VmKey& vm_key,
                                   const vmgs::format::KeyProtector& previous);

// unwrap_dek() opens a KEY_PROTECTOR that wrap_dek() made: the ingress slot, or the egress slot if
// that does not open. kCorrupt if the bytes are none, or hold what only other makers write (host
// seeds, RSA wrappings); kNotFound if both slots are empty; kAuthentication if no slot was wrapped
// under this key.
base::Result<IngressKey> unwrap_dek(base::ByteView key_protector, const VmKey& vm_key);

// prove_dek() opens `key_protector` as the next start will and compares in constant time. A file
// that has not passed is never committed. kAuthentication if it holds another key, else the errors
// of unwrap_dek().
base::Result<void> prove_dek(base::ByteView key_protector, const VmKey& vm_key,
                             const EgressKey& root_key);

// dek_source() is unwrap_dek() of each generation's own KEY_PROTECTOR, for Volume::unlock().
KeySource dek_source(VmKey vm_key);

}  // namespace vtpm::sealing
