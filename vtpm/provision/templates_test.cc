// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/templates.h"

#include <gtest/gtest.h>
#include <tss2/tss2_mu.h>

#include <array>
#include <span>
#include <string>

#include "vmgs/base/bytes.h"

namespace vtpm::provision {
namespace {

TEST(TemplatesTest, AreByteForByteThoseOfTheDocuments) {
  const auto hex = [](const TPM2B_PUBLIC& made) {
    std::array<std::uint8_t, sizeof(TPMT_PUBLIC)> bytes{};
    std::size_t size = 0;
    EXPECT_EQ(Tss2_MU_TPMT_PUBLIC_Marshal(&made.publicArea, bytes.data(), bytes.size(), &size),
              TSS2_RC_SUCCESS);
    return base::to_hex(std::as_bytes(std::span(bytes).first(size)));
  };
  const std::string policy = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
  const std::string rsa_unique = "0100" + std::string(512, '0');
  const std::string ecc_unique = "0020" + std::string(64, '0') + "0020" + std::string(64, '0');
  EXPECT_EQ(hex(rsa_ak_template()),
            "0001000b00050472"
            "0000"
            "0010"
            "0014000b"
            "0800"
            "00000000" +
                rsa_unique);
  EXPECT_EQ(hex(ecc_ak_template()),
            "0023000b00050472"
            "0000"
            "0010"
            "0018000b"
            "0003"
            "0010" +
                ecc_unique);
  EXPECT_EQ(hex(rsa_ek_template()),
            "0001000b000300b2"
            "0020" +
                policy +
                "000600800043"
                "0010"
                "0800"
                "00000000" +
                rsa_unique);
  EXPECT_EQ(hex(ecc_ek_template()),
            "0023000b000300b2"
            "0020" +
                policy +
                "000600800043"
                "0010"
                "0003"
                "0010" +
                ecc_unique);
  EXPECT_EQ(hex(rsa_srk_template()),
            "0001000b00030472"
            "0000"
            "000600800043"
            "0010"
            "0800"
            "00000000" +
                rsa_unique);
  EXPECT_EQ(hex(ecc_srk_template()),
            "0023000b00030472"
            "0000"
            "000600800043"
            "0010"
            "0003"
            "0010" +
                ecc_unique);
}

}  // namespace
}  // namespace vtpm::provision
