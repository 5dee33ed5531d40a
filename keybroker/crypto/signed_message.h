// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/time.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// What the extended key usage of a certificate names whose key may sign messages (a UUID under
// 2.25, ITU-T X.667). An AK certificate under the same root does not have it and signs none.
inline constexpr std::string_view kMessageSigningOid =
    "2.25.337304448503400836437347033918038122504";

// Certificates of a chain, the root included.
inline constexpr std::size_t kLeastMessageChain = 2;
inline constexpr std::size_t kMostMessageChain = 4;

// SignedMessage is bytes that a pinned root vouches for. What is signed, by ECDSA P-384 with
// SHA-384, is
//
//   label || 00 || context || body
//
// where the label says what kind of message it is, and the context, a SHA-384 digest, what it
// answers; kinds that answer nothing have none. A label always goes with a context, or never.
struct SignedMessage {
  base::Bytes body;
  std::array<std::byte, 96> signature{};  // r and s, 48 bytes each
  std::vector<base::Bytes> chain;         // DER; the signer first, the root last

  friend bool operator==(const SignedMessage&, const SignedMessage&) = default;
};

// MessageSigner is a key that may sign messages, and the chain that says so. Copies share the key;
// any thread.
class MessageSigner {
 public:
  // create() checks that `key` is that of the first certificate and that the chain is one that
  // verify_signed_message() accepts, apart from pin and times. kInvalidArgument otherwise.
  static base::Result<MessageSigner> create(PrivateKey key, std::vector<base::Bytes> chain);

  // sign() makes a message. kInvalidArgument for an empty label, one that contains a zero byte, and
  // a context that is neither empty nor 48 bytes.
  [[nodiscard]] base::Result<SignedMessage> sign(std::string_view label, base::ByteView context,
                                                 base::ByteView body) const;

  // root() is the fingerprint to pin.
  [[nodiscard]] const Fingerprint& root() const { return root_; }

 private:
  MessageSigner(PrivateKey key, std::vector<base::Bytes> chain, const Fingerprint& root)
      : key_(std::move(key)), chain_(std::move(chain)), root_(root) {}

  PrivateKey key_;
  std::vector<base::Bytes> chain_;
  Fingerprint root_;
};

// verify_signed_message() gives the body, a view into `message`, if all of this holds: the chain
// has 2 to 4 certificates, each issued by the next, with the CA flags and path lengths that takes;
// the SHA-256 of the last is among `pinned_roots`; the first is of a P-384 key and no CA, has a key
// usage with digitalSignature, and kMessageSigningOid in its extended key usage; the signature is
// its key's, for this label and this context; and at `now` all certificates are valid. Without
// `now` the times are not looked at: in a TEE no clock can be trusted, and a host that sets it back
// makes anything valid. What such a verifier refuses to trust any longer it must take off its pins.
//
// kCorrupt if a certificate cannot be read, kInvalidArgument as MessageSigner::sign(), else
// kAuthentication, saying what does not hold.
base::Result<base::ByteView> verify_signed_message(std::string_view label, base::ByteView context,
                                                   const SignedMessage& message,
                                                   std::span<const Fingerprint> pinned_roots,
                                                   std::optional<Time> now);

// issue_message_root() makes the certificate of a root that vouches for message signers, directly
// or through one CA more. issue_message_signer() makes that of one signer, whose key must be of
// P-384. The names are common names. kInvalidArgument for other keys, or a root that is none of
// issue_message_root() or has another key.
base::Result<Certificate> issue_message_root(const PrivateKey& key, const std::string& name,
                                             Time not_before, Time not_after);
base::Result<Certificate> issue_message_signer(const Certificate& root, const PrivateKey& root_key,
                                               const PublicKey& signer, const std::string& name,
                                               Time not_before, Time not_after);

}  // namespace keybroker::crypto
