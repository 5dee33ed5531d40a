// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/foreign_key_protector.h"

#include <string>
#include <utility>

#include "keybroker/crypto/oaep.h"
#include "keybroker/crypto/rsa_aes_wrap.h"
#include "vmgs/crypto/kdf.h"
#include "vmgs/crypto/key_wrap.h"

namespace vtpm::sealing {

namespace {

using keybroker::crypto::Hash;
using keybroker::crypto::PrivateKey;
using vmgs::format::DekWrapping;
using vmgs::format::KeyProtector;

using Key = base::Secret<32>;

auto invalid(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "another maker's store: " + why);
}

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "KEY_PROTECTOR: " + why);
}

base::Result<void> check_seed(const base::SecretBytes& seed) {
  if (seed.size() == 0 || seed.size() > kMostHostSeedBytes) {
    return invalid("a host's seed has 1 to 64 bytes, not " + std::to_string(seed.size()));
  }
  return {};
}

base::Result<Key> mix(const Key& key, base::ByteView context) {
  return vmgs::crypto::derive<32>(key.expose(), base::bytes_of("VMGSKEY"), context);
}

base::Result<Key> decrypt_key(const PrivateKey& kek, base::ByteView ciphertext) {
  TRY_ASSIGN(plaintext, keybroker::crypto::decrypt_oaep(kek, Hash::kSha256, {}, ciphertext));
  if (plaintext.size() != 32) {
    return corrupt("what is encrypted to the KEK has " + std::to_string(plaintext.size()) +
                   " bytes, not 32");
  }
  return Key::copy_of(plaintext.expose().first<32>());
}

// The KEK, and what lies between it and the DEKs.
struct Unwrapping {
  const PrivateKey* kek = nullptr;
  std::optional<Key> des_key;
};

base::Result<Unwrapping> unwrapping_of(const ForeignSources& sources) {
  if (!sources.kek || !sources.kek->public_key().is_rsa() ||
      sources.kek->public_key().bits() > 8 * vmgs::format::kDekSlotBytes) {
    return invalid("its key-encryption key is RSA of 2048 to 4096 bits");
  }
  Unwrapping unwrapping{.kek = &*sources.kek, .des_key = {}};
  if (!sources.wrapped_des_key.empty()) {
    TRY_ASSIGN(des_key, decrypt_key(*sources.kek, sources.wrapped_des_key));
    unwrapping.des_key = std::move(des_key);
  }
  return unwrapping;
}

base::Result<Key> unwrap_slot(const KeyProtector& protector, std::size_t slot,
                              const Unwrapping& unwrapping) {
  const base::ByteView bytes(protector.dek.at(slot));
  if (!unwrapping.des_key) {
    return decrypt_key(*unwrapping.kek, bytes.first((unwrapping.kek->public_key().bits() + 7) / 8));
  }
  constexpr auto kUsed = vmgs::format::kAesWrappedDekBytes;
  if (!base::is_all_zero(bytes.subspan(kUsed))) {
    return corrupt("slot " + std::to_string(slot) + " holds more than an AES key wrap");
  }
  return vmgs::crypto::unwrap_secret<32>(*unwrapping.des_key, bytes.first(kUsed));
}

// Each DEK with the slot it came from; the ingress slot's first.
using Deks = std::vector<std::pair<std::size_t, Key>>;

base::Result<Deks> unwrap_deks(const KeyProtector& protector, const ForeignSources& sources) {
  TRY_ASSIGN(unwrapping, unwrapping_of(sources));
  Deks deks;
  std::optional<base::Error> refusal;
  for (const std::size_t slot : {protector.ingress(), protector.egress()}) {
    if (!protector.has_dek(slot)) {
      continue;
    }
    auto dek = unwrap_slot(protector, slot, unwrapping);
    if (dek) {
      deks.emplace_back(slot, *std::move(dek));
    } else if (!refusal) {
      refusal = std::move(dek).error();
    }
  }
  if (deks.empty() && refusal) {
    return base::fail(*std::move(refusal));
  }
  if (deks.empty()) {
    return base::fail(base::ErrorCode::kNotFound, "KEY_PROTECTOR: both slots are empty");
  }
  return deks;
}

base::Result<std::vector<IngressKey>> by_dek(ForeignScheme scheme, const KeyProtector& protector,
                                             const ForeignSources& sources) {
  TRY_ASSIGN(deks, unwrap_deks(protector, sources));
  if (scheme == ForeignScheme::kKekAndSeedById) {
    TRY(check_seed(sources.seed_by_id));
  }
  std::vector<IngressKey> keys;
  for (auto& [slot, dek] : deks) {
    if (scheme == ForeignScheme::kKek) {
      keys.emplace_back(std::move(dek));
      continue;
    }
    const auto& seed =
        scheme == ForeignScheme::kKekAndSeedById ? sources.seed_by_id : sources.host_seeds.at(slot);
    // A rotation may have been interrupted before the host gave a seed for the egress slot.
    if (seed.size() == 0 && !keys.empty()) {
      continue;
    }
    TRY(check_seed(seed));
    TRY_ASSIGN(key, mix(dek, seed.expose()));
    keys.emplace_back(std::move(key));
  }
  return keys;
}

base::Result<std::vector<IngressKey>> by_host_seeds(const KeyProtector& protector,
                                                    const ForeignSources& sources) {
  const auto no_dek = Key::zero();
  std::vector<IngressKey> keys;
  for (const std::size_t slot : {protector.ingress(), protector.egress()}) {
    const auto& seed = sources.host_seeds.at(slot);
    if (seed.size() == 0) {
      continue;
    }
    TRY(check_seed(seed));
    TRY_ASSIGN(key, mix(no_dek, seed.expose()));
    keys.emplace_back(std::move(key));
  }
  if (keys.empty()) {
    return invalid("the host gave no seed");
  }
  return keys;
}

base::Result<std::vector<IngressKey>> by_id(const ForeignSources& sources) {
  TRY(check_seed(sources.seed_by_id));
  TRY_ASSIGN(key, vmgs::crypto::derive<32>(sources.seed_by_id.expose(), base::bytes_of("VMGSKEY"),
                                           sources.guid));
  std::vector<IngressKey> keys;
  keys.emplace_back(std::move(key));
  return keys;
}

}  // namespace

base::Result<std::vector<IngressKey>> open_foreign(ForeignScheme scheme,
                                                   base::ByteView key_protector,
                                                   const ForeignSources& sources) {
  if (scheme == ForeignScheme::kSeedById) {
    return by_id(sources);
  }
  KeyProtector protector;
  if (!key_protector.empty()) {
    // Without a DEK no slot has to be whole.
    const bool short_allowed =
        scheme == ForeignScheme::kHostSeed || !sources.wrapped_des_key.empty();
    TRY_ASSIGN(decoded,
               vmgs::format::decode_key_protector(
                   key_protector, short_allowed ? DekWrapping::kAesKeyWrap : DekWrapping::kRsa));
    protector = decoded;
  }
  return scheme == ForeignScheme::kHostSeed ? by_host_seeds(protector, sources)
                                            : by_dek(scheme, protector, sources);
}

base::Result<PrivateKey> open_released_kek(const PrivateKey& transfer_key, Hash hash,
                                           base::ByteView ciphertext) {
  TRY_ASSIGN(pkcs8, keybroker::crypto::unwrap_rsa_aes(transfer_key, hash, ciphertext));
  TRY_ASSIGN(kek, PrivateKey::from_pkcs8(pkcs8.expose()));
  if (!kek.public_key().is_rsa()) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "a released key-encryption key is RSA, not " + kek.public_key().describe());
  }
  return kek;
}

}  // namespace vtpm::sealing
