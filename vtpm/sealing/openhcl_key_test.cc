// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/openhcl_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/hw_key_protector.h"

namespace vtpm::sealing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::support::error_code;
using tests::support::FakeTee;

// The known answers below were computed independently, in Python and OpenSSL; the TEE's key is what
// OpenVMM's mock TEE returns for a measurement of 32 bytes 0x7A and TCB 0x7308000000000003.
constexpr std::string_view kTeeKey = "d2d1d1d1d1d1d9a2";  // four times
constexpr std::string_view kVmConfiguration =
    R"({"root-cert-thumbprint":"","console-enabled":false,"interactive-console-enabled":false,)"
    R"("secure-boot":false,"tpm-enabled":false,"tpm-persisted":false,)"
    R"("filtered-vpci-devices-allowed":true,"vmUniqueId":"","hardware-sealing-policy":"hash"})";
constexpr std::string_view kV3 =
    "0300000080000000000000000300000000000873000000000000000000000000000000000000000000000000010000"
    "00"
    "000102030405060708090a0b0c0d0e0fa5fe69c1efe4cf327a6724a6914d21497fee006dfb936fefd612a8cd6d5023"
    "77"
    "56cb15641a9805ef18884192a9710319a4ef41466950cb4836136ca90bf24a2b";

FakeTee known_tee() {
  auto tee = FakeTee::snp();
  tee.fixed_key.emplace();
  const auto quarter = *base::from_hex(kTeeKey);
  for (std::size_t i = 0; i < tee.fixed_key->size(); ++i) {
    (*tee.fixed_key)[i] = quarter[i % quarter.size()];
  }
  return tee;
}

// The same root key and derived keys in version 2, whose MAC was computed with `openssl mac`.
base::Bytes version_2() {
  vmgs::format::HwKeyProtector protector =
      *vmgs::format::decode_hw_key_protector(*base::from_hex(kV3));
  protector.version = 2;
  auto bytes = encode(protector);
  const auto mac_key =
      *base::from_hex("278f4c343f4739c5236501b1de93f3ef3effc96413f4e8b73c6d64c38fbe0577");
  const auto mac = vmgs::crypto::hmac_sha256(mac_key, base::ByteView(bytes).first(72));
  std::copy(mac.begin(), mac.end(), bytes.begin() + 72);
  return bytes;
}

std::string opened_hex(base::ByteView protector, tee::Tee& tee,
                       std::string_view vm_configuration = kVmConfiguration) {
  const auto key = open_hw_key_protector(protector, tee, vm_configuration);
  return key ? base::to_hex(key->bytes.expose()) : key.error().message;
}

std::string ab_32_times() {
  std::string text;
  for (int i = 0; i < 32; ++i) {
    text += "ab";
  }
  return text;
}

TEST(OpenHclKeyTest, TheContextOfTheKnownAnswerIsTheDocumentedOne) {
  EXPECT_EQ(kVmConfiguration.size(), 235U);
  EXPECT_EQ(base::to_hex(vmgs::crypto::sha256(base::bytes_of(kVmConfiguration))),
            "ed2806160d07e7107e963682cbd46f88869ca29322e2921153b2ac3a9e69b1f4");
}

TEST(OpenHclKeyTest, OpensTheKnownVersion3) {
  auto tee = known_tee();

  EXPECT_EQ(opened_hex(*base::from_hex(kV3), tee), ab_32_times());
  EXPECT_EQ(tee.asked.scheme, tee::KeyScheme::kOpenHclHash);
  EXPECT_EQ(base::to_hex(tee.asked.svn), "0300000000000873" + std::string(48, '0'));
}

TEST(OpenHclKeyTest, OpensVersion2) {
  auto tee = known_tee();

  EXPECT_EQ(opened_hex(version_2(), tee), ab_32_times());
}

TEST(OpenHclKeyTest, AsksForTheSignersKeyWhereTheMeasurementIsLeftOut) {
  auto tee = known_tee();
  auto bytes = *base::from_hex(kV3);
  bytes[44] = std::byte{0};

  EXPECT_FALSE(open_hw_key_protector(bytes, tee, kVmConfiguration));
  EXPECT_EQ(tee.asked.scheme, tee::KeyScheme::kOpenHclSigner);
}

TEST(OpenHclKeyTest, RefusesAnotherConfigurationAndSaysHowLongItWas) {
  auto tee = known_tee();
  std::string changed(kVmConfiguration);
  changed.replace(changed.find("false"), 5, "true");

  const auto key = open_hw_key_protector(*base::from_hex(kV3), tee, changed);

  ASSERT_EQ(error_code(key), base::ErrorCode::kAuthentication);
  EXPECT_THAT(key.error().message,
              AllOf(HasSubstr("given are 234 bytes"), HasSubstr("microcode 115"),
                    HasSubstr("bound to the launch measurement")));
}

TEST(OpenHclKeyTest, RefusesEveryAlteredBit) {
  auto tee = known_tee();
  const auto bytes = *base::from_hex(kV3);
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    auto altered = bytes;
    altered[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
    ASSERT_FALSE(open_hw_key_protector(altered, tee, kVmConfiguration)) << "bit " << i;
  }
}

TEST(OpenHclKeyTest, NamesTheOtherTee) {
  auto tdx = FakeTee::tdx();

  const auto key = open_hw_key_protector(*base::from_hex(kV3), tdx, kVmConfiguration);

  ASSERT_EQ(error_code(key), base::ErrorCode::kDenied);
  EXPECT_THAT(key.error().message, HasSubstr("sealed by SEV-SNP, this VM runs on TDX"));
}

TEST(OpenHclKeyTest, AnExportIsAVersion3ThatOpensAgain) {
  for (auto& fake : {FakeTee::snp(), FakeTee::tdx()}) {
    auto tee = fake;
    tee.machine.reported_svn[0] = std::byte{2};
    const auto bytes = *base::from_hex(ab_32_times());
    const DatastoreKey key{base::Secret<32>::copy_of(std::span(bytes).first<32>())};

    const auto exported = export_hw_key_protector(key, tee, kVmConfiguration);

    ASSERT_TRUE(exported);
    const auto decoded = *vmgs::format::decode_hw_key_protector(*exported);
    EXPECT_EQ(decoded.version, 3U);
    EXPECT_TRUE(decoded.mix_measurement);
    EXPECT_EQ(decoded.svn, tee.machine.reported_svn);
    EXPECT_EQ(decoded.tdx, tee.machine.family == tee::TeeFamily::kTdx);
    EXPECT_EQ(opened_hex(*exported, tee), ab_32_times());
    EXPECT_NE(*exported, *export_hw_key_protector(key, tee, kVmConfiguration));
  }
}

}  // namespace
}  // namespace vtpm::sealing
