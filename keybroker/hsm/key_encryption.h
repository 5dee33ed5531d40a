// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::hsm {

using protocol::Uuid;

// Who keeps a key-encryption key. The numbers are written to the record store.
enum class Provider : std::uint8_t {
  kSoftware = 1,  // the broker, encrypted at rest under its master key
  kToken = 2,     // a PKCS#11 token of the tenant; the key never leaves it
};

// KekRecord is what the record store keeps of one key-encryption key. None of it is secret. The
// tenant comes from whom the row belongs to, so that a record put into another tenant's row fails.
struct KekRecord {
  Uuid tenant{};
  Provider provider = Provider::kSoftware;
  std::uint8_t version = 0;  // the form of `content`
  base::Bytes content;       // software_record.h; for a token its RFC 7512 URI, in ASCII

  bool operator==(const KekRecord&) const = default;
};

// Whether a key-encryption key can be used now.
enum class KekState {
  kReady,
  kTokenAbsent,       // no module, no slot or no token answers to the tenant's URI
  kTokenLoginFailed,  // the PIN is missing, wrong or locked
  kKeyAbsent,  // whoever should hold the key is there and does not have it, or not as it must be
  kBusy,       // every session is in use, or the token says so
};

// name() is the state as a stable lower-case word: ready, token-absent, token-login-failed,
// key-absent, busy.
std::string_view name(KekState state);

// What status() finds: the state, a sentence on what is the matter and one on what to do about it.
// Both are empty when ready. Neither holds a PIN or key material.
struct KekStatus {
  KekState state = KekState::kReady;
  std::string finding;
  std::string remedy;
};

// KeyEncryptionKeys wraps the VM keys of tenants under a key of that tenant. `context` says what
// the secret is for (vm_id and key version); it is authenticated and must be the same at unwrap,
// so that the wrapped key of one VM does not open in another's row. Any thread.
//
// wrap() and unwrap() fail with kNotFound (key-absent), kUnavailable (the other states: the broker
// has trouble, the VM is not refused), kInvalidArgument for a record of a form or provider that is
// not known here, kCorrupt for bytes that are no record or no wrapped key, kDenied for a software
// record that is altered or another tenant's, and unwrap() with kAuthentication where the key does
// not open the bytes: another key, another context, or altered bytes.
class KeyEncryptionKeys {
 public:
  virtual ~KeyEncryptionKeys() = default;

  // make() makes a new key of `tenant`. `label` is its name in a token, where people see it: 1 to
  // 64 printable ASCII characters.
  virtual base::Result<KekRecord> make(const Uuid& tenant, std::string_view label) = 0;

  // wrap() gives bytes as wrapped_key.h has them.
  virtual base::Result<base::Bytes> wrap(const KekRecord& record, base::ByteView context,
                                         const base::Secret<32>& secret) = 0;

  virtual base::Result<base::Secret<32>> unwrap(const KekRecord& record, base::ByteView context,
                                                base::ByteView wrapped) = 0;

  // status() tries whether the key is there and may be used. It may take as long as the token.
  virtual KekStatus status(const KekRecord& record) = 0;
};

// check_label() is the rule for labels. kInvalidArgument.
base::Result<void> check_label(std::string_view label);

}  // namespace keybroker::hsm
