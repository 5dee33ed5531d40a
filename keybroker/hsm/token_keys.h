// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "keybroker/hsm/key_encryption.h"

namespace keybroker::hsm {

class Token;

// PinReader reads the file of a pin-source, at each login. A program gives vmgs/storage's
// read_private_file(), which refuses files that others may read. Any thread.
using PinReader = std::function<base::Result<base::SecretBytes>(const std::filesystem::path&)>;

inline constexpr std::size_t kMostPinBytes = 255;

struct TokenOptions {
  std::filesystem::path module;  // for URIs without module-path; may be empty
  PinReader read_pin;
  std::size_t most_sessions = 16;  // a token
  // Callers of a token at once, in work and waiting; one more is sent away. No call of PKCS #11 has
  // a deadline, and a token that hangs keeps its callers' threads: fewer than a program has.
  std::size_t most_callers = 64;
  std::chrono::milliseconds busy_after{2000};        // how long a caller waits for a session
  std::chrono::milliseconds rescan_interval{30000};  // between two looks for tokens in one module
};

// TokenKeys keeps the key-encryption keys of each tenant in that tenant's PKCS#11 token. VM keys
// are encrypted and decrypted inside the token by CKM_AES_GCM with the context as additional data,
// and not by C_WrapKey: the wrapping mechanisms have no additional data to bind a VM with, and an
// unwrapped key would be an object that the broker must then be able to export. The keys are
// CKA_SENSITIVE, not CKA_EXTRACTABLE and can only encrypt and decrypt; a key that could be exported
// is not used (key-absent). Every unwrapping is done in the token.
//
// One of these for each module in a process. Its destructor logs out; no call may be running.
class TokenKeys final : public KeyEncryptionKeys {
 public:
  // create() takes each tenant's token as an RFC 7512 URI: `token` or `serial` (or both), a
  // `pin-source` file, and `module-path` unless `options` has a module. It reads the URIs and does
  // not look for the tokens, which may be away. kInvalidArgument for a URI with a pin-value, and
  // for two tenants with one URI; two URIs for one token are found when it is used
  // (token-login-failed).
  static base::Result<std::unique_ptr<TokenKeys>> create(const std::map<Uuid, std::string>& tokens,
                                                         TokenOptions options);

  ~TokenKeys() override;

  // has() tells whether the tenant has a token.
  [[nodiscard]] bool has(const Uuid& tenant) const;

  base::Result<KekRecord> make(const Uuid& tenant, std::string_view label) override;
  base::Result<base::Bytes> wrap(const KekRecord& record, base::ByteView context,
                                 const base::Secret<32>& secret) override;
  base::Result<base::Secret<32>> unwrap(const KekRecord& record, base::ByteView context,
                                        base::ByteView wrapped) override;
  KekStatus status(const KekRecord& record) override;

 private:
  explicit TokenKeys(std::map<Uuid, std::unique_ptr<Token>> tokens);

  [[nodiscard]] base::Result<Token*> token_of(const KekRecord& record) const;

  std::map<Uuid, std::unique_ptr<Token>> tokens_;
};

inline constexpr std::uint8_t kTokenRecordVersion = 1;

}  // namespace keybroker::hsm
