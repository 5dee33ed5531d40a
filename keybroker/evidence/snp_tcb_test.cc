// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_tcb.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "vmgs/base/bytes.h"

namespace keybroker::evidence {
namespace {

RawTcb raw(std::string_view hex) {
  RawTcb out{};
  std::ranges::copy(*base::from_hex(hex), out.begin());
  return out;
}

TEST(SnpTcbTest, NamesTheComponentsOfEachForm) {
  EXPECT_EQ(decode_tcb(raw("0102000000000304"), TcbForm::kMilanGenoa),
            (TcbVersion{.boot_loader = 1, .tee = 2, .snp = 3, .microcode = 4}));
  EXPECT_EQ(decode_tcb(raw("0102030400000005"), TcbForm::kTurin),
            (TcbVersion{.fmc = 1, .boot_loader = 2, .tee = 3, .snp = 4, .microcode = 5}));
}

TEST(SnpTcbTest, ComesBackAsItWasWritten) {
  for (const auto form : {TcbForm::kMilanGenoa, TcbForm::kTurin}) {
    TcbVersion tcb{.boot_loader = 1, .tee = 2, .snp = 3, .microcode = 4};
    tcb.fmc = form == TcbForm::kTurin ? 9 : 0;
    EXPECT_EQ(decode_tcb(encode_tcb(tcb, form), form), tcb);
  }
}

TEST(SnpTcbTest, ComparesComponentsAndNotTheInteger) {
  const TcbVersion now{.fmc = 1, .boot_loader = 2, .tee = 2, .snp = 8, .microcode = 115};

  EXPECT_TRUE(reaches(now, now));
  for (auto component : {&TcbVersion::fmc, &TcbVersion::boot_loader, &TcbVersion::tee,
                         &TcbVersion::snp, &TcbVersion::microcode}) {
    auto higher = now;
    higher.*component = static_cast<std::uint8_t>(now.*component + 1);
    EXPECT_FALSE(reaches(now, higher));
    EXPECT_TRUE(reaches(higher, now));
  }

  // As integers the first is far above; it still does not reach the second.
  const TcbVersion newer_microcode{.boot_loader = 2, .snp = 8, .microcode = 200};
  const TcbVersion newer_loader{.boot_loader = 3, .snp = 8, .microcode = 115};
  EXPECT_FALSE(reaches(newer_microcode, newer_loader));
  EXPECT_FALSE(reaches(newer_loader, newer_microcode));
}

TEST(SnpTcbTest, DescribesItselfInWords) {
  const TcbVersion tcb{.fmc = 1, .boot_loader = 3, .tee = 0, .snp = 8, .microcode = 115};

  EXPECT_EQ(describe(tcb, TcbForm::kMilanGenoa), "boot loader 3, TEE 0, SNP 8, microcode 115");
  EXPECT_EQ(describe(tcb, TcbForm::kTurin), "FMC 1, boot loader 3, TEE 0, SNP 8, microcode 115");
}

}  // namespace
}  // namespace keybroker::evidence
