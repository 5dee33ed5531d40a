// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/rsa_aes_wrap.h"

#include <string>

#include "keybroker/crypto/oaep.h"
#include "vmgs/crypto/key_wrap.h"
#include "vmgs/crypto/random.h"

namespace keybroker::crypto {

base::Result<base::Bytes> wrap_rsa_aes(const PublicKey& recipient, Hash hash,
                                       std::span<const std::byte> plaintext) {
  TRY_ASSIGN(aes_key, vmgs::crypto::random_secret<32>());
  TRY_ASSIGN(wrapped, encrypt_oaep(recipient, hash, {}, aes_key.expose()));
  TRY_ASSIGN(tail, vmgs::crypto::wrap_key(aes_key, plaintext));
  wrapped.insert(wrapped.end(), tail.begin(), tail.end());
  return wrapped;
}

base::Result<base::SecretBytes> unwrap_rsa_aes(const PrivateKey& key, Hash hash,
                                               base::ByteView wrapped) {
  const std::size_t head = (key.public_key().bits() + 7) / 8;
  if (wrapped.size() <= head) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "RSA-AES key wrap: " + std::to_string(wrapped.size()) +
                          " bytes are too few for a key wrapped to " + key.public_key().describe());
  }
  TRY_ASSIGN(aes_key, decrypt_oaep(key, hash, {}, wrapped.first(head)));
  if (aes_key.size() != 32) {
    return base::fail(
        base::ErrorCode::kCorrupt,
        "RSA-AES key wrap: its AES key has " + std::to_string(aes_key.size()) + " bytes, not 32");
  }
  return vmgs::crypto::unwrap_key(vmgs::crypto::KeyWrapKey::copy_of(aes_key.expose().first<32>()),
                                  wrapped.subspan(head));
}

}  // namespace keybroker::crypto
