// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/provision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tss2/tss2_mu.h>

#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "tests/support/error_code.h"
#include "tests/support/fake_certifier.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/provision/templates.h"
#include "vtpm/provision/tpm_life.h"

namespace vtpm::provision {
namespace {

using base::ErrorCode;
using tests::support::error_code;

constexpr TSS2_RC kDone = TSS2_RC_SUCCESS;
constexpr ESYS_TR kNone = ESYS_TR_NONE;
constexpr ESYS_TR kPassword = ESYS_TR_PASSWORD;

// What a guest does to its TPM between two starts.
using Deed = std::function<void(ESYS_CONTEXT*)>;

TPM2B_AUTH word(std::string_view text) {
  TPM2B_AUTH auth{};
  auth.size = static_cast<UINT16>(text.size());
  std::ranges::copy(text, std::begin(auth.buffer));
  return auth;
}

Deed set_auth(ESYS_TR hierarchy) {
  return [hierarchy](ESYS_CONTEXT* esys) {
    const auto secret = word("guest secret");
    EXPECT_EQ(Esys_HierarchyChangeAuth(esys, hierarchy, kPassword, kNone, kNone, &secret), kDone);
  };
}

void clear(ESYS_CONTEXT* esys) {
  EXPECT_EQ(Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, kPassword, kNone, kNone), kDone);
}

void forbid_clear(ESYS_CONTEXT* esys) {
  EXPECT_EQ(Esys_ClearControl(esys, ESYS_TR_RH_LOCKOUT, kPassword, kNone, kNone, TPM2_YES), kDone);
}

// What the guest's own hierarchies let it do with a handle of ours.
void evict(ESYS_CONTEXT* esys, TPM2_HANDLE handle) {
  ESYS_TR object = kNone;
  ESYS_TR none = kNone;
  ASSERT_EQ(Esys_TR_FromTPMPublic(esys, handle, kNone, kNone, kNone, &object), kDone);
  EXPECT_EQ(
      Esys_EvictControl(esys, ESYS_TR_RH_OWNER, object, kPassword, kNone, kNone, handle, &none),
      kDone);
}

void evict_aks(ESYS_CONTEXT* esys) {
  evict(esys, kRsaAkHandle);
  evict(esys, kEccAkHandle);
}

// An unrestricted key that signs whatever its owner likes, where the AK should be.
void squat(ESYS_CONTEXT* esys, TPM2_HANDLE handle) {
  evict(esys, handle);
  auto area = ecc_ak_template();
  area.publicArea.objectAttributes &= ~static_cast<TPMA_OBJECT>(TPMA_OBJECT_RESTRICTED);
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION no_pcrs{};
  ESYS_TR object = kNone;
  ASSERT_EQ(Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, kPassword, kNone, kNone, &sensitive, &area,
                               &outside, &no_pcrs, &object, nullptr, nullptr, nullptr, nullptr),
            kDone);
  ESYS_TR persistent = kNone;
  EXPECT_EQ(Esys_EvictControl(esys, ESYS_TR_RH_OWNER, object, kPassword, kNone, kNone, handle,
                              &persistent),
            kDone);
  EXPECT_EQ(Esys_FlushContext(esys, object), kDone);
}

Deed squat_on(TPM2_HANDLE handle) {
  return [handle](ESYS_CONTEXT* esys) { squat(esys, handle); };
}

base::SecretBytes new_tpm() {
  engine::MemoryNvStore memory;
  auto engine = *engine::Engine::create(memory);
  EXPECT_TRUE(engine->start(engine::Origin::kManufacture));
  return *engine->state_blob(engine::BlobKind::kPermanent);
}

// The guest's life: every deed in its order.
base::SecretBytes live(const base::SecretBytes& state, const std::vector<Deed>& deeds) {
  auto life = TpmLife::begin(state.expose());
  EXPECT_TRUE(life) << life.error().message;
  for (const auto& deed : deeds) {
    deed((*life)->esys());
  }
  return *(*life)->end();
}

// A look at a TPM from inside, which changes nothing.
void look(const Provisioned& provisioned, const Deed& deed) {
  live(provisioned.permanent_state, {deed});
}

std::optional<PublicKey> at(ESYS_CONTEXT* esys, TPM2_HANDLE handle) {
  auto key = key_at(esys, handle);
  EXPECT_TRUE(key) << key.error().message;
  return key ? *key : std::nullopt;
}

TPMT_PUBLIC decoded(const PublicKey& key) {
  TPMT_PUBLIC area{};
  std::size_t offset = 0;
  EXPECT_EQ(Tss2_MU_TPMT_PUBLIC_Unmarshal(reinterpret_cast<const std::uint8_t*>(key.area.data()),
                                          key.area.size(), &offset, &area),
            kDone);
  return area;
}

class ProvisionTest : public testing::Test {
 protected:
  ProvisionTest() : first_(*provision(new_tpm().expose(), Past::kNew)) {}

  // The next start after the guest has done these things.
  base::Result<Provisioned> after(const std::vector<Deed>& deeds) const {
    const auto state = live(first_.permanent_state, deeds);
    return provision(state.expose(), Past::kUsed);
  }

  void expect_same_keys(base::Result<Provisioned> again) const {
    ASSERT_TRUE(again) << again.error().message;
    if (again->twin) {
      const auto names = again->twin->names();
      ASSERT_TRUE(names) << names.error().message;
      EXPECT_TRUE(agrees(*again, *names));
    }
    EXPECT_EQ(again->obstacle, Obstacle::kNone) << again->reason;
    EXPECT_EQ(again->rsa_ak, first_.rsa_ak);
    EXPECT_EQ(again->ecc_ak, first_.ecc_ak);
    EXPECT_EQ(again->rsa_ek, first_.rsa_ek);
    EXPECT_EQ(again->ecc_ek, first_.ecc_ek);
    look(*again, [this](ESYS_CONTEXT* esys) {
      EXPECT_EQ(at(esys, kRsaAkHandle), first_.rsa_ak);
      EXPECT_EQ(at(esys, kEccAkHandle), first_.ecc_ak);
      EXPECT_EQ(at(esys, kRsaEkHandle), first_.rsa_ek);
      EXPECT_EQ(at(esys, kEccEkHandle), first_.ecc_ek);
    });
  }

  const Provisioned first_;
};

TEST_F(ProvisionTest, ANewTpmHasItsKeysAtTheirHandles) {
  EXPECT_EQ(first_.obstacle, Obstacle::kNone);
  look(first_, [this](ESYS_CONTEXT* esys) {
    EXPECT_EQ(at(esys, kRsaAkHandle), first_.rsa_ak);
    EXPECT_EQ(at(esys, kEccAkHandle), first_.ecc_ak);
    EXPECT_EQ(at(esys, kRsaEkHandle), first_.rsa_ek);
    EXPECT_EQ(at(esys, kEccEkHandle), first_.ecc_ek);
    EXPECT_TRUE(at(esys, kRsaSrkHandle));
    EXPECT_TRUE(at(esys, kEccSrkHandle));
  });
}

TEST_F(ProvisionTest, TheKeysAreMadeByTheirTemplates) {
  const auto expect = [](const PublicKey& key, const TPM2B_PUBLIC& wanted) {
    auto area = decoded(key);
    // What the TPM fills in is the only difference.
    EXPECT_NE(std::memcmp(&area.unique, &wanted.publicArea.unique, sizeof area.unique), 0);
    area.unique = wanted.publicArea.unique;
    EXPECT_EQ(std::memcmp(&area, &wanted.publicArea, sizeof area), 0);
  };
  expect(*first_.rsa_ak, rsa_ak_template());
  expect(*first_.ecc_ak, ecc_ak_template());
  expect(*first_.rsa_ek, rsa_ek_template());
  expect(*first_.ecc_ek, ecc_ek_template());
}

TEST_F(ProvisionTest, TwoTpmsShareNoKey) {
  const auto other = *provision(new_tpm().expose(), Past::kNew);
  EXPECT_NE(other.rsa_ak->name, first_.rsa_ak->name);
  EXPECT_NE(other.ecc_ak->name, first_.ecc_ak->name);
  EXPECT_NE(other.rsa_ek->name, first_.rsa_ek->name);
}

TEST_F(ProvisionTest, DefinesTheIndicesWithTheirAttributesAndSizes) {
  look(first_, [this](ESYS_CONTEXT* esys) {
    for (const auto index : {0x01400001U, 0x01400003U, 0x01C101D0U, 0x01C101D1U}) {
      ESYS_TR object = kNone;
      ASSERT_EQ(Esys_TR_FromTPMPublic(esys, index, kNone, kNone, kNone, &object), kDone) << index;
      TPM2B_NV_PUBLIC* space = nullptr;
      ASSERT_EQ(Esys_NV_ReadPublic(esys, object, kNone, kNone, kNone, &space, nullptr), kDone);
      EXPECT_EQ(space->nvPublic.attributes & ~TPMA_NV_WRITTEN, 0x42060004U);
      EXPECT_EQ(space->nvPublic.dataSize, 2048U);
      EXPECT_EQ(space->nvPublic.nameAlg, TPM2_ALG_SHA256);
      EXPECT_EQ(space->nvPublic.authPolicy.size, 0U);
      Esys_Free(space);
      // Nobody else can undefine it or write to it.
      EXPECT_NE(Esys_NV_UndefineSpace(esys, ESYS_TR_RH_OWNER, object, kPassword, kNone, kNone),
                kDone);
      const TPM2B_MAX_NV_BUFFER forged{.size = 1, .buffer = {1}};
      EXPECT_NE(Esys_NV_Write(esys, object, object, kPassword, kNone, kNone, &forged, 0), kDone);
      EXPECT_NE(Esys_NV_Write(esys, ESYS_TR_RH_OWNER, object, kPassword, kNone, kNone, &forged, 0),
                kDone);
      Esys_TR_Close(esys, &object);

      const auto before = read_index(esys, index);
      if (index == kAkCertificateIndex || index == kAkChainIndex) {
        EXPECT_EQ(error_code(before), ErrorCode::kNotFound) << "there is none";
      } else {
        EXPECT_TRUE(base::is_all_zero(*before)) << "its Name stays when the report comes";
      }
      const base::Bytes content(1500, std::byte{0x5A});
      ASSERT_TRUE(write_index(esys, index, *first_.index_password, content));
      auto padded = content;
      padded.resize(2048);
      EXPECT_EQ(*read_index(esys, index), padded);
    }
  });
}

TEST_F(ProvisionTest, LeavesNothingBehindButWhatItIsFor) {
  look(first_, [](ESYS_CONTEXT* esys) {
    for (const auto first :
         {TPM2_TRANSIENT_FIRST, TPM2_HMAC_SESSION_FIRST, TPM2_POLICY_SESSION_FIRST}) {
      TPMS_CAPABILITY_DATA* handles = nullptr;
      TPMI_YES_NO more = 0;
      ASSERT_EQ(Esys_GetCapability(esys, kNone, kNone, kNone, TPM2_CAP_HANDLES, first, 8, &more,
                                   &handles),
                kDone);
      EXPECT_EQ(handles->data.handles.count, 0U);
      Esys_Free(handles);
    }
    TPML_PCR_SELECTION boot{.count = 1, .pcrSelections = {{TPM2_ALG_SHA256, 3, {0xFF, 0, 0}}}};
    TPML_DIGEST* values = nullptr;
    ASSERT_EQ(Esys_PCR_Read(esys, kNone, kNone, kNone, &boot, nullptr, nullptr, &values), kDone);
    for (UINT32 i = 0; i < values->count; ++i) {
      EXPECT_TRUE(base::is_all_zero(std::as_bytes(std::span(values->digests[i].buffer, 32))));
    }
    Esys_Free(values);
  });
}

TEST_F(ProvisionTest, ALifeOfItsOwnIsOneReset) {
  const auto resets = [](const base::SecretBytes& state) {
    UINT32 count = 0;
    live(state, {[&](ESYS_CONTEXT* esys) {
           TPMS_TIME_INFO* time = nullptr;
           ASSERT_EQ(Esys_ReadClock(esys, kNone, kNone, kNone, &time), kDone);
           count = time->clockInfo.resetCount;
           EXPECT_EQ(time->clockInfo.safe, TPM2_YES);
           Esys_Free(time);
         }});
    return count;
  };
  const auto before = resets(first_.permanent_state);
  const auto again = *after({});  // a guest's life and then this one
  EXPECT_EQ(resets(again.permanent_state), before + 2);
}

TEST_F(ProvisionTest, KeepsTheKeysOverStartsAndDrawsANewPassword) {
  const auto again = after({});

  expect_same_keys(after({}));
  EXPECT_TRUE(again->twin) << "nobody waits for it here";
  EXPECT_FALSE(again->index_password->bytes.equals_in_constant_time(first_.index_password->bytes));
  look(*again, [&](ESYS_CONTEXT* esys) {
    EXPECT_FALSE(write_index(esys, kReportIndex, *first_.index_password, {}));
    EXPECT_TRUE(write_index(esys, kReportIndex, *again->index_password, {}));
  });
}

TEST_F(ProvisionTest, TheGuestsAuthorizationsAreNoObstacleWhereTheKeysAreThere) {
  expect_same_keys(after({set_auth(ESYS_TR_RH_OWNER), set_auth(ESYS_TR_RH_ENDORSEMENT),
                          forbid_clear, set_auth(ESYS_TR_RH_LOCKOUT)}));
}

TEST_F(ProvisionTest, AClearedTpmHasTheSameKeysAgain) { expect_same_keys(after({clear})); }

TEST_F(ProvisionTest, EvictedKeysAreThereAgain) { expect_same_keys(after({evict_aks})); }

TEST_F(ProvisionTest, ASquatterMakesRoom) {
  for (const auto handle : {kRsaAkHandle, kEccAkHandle, kRsaEkHandle, kEccEkHandle}) {
    expect_same_keys(after({squat_on(handle)}));
  }
}

// A key that has all that the AK has but the seed: a primary key of the owner by its template.
TEST_F(ProvisionTest, AnImpostorIsFoundByTheTwinAndGoneAtTheNextStart) {
  const auto impostor = [](ESYS_CONTEXT* esys) {
    evict(esys, kRsaAkHandle);
    auto place = attestation_places()[0];
    place.hierarchy = ESYS_TR_RH_OWNER;
    EXPECT_TRUE(put_key(esys, place));
  };
  auto fooled = after({impostor});
  ASSERT_TRUE(fooled) << fooled.error().message;
  ASSERT_TRUE(fooled->twin);
  EXPECT_NE(fooled->rsa_ak, first_.rsa_ak);
  EXPECT_FALSE(agrees(*fooled, *fooled->twin->names()));

  const auto marked =
      live(fooled->permanent_state, {[&](ESYS_CONTEXT* esys) {
             EXPECT_TRUE(write_index(esys, kExtendedClaimsIndex, *fooled->index_password,
                                     base::bytes_of(kDistrustMark)));
           }});
  auto next = provision(marked.expose(), Past::kUsed);
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_FALSE(next->twin) << "it was waited for";
  expect_same_keys(std::move(next));
}

TEST_F(ProvisionTest, ATwinThatDisagreesInAnyKeyDisagrees) {
  const auto names = TwinNames{.attestation = {first_.rsa_ak->name, first_.ecc_ak->name},
                               .endorsement = {first_.rsa_ek->name, first_.ecc_ek->name}};
  EXPECT_TRUE(agrees(first_, names));
  for (std::size_t i = 0; i < 2; ++i) {
    auto other = names;
    other.attestation[i].back() ^= std::byte{1};
    EXPECT_FALSE(agrees(first_, other));
    other = names;
    other.endorsement[i].back() ^= std::byte{1};
    EXPECT_FALSE(agrees(first_, other));
  }
}

TEST_F(ProvisionTest, AGuestThatKeepsUsFromTheAkHasNoneAndItsTpmIsLeftAlone) {
  for (const auto hierarchy : {ESYS_TR_RH_OWNER, ESYS_TR_RH_ENDORSEMENT}) {
    const auto missing = after({evict_aks, set_auth(hierarchy)});
    ASSERT_TRUE(missing) << missing.error().message;
    EXPECT_EQ(missing->obstacle, Obstacle::kAkMissing);
    EXPECT_FALSE(missing->rsa_ak);
    EXPECT_FALSE(missing->ecc_ak);
    EXPECT_THAT(missing->reason, testing::HasSubstr("there is no ECC AK"));

    const auto squatted = after({squat_on(kRsaAkHandle), set_auth(hierarchy)});
    ASSERT_TRUE(squatted) << squatted.error().message;
    EXPECT_EQ(squatted->obstacle, Obstacle::kAkSquatted);
    EXPECT_FALSE(squatted->rsa_ak) << "never the squatter's";
    EXPECT_EQ(squatted->ecc_ak, first_.ecc_ak);
    EXPECT_THAT(squatted->reason, testing::HasSubstr("0x81000003"));
    EXPECT_TRUE(squatted->index_password) << "the indices are the platform's";
  }
}

TEST_F(ProvisionTest, AnotherEndorsementSeedMakesOtherKeys) {
  const auto changed = after({[](ESYS_CONTEXT* esys) {
    EXPECT_EQ(Esys_ChangeEPS(esys, ESYS_TR_RH_PLATFORM, kPassword, kNone, kNone), kDone);
  }});
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(changed->obstacle, Obstacle::kNone);
  EXPECT_NE(changed->rsa_ak->name, first_.rsa_ak->name);
  look(*changed, [&](ESYS_CONTEXT* esys) { EXPECT_EQ(at(esys, kRsaAkHandle), changed->rsa_ak); });
}

TEST_F(ProvisionTest, AStorageKeyOfTheGuestStays) {
  const auto state = live(first_.permanent_state, {squat_on(kRsaSrkHandle)});
  std::optional<PublicKey> guests;
  live(state, {[&](ESYS_CONTEXT* esys) { guests = at(esys, kRsaSrkHandle); }});

  const auto again = *provision(state.expose(), Past::kUsed);

  EXPECT_EQ(again.obstacle, Obstacle::kNone);
  look(again, [&](ESYS_CONTEXT* esys) { EXPECT_EQ(at(esys, kRsaSrkHandle), guests); });
}

// The platform's authorization is the firmware's until it gives it away.
TEST_F(ProvisionTest, AnIndexOfTheGuestUnderOurNumberMakesRoom) {
  const auto again = after({[](ESYS_CONTEXT* esys) {
    ESYS_TR object = kNone;
    ASSERT_EQ(Esys_TR_FromTPMPublic(esys, kReportIndex, kNone, kNone, kNone, &object), kDone);
    ASSERT_EQ(Esys_NV_UndefineSpace(esys, ESYS_TR_RH_PLATFORM, object, kPassword, kNone, kNone),
              kDone);
    TPM2B_NV_PUBLIC space{};
    space.nvPublic.nvIndex = kReportIndex;
    space.nvPublic.nameAlg = TPM2_ALG_SHA256;
    space.nvPublic.attributes = TPMA_NV_OWNERREAD | TPMA_NV_OWNERWRITE;
    space.nvPublic.dataSize = 64;
    const TPM2B_AUTH none{};
    ASSERT_EQ(Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, kPassword, kNone, kNone, &none, &space,
                                  &object),
              kDone);
  }});
  ASSERT_TRUE(again) << again.error().message;
  look(*again, [&](ESYS_CONTEXT* esys) {
    EXPECT_TRUE(write_index(esys, kReportIndex, *again->index_password,
                            base::Bytes(kIndexBytes, std::byte{1})));
  });
}

TEST_F(ProvisionTest, CertificatesOutliveTheirIndicesAndReportsDoNot) {
  const tests::support::FakeCertifier authority;
  const auto certificate = authority.issue(first_.rsa_ak->area).der();
  const auto chain = authority.issue(first_.ecc_ak->area).der();
  const auto with_leaf = [&](const base::Bytes& leaf) {
    return after({[&](ESYS_CONTEXT* esys) {
      for (const auto index : our_indices()) {
        const auto& content = index == kAkCertificateIndex ? leaf : chain;
        EXPECT_TRUE(write_index(esys, index, *first_.index_password, content));
      }
    }});
  };
  const auto again = with_leaf(certificate);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->twin) << "nobody waits for it";
  look(*again, [&](ESYS_CONTEXT* esys) {
    const auto padded = [](base::Bytes content) {
      content.resize(kIndexBytes);
      return content;
    };
    EXPECT_EQ(*read_index(esys, kAkCertificateIndex), padded(certificate));
    EXPECT_EQ(*read_index(esys, kAkChainIndex), padded(chain));
    EXPECT_TRUE(base::is_all_zero(*read_index(esys, kReportIndex)));
    EXPECT_TRUE(base::is_all_zero(*read_index(esys, kExtendedClaimsIndex)));
  });
  // One that is for another key vouches for nothing here.
  for (const auto& leaf : {chain, base::Bytes(1200, std::byte{0x30})}) {
    const auto other = with_leaf(leaf);
    ASSERT_TRUE(other);
    look(*other, [&](ESYS_CONTEXT* esys) {
      EXPECT_EQ(error_code(read_index(esys, kAkCertificateIndex)), ErrorCode::kNotFound);
    });
  }
}

TEST_F(ProvisionTest, NoMoreThanAnIndexHoldsIsWritten) {
  look(first_, [this](ESYS_CONTEXT* esys) {
    EXPECT_EQ(error_code(write_index(esys, kReportIndex, *first_.index_password,
                                     base::Bytes(kIndexBytes + 1))),
              ErrorCode::kInvalidArgument);
  });
}

TEST_F(ProvisionTest, ATpmThatSleepsIsLeftAlone) {
  engine::MemoryNvStore memory;
  ASSERT_TRUE(memory.store(engine::BlobKind::kPermanent, first_.permanent_state.expose()));
  {
    auto engine = *engine::Engine::create(memory);
    ASSERT_TRUE(engine->start(engine::Origin::kExisting));
    EngineTcti tcti(*engine);
    ESYS_CONTEXT* esys = nullptr;
    ASSERT_EQ(Esys_Initialize(&esys, tcti.context(), nullptr), kDone);
    EXPECT_EQ(Esys_Startup(esys, TPM2_SU_CLEAR), kDone);
    EXPECT_EQ(Esys_Shutdown(esys, kNone, kNone, kNone, TPM2_SU_STATE), kDone);
    Esys_Finalize(&esys);
  }
  const auto asleep = *memory.load(engine::BlobKind::kPermanent);

  EXPECT_EQ(error_code(provision(asleep->expose(), Past::kUsed)), ErrorCode::kDenied);
}

TEST_F(ProvisionTest, WhatIsNoTpmStateIsAnError) {
  EXPECT_FALSE(provision(base::bytes_of("no TPM state"), Past::kUsed));
  EXPECT_FALSE(provision(base::bytes_of("no TPM state"), Past::kNew));
}

}  // namespace
}  // namespace vtpm::provision
