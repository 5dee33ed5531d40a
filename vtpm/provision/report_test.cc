// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/report.h"

#include <gtest/gtest.h>

#include "keybroker/evidence/hcl_report.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/protocol/runtime_claims.h"
#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "vmgs/crypto/digest.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/provision/nv_indices.h"
#include "vtpm/provision/provision.h"

namespace vtpm::provision {
namespace {

namespace evidence = keybroker::evidence;
namespace protocol = keybroker::protocol;
using tests::support::FakeTee;

ClaimedKeys keys_of_a_tpm() {
  engine::MemoryNvStore memory;
  base::Result<base::SecretBytes> state = base::fail(base::ErrorCode::kNotFound, "");
  {
    auto engine = *engine::Engine::create(memory);
    EXPECT_TRUE(engine->start(engine::Origin::kManufacture));
    state = engine->state_blob(engine::BlobKind::kPermanent);
  }
  auto provisioned = *provision(state->expose(), Past::kNew);
  return {.rsa_ak = *provisioned.rsa_ak,
          .rsa_ek = *provisioned.rsa_ek,
          .ecc_ak = provisioned.ecc_ak,
          .ecc_ek = provisioned.ecc_ek};
}

const ClaimedKeys& keys() {
  static const ClaimedKeys made = keys_of_a_tpm();
  return made;
}

Statement confidential() {
  Statement statement;
  statement.vm_id.fill(std::byte{0x11});
  statement.boot_id.fill(std::byte{0x22});
  statement.launch = base::Bytes(32, std::byte{0x33});
  statement.secure_boot = true;
  statement.home = protocol::Home::kParavisor;
  statement.state_protection = {.mode = protocol::Protection::kHardware, .kek = "", .tcb = "03"};
  return statement;
}

UserData user_data() {
  UserData data{};
  data.fill(std::byte{0xAB});
  return data;
}

evidence::HclReport decoded(const Report& report) {
  auto hcl = evidence::decode_hcl_report(report.hcl);
  EXPECT_TRUE(hcl) << hcl.error().message;
  EXPECT_TRUE(evidence::has_own_form(report.hcl));
  return *hcl;
}

TEST(ReportTest, BindsItsClaimsToTheHardware) {
  auto snp = FakeTee::snp();
  auto tdx = FakeTee::tdx();
  for (auto* tee : {&snp, &tdx}) {
    const auto report = make_report(confidential(), keys(), tee, user_data());
    ASSERT_TRUE(report) << report.error().message;

    const auto hcl = decoded(*report);
    const bool is_snp = tee == &snp;
    EXPECT_EQ(hcl.type, is_snp ? evidence::HclReportType::kSnp : evidence::HclReportType::kTdx);
    const auto report_data = base::ByteView(hcl.hardware_report).subspan(is_snp ? 0x50 : 128, 64);
    const auto digest = vmgs::crypto::sha256(base::bytes_of(hcl.claims));
    EXPECT_EQ(base::to_hex(report_data.first(32)), base::to_hex(digest));
    EXPECT_TRUE(base::is_all_zero(report_data.last(32)));
  }
}

TEST(ReportTest, OfAnOrdinaryVmHasNoHardwareReport) {
  const auto report = *make_report(confidential(), keys(), nullptr, user_data());
  EXPECT_EQ(decoded(report).type, evidence::HclReportType::kTrustedVm);
}

TEST(ReportTest, ClaimsTheAkAndWhatTheGuestWrote) {
  auto tee = FakeTee::snp();
  const auto report = *make_report(confidential(), keys(), &tee, user_data());

  const auto claims = *protocol::decode_runtime_claims(decoded(report).claims);
  ASSERT_EQ(claims.keys.size(), 1U);
  const auto ak = evidence::decode_tpm_public(keys().rsa_ak.area)->key.rsa_numbers();
  EXPECT_EQ(claims.keys[0].kid, "HCLAkPub");
  EXPECT_EQ(claims.keys[0].modulus, ak->modulus);
  EXPECT_EQ(evidence::template_ak_name(*ak), keys().rsa_ak.name);
  EXPECT_EQ(claims.user_data, user_data());
  EXPECT_EQ(claims.vm.secure_boot, true);
  EXPECT_EQ(claims.vm.tpm_enabled, true);
  EXPECT_EQ(claims.vm.tpm_persisted, true);
  EXPECT_EQ(claims.vm.vm_unique_id, "11111111-1111-1111-1111-111111111111");
  EXPECT_EQ(claims.vm.hardware_sealing_policy, "hash");
  EXPECT_EQ(claims.extended_digest, vmgs::crypto::sha256(base::bytes_of(report.extended_claims)));
}

TEST(ReportTest, TheExtendedClaimsSayWhatTheOthersHaveNoRoomFor) {
  auto tee = FakeTee::snp();
  const auto report = *make_report(confidential(), keys(), &tee, user_data());

  const auto claims = *protocol::decode_extended_claims(report.extended_claims);
  EXPECT_EQ(claims.purpose, "report");
  EXPECT_EQ(claims.vm_id, confidential().vm_id);
  EXPECT_EQ(claims.boot_id, confidential().boot_id);
  EXPECT_EQ(claims.launch, confidential().launch);
  EXPECT_EQ(claims.home, protocol::Home::kParavisor);
  EXPECT_EQ(claims.origin, protocol::SeedOrigin::kOwn);
  EXPECT_EQ(claims.lifetime, protocol::Lifetime::kPersistent);
  EXPECT_EQ(claims.state_protection, confidential().state_protection);
  EXPECT_EQ(claims.ak_name, keys().rsa_ak.name);
  EXPECT_EQ(claims.ek_name, keys().rsa_ek.name);
  EXPECT_EQ(claims.ecc_ak_name, keys().ecc_ak->name);
  EXPECT_EQ(claims.ecc_ek_name, keys().ecc_ek->name);
  EXPECT_FALSE(claims.tee_simulated);
}

TEST(ReportTest, AnEphemeralVmsStateIsNotSealed) {
  auto statement = confidential();
  statement.lifetime = protocol::Lifetime::kEphemeral;
  statement.state_protection = {};
  auto tee = FakeTee::tdx();
  const auto claims = *protocol::decode_runtime_claims(
      decoded(*make_report(statement, keys(), &tee, user_data())).claims);
  EXPECT_EQ(claims.vm.tpm_persisted, false);
  EXPECT_EQ(claims.vm.hardware_sealing_policy, "none");
}

// What they hold has a fixed size but for a few words; these are the longest of them.
TEST(ReportTest, FitsItsIndicesAtItsLargest) {
  auto statement = confidential();
  statement.launch.resize(48);
  statement.secure_boot = false;
  statement.lifetime = protocol::Lifetime::kEphemeral;
  statement.origin = protocol::SeedOrigin::kImported;
  statement.state_protection = {.mode = protocol::Protection::kHardware,
                                .kek = std::string(64, 'f'),
                                .tcb = std::string(64, 'f')};
  auto tee = FakeTee::snp();
  const auto report = *make_report(statement, keys(), &tee, user_data());
  EXPECT_LE(report.hcl.size(), kIndexBytes);
  EXPECT_LE(report.extended_claims.size(), kIndexBytes);
}

TEST(ReportTest, PassesOnWhatFailsInTheTee) {
  auto tee = FakeTee::snp();
  tee.report_fails = base::Error{base::ErrorCode::kUnavailable, "busy"};
  EXPECT_EQ(tests::support::error_code(make_report(confidential(), keys(), &tee, user_data())),
            base::ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace vtpm::provision
