// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/swtpm_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/support/error_code.h"
#include "vmgs/format/swtpm_blob.h"
#include "vtpm/provision/tpm_life.h"

namespace vtpm::provision {
namespace {

using testing::ElementsAre;

base::Bytes state_of(const std::string& name) {
  std::ifstream file(std::string(STRONGROOM_TEST_DATA) + "/swtpm/" + name, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  return base::copy_of(vmgs::format::decode_swtpm_blob(base::bytes_of(content))->state);
}

std::unique_ptr<TpmLife> life_of(const std::string& name) {
  auto life = TpmLife::begin(state_of(name));
  EXPECT_TRUE(life) << life.error().message;
  return *std::move(life);
}

void expect_same(const TpmLife& life, const KeyPlace& place) {
  const auto theirs = key_at(life.esys(), place.handle);
  const auto ours = primary_key(life.esys(), place);
  ASSERT_TRUE(theirs && *theirs && ours) << place.what;
  EXPECT_EQ(base::to_hex(ours->name), base::to_hex((*theirs)->name)) << place.what;
}

// The same seeds make the keys that swtpm_setup made: nobody can tell the TPMs apart.
TEST(SwtpmLayoutTest, MakesTheKeysOfSwtpmSetup) {
  {
    const auto life = life_of("setup-rsa2048.permall");
    expect_same(*life, swtpm_rsa2048_ek().place);
    expect_same(*life, swtpm_ecc_p384_ek().place);
    expect_same(*life, swtpm_rsa2048_srk());
  }
  const auto life = life_of("setup-rsa3072-ecc.permall");
  expect_same(*life, swtpm_rsa3072_ek().place);
  expect_same(*life, swtpm_ecc_p384_ek().place);
  expect_same(*life, swtpm_ecc_p384_srk());
}

TEST(SwtpmLayoutTest, GivesTheNumbersOfAKey) {
  const auto life = life_of("setup-rsa2048.permall");

  const auto rsa = public_numbers(**key_at(life->esys(), 0x81010001));
  const auto ecc = public_numbers(**key_at(life->esys(), 0x81010016));

  ASSERT_TRUE(rsa && ecc);
  EXPECT_EQ(rsa->modulus.size(), 256U);
  EXPECT_EQ(ecc->x.size(), 48U);
  EXPECT_EQ(ecc->y.size(), 48U);
  EXPECT_TRUE(ecc->modulus.empty());
}

TEST(SwtpmLayoutTest, ChangesTheActivePcrBanks) {
  auto life = life_of("setup-rsa2048.permall");
  EXPECT_THAT(pcr_banks(life->esys())->active, ElementsAre("sha256"));
  EXPECT_THAT(pcr_banks(life->esys())->all, ElementsAre("sha1", "sha256", "sha384", "sha512"));

  ASSERT_TRUE(activate_pcr_banks(life->esys(), {"sha1", "sha512", "sm3"}));
  EXPECT_EQ(tests::support::error_code(activate_pcr_banks(life->esys(), {"sm3"})),
            base::ErrorCode::kInvalidArgument);
  const auto state = life->end();
  ASSERT_TRUE(state);
  life.reset();

  const auto next = TpmLife::begin(state->expose());
  ASSERT_TRUE(next);
  EXPECT_THAT(pcr_banks((*next)->esys())->active, ElementsAre("sha1", "sha512"));
}

TEST(SwtpmLayoutTest, WritesCertificatesThatStayAsTheyAre) {
  const auto life = life_of("setup-rsa2048.permall");
  const base::Bytes certificate(1500, std::byte{0x30});

  ASSERT_TRUE(put_swtpm_index(life->esys(), 0x01C00002, certificate, true));

  EXPECT_FALSE(put_swtpm_index(life->esys(), 0x01C00002, certificate, true)) << "it is there";
  ESYS_TR object = ESYS_TR_NONE;
  ASSERT_EQ(Esys_TR_FromTPMPublic(life->esys(), 0x01C00002, ESYS_TR_NONE, ESYS_TR_NONE,
                                  ESYS_TR_NONE, &object),
            TSS2_RC_SUCCESS);
  TPM2B_NV_PUBLIC* space = nullptr;
  ASSERT_EQ(Esys_NV_ReadPublic(life->esys(), object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                               &space, nullptr),
            TSS2_RC_SUCCESS);
  // As tpm2_nvreadpublic shows it of swtpm_setup's.
  EXPECT_EQ(space->nvPublic.attributes, 0x62072801U);
  EXPECT_EQ(space->nvPublic.dataSize, 1500U);
  Esys_Free(space);
  EXPECT_FALSE(put_swtpm_index(life->esys(), 0x01C00016, base::Bytes(2049), false));
}

}  // namespace
}  // namespace vtpm::provision
