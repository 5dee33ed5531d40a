// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/credential.h"

#include <openssl/hmac.h>

#include <array>
#include <string_view>

#include "keybroker/crypto/oaep.h"
#include "keybroker/crypto/openssl.h"
#include "vmgs/base/cursor.h"
#include "vmgs/base/secret.h"
#include "vmgs/crypto/kdf.h"
#include "vmgs/crypto/random.h"

namespace keybroker::crypto {

namespace {

using openssl::ClearedErrors;
using openssl::in;

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, openssl::Freed<EVP_CIPHER_CTX_free>>;

constexpr std::size_t kDigestBytes = 32;  // nameAlg of the EK
constexpr std::size_t kSymmetricBytes = 16;

auto unavailable(const std::string& what) {
  return base::fail(base::ErrorCode::kUnavailable, what + ": " + ClearedErrors::last());
}

// The seed travels under RSAES-OAEP with the EK's nameAlg and the label "IDENTITY", its terminating
// zero included (Part 1, B.4 and 24.4).
base::Result<base::Bytes> wrap_seed(const PublicKey& ek, const base::Secret<kDigestBytes>& seed) {
  constexpr std::string_view kLabel{"IDENTITY\0", 9};
  return encrypt_oaep(ek, Hash::kSha256, base::bytes_of(kLabel), seed.expose());
}

// AES-128-CFB with a zero IV, as the key is used once.
base::Result<base::Bytes> encrypt_cfb(const base::Secret<kSymmetricBytes>& key,
                                      std::span<const std::byte> plain) {
  const std::array<unsigned char, 16> zero{};
  const CipherContext context(EVP_CIPHER_CTX_new());
  base::Bytes out(plain.size());
  int size = 0;
  if (!context ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_128_cfb128(), nullptr, in(key.expose()),
                         zero.data()) != 1 ||
      EVP_EncryptUpdate(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                        in(plain), static_cast<int>(plain.size())) != 1 ||
      static_cast<std::size_t>(size) != plain.size()) {
    return unavailable("cannot encrypt a credential");
  }
  return out;
}

base::Bytes hmac(const base::Secret<kDigestBytes>& key, base::ByteView message) {
  base::Bytes mac(kDigestBytes);
  unsigned size = 0;
  HMAC(EVP_sha256(), key.expose().data(), static_cast<int>(kDigestBytes), in(message),
       message.size(), reinterpret_cast<unsigned char*>(mac.data()), &size);
  return mac;
}

// TPM2B_DIGEST: the secret with its size in front.
base::SecretBytes sized(std::span<const std::byte> secret) {
  base::SecretBytes out(2 + secret.size());
  auto bytes = out.fill();
  bytes[0] = std::byte{0};
  bytes[1] = static_cast<std::byte>(secret.size());
  std::copy(secret.begin(), secret.end(), bytes.begin() + 2);
  return out;
}

}  // namespace

base::Result<Credential> make_credential(const PublicKey& ek, base::ByteView object_name,
                                         std::span<const std::byte> secret) {
  const ClearedErrors errors;
  if (!ek.is_rsa() || secret.empty() || secret.size() > kDigestBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a credential is 1 to 32 bytes for an RSA endorsement key");
  }
  TRY_ASSIGN(seed, vmgs::crypto::random_secret<kDigestBytes>());
  TRY_ASSIGN(wrapped, wrap_seed(ek, seed));
  // Part 1, 24.4 and 24.5. KDFa (11.4.10.2) is KBKDF with the label's zero as its separator.
  TRY_ASSIGN(symmetric, vmgs::crypto::derive<kSymmetricBytes>(
                            seed.expose(), base::bytes_of("STORAGE"), object_name));
  TRY_ASSIGN(integrity,
             vmgs::crypto::derive<kDigestBytes>(seed.expose(), base::bytes_of("INTEGRITY"), {}));
  TRY_ASSIGN(identity, encrypt_cfb(symmetric, sized(secret).expose()));
  base::Bytes covered = identity;
  covered.insert(covered.end(), object_name.begin(), object_name.end());
  base::Writer id_object;
  id_object.u16_be(kDigestBytes);
  id_object.bytes(hmac(integrity, covered));
  id_object.bytes(identity);
  return Credential{std::move(id_object).take(), std::move(wrapped)};
}

}  // namespace keybroker::crypto
