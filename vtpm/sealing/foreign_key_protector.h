// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/signature.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/key_protector.h"
#include "vtpm/sealing/root_key.h"

namespace vtpm::sealing {

// How OpenHCL comes by a root key. The schemes of other makers are read so that a store can be
// imported, and never written: whoever has the public half of an RSA key, or is the host, can make
// such a protector for a store of their own.
enum class ForeignScheme : std::uint8_t {
  kKek,             // the DEK is the root key
  kKekAndHostSeed,  // KBKDF of the DEK over the seed that the host decrypts (GSP)
  kKekAndSeedById,  // KBKDF of the DEK over the host's seed by id
  kHostSeed,        // KBKDF of 32 zero bytes over the seed that the host decrypts
  kSeedById,        // KBKDF of the host's seed by id over the VM's GUID
};

// The longest seed of a host.
inline constexpr std::size_t kMostHostSeedBytes = 64;

// What was found for a protector. Only what the scheme uses is looked at.
struct ForeignSources {
  // The tenant's RSA key-encryption key, of 2048 to 4096 bits: DEKs are encrypted to it by OAEP
  // with SHA-256 ...
  std::optional<keybroker::crypto::PrivateKey> kek;
  // ... or wrapped under a "DES key" of 32 bytes, and that is encrypted to it. Empty: there is
  // none.
  base::Bytes wrapped_des_key;
  // The seeds of the protector's two slots as the host decrypted them. Empty: there is none.
  std::array<base::SecretBytes, 2> host_seeds;
  base::SecretBytes seed_by_id;
  // The first 16 bytes of VM_UNIQUE_ID (file 7), as they lie there: the VM the seed was bound to.
  std::array<std::byte, 16> guid{};
};

// open_foreign() gives the keys that may open the store of another maker: the ingress slot's first,
// then one that an interrupted rotation may have left in the egress slot. `key_protector` is empty
// where the store has no such file. One key at least; try each. kInvalidArgument if a source that
// the scheme needs is absent or of a wrong size; kCorrupt if the protector is none, or a key has a
// wrong size; kNotFound if the scheme needs a DEK and no slot has one; kAuthentication if the KEK
// opens neither slot.
base::Result<std::vector<IngressKey>> open_foreign(ForeignScheme scheme,
                                                   base::ByteView key_protector,
                                                   const ForeignSources& sources);

// open_released_kek() opens the ciphertext of a key release answer, CKM_RSA_AES_KEY_WRAP of an RSA
// key-encryption key in PKCS#8, by the transfer key of that release. `hash` is SHA-1, or SHA-384
// where the answer signals it. As unwrap_rsa_aes(), and kCorrupt if what it holds is no RSA key.
base::Result<keybroker::crypto::PrivateKey> open_released_kek(
    const keybroker::crypto::PrivateKey& transfer_key, keybroker::crypto::Hash hash,
    base::ByteView ciphertext);

}  // namespace vtpm::sealing
