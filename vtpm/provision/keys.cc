// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/keys.h"

#include <tss2/tss2_mu.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "vtpm/provision/esys.h"
#include "vtpm/provision/templates.h"

namespace vtpm::provision {

namespace {

constexpr std::array kAttestation = {
    KeyPlace{"RSA AK", kRsaAkHandle, ESYS_TR_RH_ENDORSEMENT, rsa_ak_template},
    KeyPlace{"ECC AK", kEccAkHandle, ESYS_TR_RH_ENDORSEMENT, ecc_ak_template}};
constexpr std::array kEndorsement = {
    KeyPlace{"RSA EK", kRsaEkHandle, ESYS_TR_RH_ENDORSEMENT, rsa_ek_template},
    KeyPlace{"ECC EK", kEccEkHandle, ESYS_TR_RH_ENDORSEMENT, ecc_ek_template}};
constexpr std::array kStorage = {
    KeyPlace{"RSA SRK", kRsaSrkHandle, ESYS_TR_RH_OWNER, rsa_srk_template},
    KeyPlace{"ECC SRK", kEccSrkHandle, ESYS_TR_RH_OWNER, ecc_srk_template}};

struct Freed {
  void operator()(void* memory) const { Esys_Free(memory); }
};

template <typename T>
using Owned = std::unique_ptr<T, Freed>;

base::Result<base::Bytes> marshalled(const TPMT_PUBLIC& area) {
  std::array<std::uint8_t, sizeof(TPMT_PUBLIC)> bytes{};
  std::size_t size = 0;
  TRY(checked(Tss2_MU_TPMT_PUBLIC_Marshal(&area, bytes.data(), bytes.size(), &size),
              "reading a public area"));
  return base::copy_of(std::as_bytes(std::span(bytes).first(size)));
}

base::Result<PublicKey> public_key(const TPM2B_PUBLIC& area, const TPM2B_NAME& name) {
  TRY_ASSIGN(bytes, marshalled(area.publicArea));
  return PublicKey{.area = std::move(bytes),
                   .name = base::copy_of(std::as_bytes(std::span(name.name, name.size)))};
}

// A primary key that is loaded, until this dies.
class Loaded {
 public:
  static base::Result<Loaded> make(ESYS_CONTEXT* esys, const KeyPlace& place) {
    const TPM2B_SENSITIVE_CREATE sensitive{};
    const TPM2B_PUBLIC public_template = place.make_template();
    const TPM2B_DATA outside{};
    const TPML_PCR_SELECTION no_pcrs{};
    Loaded loaded(esys);
    TPM2B_PUBLIC* area = nullptr;
    TRY(checked(Esys_CreatePrimary(esys, place.hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE, &sensitive, &public_template, &outside, &no_pcrs,
                                   &loaded.object_, &area, nullptr, nullptr, nullptr),
                "making the " + std::string(place.what)));
    const Owned<TPM2B_PUBLIC> area_owner(area);
    TPM2B_NAME* name = nullptr;
    TRY(checked(Esys_TR_GetName(esys, loaded.object_, &name), "naming a key"));
    const Owned<TPM2B_NAME> name_owner(name);
    TRY_ASSIGN(seen, public_key(*area, *name));
    loaded.key_ = std::move(seen);
    return loaded;
  }

  Loaded(Loaded&& other) noexcept
      : esys_(other.esys_),
        object_(std::exchange(other.object_, ESYS_TR_NONE)),
        key_(std::move(other.key_)) {}

  Loaded& operator=(Loaded&&) = delete;

  ~Loaded() {
    if (object_ != ESYS_TR_NONE) {
      Esys_FlushContext(esys_, object_);
    }
  }

  [[nodiscard]] ESYS_TR object() const { return object_; }

  [[nodiscard]] const PublicKey& key() const { return key_; }

 private:
  explicit Loaded(ESYS_CONTEXT* esys) : esys_(esys) {}

  ESYS_CONTEXT* esys_;
  ESYS_TR object_ = ESYS_TR_NONE;
  PublicKey key_;
};

TSS2_RC persist(ESYS_CONTEXT* esys, const Loaded& loaded, const KeyPlace& place) {
  ESYS_TR persistent = ESYS_TR_NONE;
  const auto code = Esys_EvictControl(esys, ESYS_TR_RH_OWNER, loaded.object(), ESYS_TR_PASSWORD,
                                      ESYS_TR_NONE, ESYS_TR_NONE, place.handle, &persistent);
  if (code == TSS2_RC_SUCCESS) {
    Esys_TR_Close(esys, &persistent);
  }
  return code;
}

// With the platform's authorization, which is empty in a life of our own.
base::Result<void> evict(ESYS_CONTEXT* esys, const KeyPlace& place) {
  ESYS_TR occupant = ESYS_TR_NONE;
  TRY(checked(Esys_TR_FromTPMPublic(esys, place.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    &occupant),
              "looking at a handle"));
  ESYS_TR none = ESYS_TR_NONE;
  return checked(Esys_EvictControl(esys, ESYS_TR_RH_PLATFORM, occupant, ESYS_TR_PASSWORD,
                                   ESYS_TR_NONE, ESYS_TR_NONE, place.handle, &none),
                 "removing what stands in the place of the " + std::string(place.what));
}

}  // namespace

std::span<const KeyPlace> attestation_places() { return kAttestation; }

std::span<const KeyPlace> endorsement_places() { return kEndorsement; }

std::span<const KeyPlace> storage_places() { return kStorage; }

base::Result<std::optional<PublicKey>> key_at(ESYS_CONTEXT* esys, TPM2_HANDLE handle) {
  ESYS_TR object = ESYS_TR_NONE;
  const auto found = checked(
      Esys_TR_FromTPMPublic(esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object),
      "looking at a handle");
  if (!found) {
    return found.error().code == base::ErrorCode::kNotFound
               ? base::Result<std::optional<PublicKey>>(std::nullopt)
               : base::fail(found.error());
  }
  TPM2B_PUBLIC* area = nullptr;
  TPM2B_NAME* name = nullptr;
  const auto read = checked(Esys_ReadPublic(esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                            &area, &name, nullptr),
                            "reading a public area");
  const Owned<TPM2B_PUBLIC> area_owner(area);
  const Owned<TPM2B_NAME> name_owner(name);
  Esys_TR_Close(esys, &object);
  TRY(read);
  TRY_ASSIGN(key, public_key(*area, *name));
  return std::optional<PublicKey>(std::move(key));
}

bool follows_template(const PublicKey& key, const KeyPlace& place) {
  const auto wanted = place.make_template();
  TPMT_PUBLIC area{};
  std::size_t offset = 0;
  if (Tss2_MU_TPMT_PUBLIC_Unmarshal(reinterpret_cast<const std::uint8_t*>(key.area.data()),
                                    key.area.size(), &offset, &area) != TSS2_RC_SUCCESS) {
    return false;
  }
  area.unique = wanted.publicArea.unique;
  const auto template_bytes = marshalled(wanted.publicArea);
  const auto area_bytes = marshalled(area);
  return template_bytes && area_bytes && *template_bytes == *area_bytes;
}

base::Result<PublicKey> primary_key(ESYS_CONTEXT* esys, const KeyPlace& place) {
  TRY_ASSIGN(loaded, Loaded::make(esys, place));
  return loaded.key();
}

base::Result<PublicKey> put_key(ESYS_CONTEXT* esys, const KeyPlace& place) {
  TRY_ASSIGN(loaded, Loaded::make(esys, place));
  auto code = persist(esys, loaded, place);
  if (code == TPM2_RC_NV_DEFINED) {
    // The owner's authorization has passed, so that the new key will not be refused for it.
    TRY(evict(esys, place));
    code = persist(esys, loaded, place);
  }
  TRY(checked(code, "making the " + std::string(place.what) + " persistent"));
  return loaded.key();
}

base::Result<void> put_key_again(ESYS_CONTEXT* esys, const KeyPlace& place,
                                 const PublicKey& wanted) {
  TRY_ASSIGN(loaded, Loaded::make(esys, place));
  if (loaded.key().name != wanted.name) {
    return base::fail(base::ErrorCode::kDenied,
                      "the TPM makes another " + std::string(place.what) + " than it had");
  }
  return checked(persist(esys, loaded, place),
                 "making the " + std::string(place.what) + " persistent");
}

}  // namespace vtpm::provision
