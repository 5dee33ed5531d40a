// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tpm_public.h"

#include <tss2/tss2_mu.h>

#include <algorithm>
#include <cstring>

#include "keybroker/crypto/signature.h"
#include "keybroker/evidence/event_log.h"
#include "vmgs/base/cursor.h"

namespace keybroker::evidence {

namespace {

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "TPM public area: " + why);
}

base::Bytes name_of(base::ByteView public_area, std::uint16_t algorithm, crypto::Hash hash) {
  base::Writer out;
  out.u16_be(algorithm);
  out.bytes(crypto::digest(hash, public_area));
  return std::move(out).take();
}

base::Result<base::Bytes> marshalled(const TPMT_PUBLIC& area) {
  base::Bytes bytes(sizeof(TPMT_PUBLIC));
  std::size_t size = 0;
  if (Tss2_MU_TPMT_PUBLIC_Marshal(&area, reinterpret_cast<std::uint8_t*>(bytes.data()),
                                  bytes.size(), &size) != TSS2_RC_SUCCESS) {
    return corrupt("it cannot be written");
  }
  bytes.resize(size);
  return bytes;
}

template <typename Buffer>
base::Bytes buffer_bytes(const Buffer& buffer, std::size_t size) {
  return base::copy_of(std::as_bytes(std::span(buffer, size)));
}

// Left-padded to the size of the field: TPMs may leave leading zeros out.
base::Bytes coordinate(const TPM2B_ECC_PARAMETER& number, std::size_t size) {
  base::Bytes bytes = buffer_bytes(number.buffer, number.size);
  if (bytes.size() < size) {
    bytes.insert(bytes.begin(), size - bytes.size(), std::byte{0});
  }
  return bytes;
}

base::Result<crypto::PublicKey> key_of(const TPMT_PUBLIC& area) {
  if (area.type == TPM2_ALG_RSA) {
    base::Writer exponent;
    // Zero stands for 65537 (Part 2, 12.2.3.5).
    const auto value = area.parameters.rsaDetail.exponent;
    exponent.u32_be(value == 0 ? 65537 : value);
    return crypto::PublicKey::rsa(
        {buffer_bytes(area.unique.rsa.buffer, area.unique.rsa.size), exponent.written()});
  }
  if (area.type == TPM2_ALG_ECC) {
    const auto curve_id = area.parameters.eccDetail.curveID;
    if (curve_id != TPM2_ECC_NIST_P256 && curve_id != TPM2_ECC_NIST_P384) {
      return corrupt("only the curves P-256 and P-384 are known here");
    }
    const bool small = curve_id == TPM2_ECC_NIST_P256;
    const std::size_t size = small ? 32 : 48;
    return crypto::PublicKey::ec({small ? crypto::Curve::kP256 : crypto::Curve::kP384,
                                  coordinate(area.unique.ecc.x, size),
                                  coordinate(area.unique.ecc.y, size)});
  }
  return corrupt("it is of no RSA or ECC key");
}

std::optional<TpmScheme> scheme_of(const TPMT_PUBLIC& area) {
  if (area.type == TPM2_ALG_RSA) {
    const auto& scheme = area.parameters.rsaDetail.scheme;
    return scheme.scheme == TPM2_ALG_NULL
               ? std::nullopt
               : std::optional(TpmScheme{scheme.scheme, scheme.details.anySig.hashAlg});
  }
  const auto& scheme = area.parameters.eccDetail.scheme;
  return scheme.scheme == TPM2_ALG_NULL
             ? std::nullopt
             : std::optional(TpmScheme{scheme.scheme, scheme.details.anySig.hashAlg});
}

}  // namespace

bool TpmPublic::can_attest() const {
  constexpr std::uint32_t kWanted =
      kTpmSign | kTpmRestricted | kTpmFixedTpm | kTpmFixedParent | kTpmSensitiveDataOrigin;
  return (attributes & kWanted) == kWanted && (attributes & kTpmDecrypt) == 0;
}

base::Result<TpmPublic> decode_tpm_public(base::ByteView bytes) {
  TPMT_PUBLIC area{};
  std::size_t size = 0;
  if (Tss2_MU_TPMT_PUBLIC_Unmarshal(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                    bytes.size(), &size, &area) != TSS2_RC_SUCCESS ||
      size != bytes.size()) {
    return corrupt("it is no TPMT_PUBLIC, or something follows it");
  }
  // One encoding of one key: what is hashed into the Name is what was understood.
  TRY_ASSIGN(again, marshalled(area));
  if (!std::ranges::equal(again, bytes)) {
    return corrupt("it is not in its one form");
  }
  const auto hash = hash_of_tpm(area.nameAlg);
  if (!hash || *hash == crypto::Hash::kSha1) {
    return corrupt("its name algorithm is not SHA-256 or stronger");
  }
  auto key = key_of(area);
  if (!key) {
    return corrupt(key.error().message);
  }
  return TpmPublic{name_of(bytes, area.nameAlg, *hash), area.objectAttributes, *std::move(key),
                   scheme_of(area)};
}

base::Bytes endorsement_qualified_name(base::ByteView name) {
  if (name.size() < 2) {
    return {};
  }
  const auto algorithm = base::load<base::U16Be>(name.first<2>()).value();
  const auto hash = hash_of_tpm(algorithm);
  if (!hash) {
    return {};
  }
  // The Name of a hierarchy is its handle.
  base::Writer joined;
  joined.u32_be(TPM2_RH_ENDORSEMENT);
  joined.bytes(name);
  return name_of(joined.written(), algorithm, *hash);
}

base::Result<base::Bytes> template_ak_name(const crypto::RsaNumbers& numbers) {
  TPMT_PUBLIC area{};
  area.type = TPM2_ALG_RSA;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                          TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                          TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT;
  area.parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
  area.parameters.rsaDetail.scheme.scheme = TPM2_ALG_RSASSA;
  area.parameters.rsaDetail.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256;
  area.parameters.rsaDetail.keyBits = 2048;
  const auto& modulus = numbers.modulus;
  if (modulus.size() != 256 || base::to_hex(numbers.exponent) != "010001") {
    return corrupt("the template is for RSA-2048 with exponent 65537");
  }
  area.unique.rsa.size = static_cast<std::uint16_t>(modulus.size());
  std::memcpy(area.unique.rsa.buffer, modulus.data(), modulus.size());
  TRY_ASSIGN(bytes, marshalled(area));
  return name_of(bytes, TPM2_ALG_SHA256, crypto::Hash::kSha256);
}

}  // namespace keybroker::evidence
