// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/swtpm_layout.h"

#include <tss2/tss2_mu.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "vtpm/provision/esys.h"
#include "vtpm/provision/templates.h"

namespace vtpm::provision {

namespace {

constexpr std::size_t kP384Bytes = 48;
constexpr std::size_t kPieceBytes = 1024;  // TPM_PT_NV_BUFFER_MAX of libtpms
constexpr std::size_t kPcrSelectBytes = 3;

// EK Credential Profile for TPM 2.0, B.6.4: PolicyB with SHA-384.
constexpr std::array<BYTE, 48> kPolicyB384 = {
    0xB2, 0x6E, 0x7D, 0x28, 0xD1, 0x1A, 0x50, 0xBC, 0x53, 0xD8, 0x82, 0xBC, 0xF5, 0xFD, 0x3A, 0x1A,
    0x07, 0x41, 0x48, 0xBB, 0x35, 0xD3, 0xB4, 0xE4, 0xCB, 0x1C, 0x0A, 0xD9, 0xBD, 0xE4, 0x19, 0xCA,
    0xCB, 0x47, 0xBA, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0F, 0x9F, 0xC0, 0x00, 0xF3, 0xF8, 0x0E, 0x12};

// The profile's high range lets the owner of the endorsement hierarchy's authorization in as well.
constexpr TPMA_OBJECT kHighRangeEk = 0x000300F2;
constexpr TPMA_OBJECT kSrk = 0x00030472;

// Written in one go and for good until it is defined anew (TPM 2.0 Part 2, table 217).
constexpr TPMA_NV kPlatformIndex = TPMA_NV_PLATFORMCREATE | TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD |
                                   TPMA_NV_PPREAD | TPMA_NV_PPWRITE | TPMA_NV_NO_DA |
                                   TPMA_NV_WRITEDEFINE;
static_assert(kPlatformIndex == 0x42072001);

TPM2B_PUBLIC high_range(TPMA_OBJECT attributes) {
  TPM2B_PUBLIC made{};
  made.publicArea.nameAlg = TPM2_ALG_SHA384;
  made.publicArea.objectAttributes = attributes;
  if (attributes == kHighRangeEk) {
    made.publicArea.authPolicy.size = kPolicyB384.size();
    std::ranges::copy(kPolicyB384, std::begin(made.publicArea.authPolicy.buffer));
  }
  return made;
}

TPMT_SYM_DEF_OBJECT aes_256() {
  TPMT_SYM_DEF_OBJECT symmetric{};
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = 256;
  symmetric.mode.aes = TPM2_ALG_CFB;
  return symmetric;
}

TPM2B_PUBLIC rsa3072(TPMA_OBJECT attributes, UINT16 unique_bytes) {
  auto made = high_range(attributes);
  made.publicArea.type = TPM2_ALG_RSA;
  auto& parameters = made.publicArea.parameters.rsaDetail;
  parameters.symmetric = aes_256();
  parameters.scheme.scheme = TPM2_ALG_NULL;
  parameters.keyBits = 3072;
  made.publicArea.unique.rsa.size = unique_bytes;
  return made;
}

TPM2B_PUBLIC p384(TPMA_OBJECT attributes, UINT16 unique_bytes) {
  auto made = high_range(attributes);
  made.publicArea.type = TPM2_ALG_ECC;
  auto& parameters = made.publicArea.parameters.eccDetail;
  parameters.symmetric = aes_256();
  parameters.scheme.scheme = TPM2_ALG_NULL;
  parameters.curveID = TPM2_ECC_NIST_P384;
  parameters.kdf.scheme = TPM2_ALG_NULL;
  made.publicArea.unique.ecc.x.size = unique_bytes;
  made.publicArea.unique.ecc.y.size = unique_bytes;
  return made;
}

TPM2B_PUBLIC rsa3072_ek_template() { return rsa3072(kHighRangeEk, 0); }

TPM2B_PUBLIC ecc_p384_ek_template() { return p384(kHighRangeEk, 0); }

TPM2B_PUBLIC rsa3072_srk_template() { return rsa3072(kSrk, 384); }

TPM2B_PUBLIC ecc_p384_srk_template() { return p384(kSrk, kP384Bytes); }

// The key of a template, to sign with and not to hold others.
template <TPM2B_PUBLIC (*kTemplate)(), TPMA_OBJECT kUses>
TPM2B_PUBLIC signing() {
  auto made = kTemplate();
  auto& attributes = made.publicArea.objectAttributes;
  attributes &= ~(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
  attributes |= kUses;
  auto& parameters = made.publicArea.parameters;
  (made.publicArea.type == TPM2_ALG_RSA
       ? parameters.rsaDetail.symmetric
       : parameters.eccDetail.symmetric) = {.algorithm = TPM2_ALG_NULL, .keyBits = {}, .mode = {}};
  return made;
}

template <TPM2B_PUBLIC (*kTemplate)()>
auto template_for(SwtpmEkUse use) -> TPM2B_PUBLIC (*)() {
  switch (use) {
    case SwtpmEkUse::kSigning:
      return signing<kTemplate, TPMA_OBJECT_SIGN_ENCRYPT>;
    case SwtpmEkUse::kSigningAndDecryption:
      return signing<kTemplate, TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT>;
    case SwtpmEkUse::kProfile:
      break;
  }
  return kTemplate;
}

struct Freed {
  void operator()(void* memory) const { Esys_Free(memory); }
};

struct Bank {
  std::string_view name;
  TPMI_ALG_HASH algorithm;
};

constexpr std::array kBanks = {Bank{"sha1", TPM2_ALG_SHA1}, Bank{"sha256", TPM2_ALG_SHA256},
                               Bank{"sha384", TPM2_ALG_SHA384}, Bank{"sha512", TPM2_ALG_SHA512}};

std::string_view name_of(TPMI_ALG_HASH algorithm) {
  const auto* const found = std::find_if(
      kBanks.begin(), kBanks.end(), [&](const Bank& bank) { return bank.algorithm == algorithm; });
  return found == kBanks.end() ? std::string_view() : found->name;
}

using Selection = std::unique_ptr<TPMS_CAPABILITY_DATA, Freed>;

base::Result<Selection> ask_pcrs(ESYS_CONTEXT* esys) {
  TPMI_YES_NO more = TPM2_NO;
  TPMS_CAPABILITY_DATA* data = nullptr;
  TRY(checked(Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_PCRS, 0,
                                 1, &more, &data),
              "asking for the PCR banks"));
  return Selection(data);
}

base::Bytes bytes_of(const BYTE* buffer, std::size_t size) {
  return base::copy_of(std::as_bytes(std::span(buffer, size)));
}

}  // namespace

SwtpmEndorsementKey swtpm_rsa2048_ek(SwtpmEkUse use) {
  return {{"RSA 2048 EK", 0x81010001, ESYS_TR_RH_ENDORSEMENT, template_for<rsa_ek_template>(use)},
          0x01C00002,
          0x01C00004};
}

SwtpmEndorsementKey swtpm_rsa3072_ek(SwtpmEkUse use) {
  return {
      {"RSA 3072 EK", 0x8101001C, ESYS_TR_RH_ENDORSEMENT, template_for<rsa3072_ek_template>(use)},
      0x01C0001C,
      0x01C0001D};
}

SwtpmEndorsementKey swtpm_ecc_p384_ek(SwtpmEkUse use) {
  return {{"ECC EK", 0x81010016, ESYS_TR_RH_ENDORSEMENT, template_for<ecc_p384_ek_template>(use)},
          0x01C00016,
          0x01C00017};
}

base::Result<base::Bytes> template_of(const KeyPlace& place) {
  const auto made = place.make_template();
  std::array<BYTE, sizeof(TPMT_PUBLIC)> buffer{};
  std::size_t size = 0;
  TRY(checked(Tss2_MU_TPMT_PUBLIC_Marshal(&made.publicArea, buffer.data(), buffer.size(), &size),
              "writing a key template"));
  return bytes_of(buffer.data(), size);
}

const KeyPlace& swtpm_rsa2048_srk() {
  static const KeyPlace place{"RSA 2048 SPK", kRsaSrkHandle, ESYS_TR_RH_OWNER, rsa_srk_template};
  return place;
}

const KeyPlace& swtpm_rsa3072_srk() {
  static const KeyPlace place{"RSA 3072 SPK", kRsaSrkHandle, ESYS_TR_RH_OWNER,
                              rsa3072_srk_template};
  return place;
}

const KeyPlace& swtpm_ecc_p384_srk() {
  static const KeyPlace place{"ECC SPK", kRsaSrkHandle, ESYS_TR_RH_OWNER, ecc_p384_srk_template};
  return place;
}

base::Result<void> put_swtpm_index(ESYS_CONTEXT* esys, TPM2_HANDLE index, base::ByteView content,
                                   bool locked) {
  constexpr std::size_t kMostBytes = 2048;  // TPM_PT_NV_INDEX_MAX of libtpms
  if (content.size() > kMostBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument, "a certificate is too large for the TPM");
  }
  TPM2B_NV_PUBLIC space{};
  space.nvPublic.nvIndex = index;
  space.nvPublic.nameAlg = TPM2_ALG_SHA256;
  space.nvPublic.attributes = kPlatformIndex;
  space.nvPublic.dataSize = static_cast<UINT16>(content.size());
  const TPM2B_AUTH no_auth{};
  ESYS_TR object = ESYS_TR_NONE;
  TRY(checked(Esys_NV_DefineSpace(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                  ESYS_TR_NONE, &no_auth, &space, &object),
              "defining an NV index for a certificate"));
  for (std::size_t offset = 0; offset < content.size(); offset += kPieceBytes) {
    TPM2B_MAX_NV_BUFFER piece{};
    piece.size = static_cast<UINT16>(std::min(kPieceBytes, content.size() - offset));
    std::ranges::copy(content.subspan(offset, piece.size),
                      std::as_writable_bytes(std::span(piece.buffer)).begin());
    TRY(checked(Esys_NV_Write(esys, ESYS_TR_RH_PLATFORM, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                              ESYS_TR_NONE, &piece, static_cast<UINT16>(offset)),
                "writing a certificate"));
  }
  if (locked) {
    TRY(checked(Esys_NV_WriteLock(esys, ESYS_TR_RH_PLATFORM, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                  ESYS_TR_NONE),
                "locking a certificate"));
  }
  Esys_TR_Close(esys, &object);
  return {};
}

base::Result<PublicNumbers> public_numbers(const PublicKey& key) {
  TPMT_PUBLIC area{};
  std::size_t offset = 0;
  if (Tss2_MU_TPMT_PUBLIC_Unmarshal(reinterpret_cast<const std::uint8_t*>(key.area.data()),
                                    key.area.size(), &offset, &area) != TSS2_RC_SUCCESS) {
    return base::fail(base::ErrorCode::kCorrupt, "this is no public area of a TPM's");
  }
  if (area.type == TPM2_ALG_RSA) {
    return PublicNumbers{
        .modulus = bytes_of(area.unique.rsa.buffer, area.unique.rsa.size), .x = {}, .y = {}};
  }
  if (area.type == TPM2_ALG_ECC) {
    return PublicNumbers{.modulus = {},
                         .x = bytes_of(area.unique.ecc.x.buffer, area.unique.ecc.x.size),
                         .y = bytes_of(area.unique.ecc.y.buffer, area.unique.ecc.y.size)};
  }
  return base::fail(base::ErrorCode::kCorrupt, "the key is neither RSA nor ECC");
}

base::Result<PcrBanks> pcr_banks(ESYS_CONTEXT* esys) {
  TRY_ASSIGN(data, ask_pcrs(esys));
  PcrBanks banks;
  const auto& pcrs = data->data.assignedPCR;
  for (const auto& one : std::span(pcrs.pcrSelections, pcrs.count)) {
    const auto name = name_of(one.hash);
    if (name.empty()) {
      continue;
    }
    banks.all.emplace_back(name);
    const auto selected = std::span(one.pcrSelect, one.sizeofSelect);
    if (std::any_of(selected.begin(), selected.end(), [](BYTE byte) { return byte != 0; })) {
      banks.active.emplace_back(name);
    }
  }
  return banks;
}

base::Result<void> activate_pcr_banks(ESYS_CONTEXT* esys, const std::vector<std::string>& banks) {
  TRY_ASSIGN(there, pcr_banks(esys));
  TPML_PCR_SELECTION wanted{};
  bool any = false;
  for (const auto& bank : kBanks) {
    if (std::find(there.all.begin(), there.all.end(), bank.name) == there.all.end()) {
      continue;
    }
    const bool active = std::find(banks.begin(), banks.end(), bank.name) != banks.end();
    any = any || active;
    auto& one = wanted.pcrSelections[wanted.count++];
    one.hash = bank.algorithm;
    one.sizeofSelect = kPcrSelectBytes;
    std::fill_n(std::begin(one.pcrSelect), kPcrSelectBytes, active ? BYTE{0xff} : BYTE{0});
  }
  if (!any) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "None of the given PCR banks is one of this TPM's.");
  }
  TPMI_YES_NO success = TPM2_NO;
  UINT32 most = 0;
  UINT32 needed = 0;
  UINT32 available = 0;
  TRY(checked(Esys_PCR_Allocate(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                ESYS_TR_NONE, &wanted, &success, &most, &needed, &available),
              "choosing the PCR banks"));
  return success == TPM2_YES
             ? base::Result<void>()
             : base::fail(base::ErrorCode::kUnavailable, "the TPM has no room for these PCR banks");
}

}  // namespace vtpm::provision
