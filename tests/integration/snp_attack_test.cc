// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/crypto/der.h"
#include "keybroker/evidence/snp_certificates.h"
#include "tests/integration/snp_case.h"

// What can be done with SNP reports and the certificates beside them where only the right keys can
// sign it. Each test spoils one thing of a report that is accepted.
namespace tests::integration {
namespace {

// A mint with the same names and other keys; drawing three RSA keys anew would take seconds.
const SnpMint& forger() {
  const auto& keys = support::snp_mint_keys();
  static const auto mint =
      *SnpMint::make(SnpProduct::kGenoa, {keys.ask, keys.asvk, keys.ark}, mint_begin());
  return mint;
}

TEST(SnpAttackTest, AnHonestReportOfEachKindIsAccepted) {
  for (const auto product : {SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin}) {
    for (const auto kind : {SnpSigningKey::kVcek, SnpSigningKey::kVlek}) {
      EXPECT_EQ(SnpCase(product, kind).judged(), "accepted") << name(product);
    }
    // Version 2 does not say which processor it is of, version 4 is laid out as version 3.
    EXPECT_EQ(with(SnpCase(product),
                   [](SnpCase& input) {
                     input.report.version = 2;
                     input.report.cpuid_family = input.report.cpuid_model = 0;
                   }),
              "accepted");
    for (const std::uint32_t version : {3U, 4U}) {
      EXPECT_EQ(with(SnpCase(product), [&](SnpCase& input) { input.report.version = version; }),
                "accepted");
    }
  }
}

// S7, what is left of it: signed, and reserved all the same.
TEST(SnpAttackTest, SignedReservedBitsAreRefused) {
  EXPECT_EQ(with([](SnpCase& input) { input.report.reserved_1eb = std::byte{1}; }),
            "snp-report-reserved");
  EXPECT_EQ(with([](SnpCase& input) { input.report.reserved_1ef = std::byte{1}; }),
            "snp-report-reserved");
  for (unsigned bit = 5; bit < 32; ++bit) {
    EXPECT_EQ(with([&](SnpCase& input) { input.report.key_info = 1U << bit; }),
              "snp-report-reserved");
  }
  for (unsigned bit = 26; bit < 64; ++bit) {
    EXPECT_EQ(with([&](SnpCase& input) { input.report.policy = 0x30000 | 1ULL << bit; }),
              "snp-report-reserved");
  }
  for (const std::uint32_t version : {2U, 3U, 4U}) {
    EXPECT_EQ(with([&](SnpCase& input) {
                input.report.version = version;
                input.report.cpuid_family = version < 3 ? 0 : 0x19;
                input.report.cpuid_model = version < 3 ? 0 : 0x11;
                input.report.current_mitigations = 1;
              }),
              "snp-report-reserved");
  }
  EXPECT_EQ(with([](SnpCase& input) { input.report.version = 2; }),
            "snp-report-reserved");  // names a CPU
}

// S10: the report says which key signed it, and its signature covers that.
TEST(SnpAttackTest, TheSignerIsTheOneThatTheReportNames) {
  EXPECT_EQ(with([](SnpCase& input) {
              input.report.key_info = 1U << 2U;
              input.policy.snp.signers = {SnpSigningKey::kVcek, SnpSigningKey::kVlek};
            }),
            "snp-signer-mismatch");
  EXPECT_EQ(with(vlek(),
                 [](SnpCase& input) {
                   input.report.key_info = 0;
                   input.policy.snp.signers = {SnpSigningKey::kVcek, SnpSigningKey::kVlek};
                 }),
            "snp-signer-mismatch");
  EXPECT_EQ(with([](SnpCase& input) { input.report.key_info = 2U << 2U; }),
            "snp-signing-key-unknown");
  EXPECT_EQ(with([](SnpCase& input) { input.report.key_info = 7U << 2U; }), "snp-report-unsigned");
  EXPECT_EQ(with([](SnpCase& input) { input.report.key_info = 2U; }), "snp-report-unsigned");
}

// S12, S13: the same key in both certificates, so that only what they say tells them apart.
TEST(SnpAttackTest, TheCertificateIsOfThisChipAtThisTcb) {
  EXPECT_EQ(with([](SnpCase& input) { input.extension("4").content.back() ^= std::byte{1}; }),
            "snp-chip-mismatch");
  for (const char* component : {"3.1", "3.2", "3.3", "3.8"}) {
    for (const int by : {-1, 1}) {
      EXPECT_EQ(with([&](SnpCase& input) {
                  auto& content = input.extension(component).content;
                  content = crypto::encode_der_integer(*crypto::decode_der_integer(content) + by);
                }),
                "snp-tcb-mismatch")
          << component;
    }
  }
}

// S15.
TEST(SnpAttackTest, ATurinHasItsOwnTcb) {
  const SnpCase turin(SnpProduct::kTurin);
  EXPECT_EQ(with(turin,
                 [](SnpCase& input) {
                   auto& report = input.report;
                   report.reported_tcb = encode_tcb(input.tcb(), TcbForm::kMilanGenoa);
                 }),
            "snp-tcb-mismatch");
  EXPECT_EQ(with(turin, [](SnpCase& input) { input.drop("3.9"); }), "snp-tcb-mismatch");
  EXPECT_EQ(
      with(turin,
           [](SnpCase& input) { input.extension("3.9").content = crypto::encode_der_integer(2); }),
      "snp-tcb-mismatch");
  EXPECT_EQ(with(turin, [](SnpCase& input) { input.report.chip_id[8] = std::byte{1}; }),
            "snp-chip-mismatch");
  // And the other lines have none of it.
  EXPECT_EQ(
      with([](SnpCase& input) {
        input.spec.extensions.push_back({kAmd + ".3.9", false, crypto::encode_der_integer(0)});
      }),
      "snp-spl-malformed");
}

// S16.
TEST(SnpAttackTest, AHardwareIdHasOneSizeAndMayBeWrapped) {
  const auto with_id = [](SnpProduct product, auto change) {
    return with(SnpCase(product), [&](SnpCase& input) { change(input.extension("4").content); });
  };
  for (const auto product : {SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin}) {
    EXPECT_EQ(with_id(product, [](base::Bytes& id) { id = crypto::encode_der_octets(id); }),
              "accepted");
    EXPECT_EQ(with_id(product, [](base::Bytes& id) { id.pop_back(); }), "snp-hwid-malformed");
    EXPECT_EQ(with_id(product, [](base::Bytes& id) { id.push_back(std::byte{0}); }),
              "snp-hwid-malformed");
    EXPECT_EQ(with_id(product,
                      [](base::Bytes& id) {
                        id.pop_back();
                        id = crypto::encode_der_octets(id);
                      }),
              "snp-hwid-malformed");
  }
  EXPECT_EQ(with_id(SnpProduct::kGenoa, [](base::Bytes& id) { id.resize(8); }),
            "snp-hwid-malformed");
  EXPECT_EQ(with_id(SnpProduct::kTurin, [](base::Bytes& id) { id.resize(64); }),
            "snp-hwid-malformed");
  EXPECT_EQ(with([](SnpCase& input) { input.drop("4"); }), "snp-hwid-malformed");
  EXPECT_EQ(with([](SnpCase& input) { input.spec.extensions.push_back(input.extension("4")); }),
            "snp-hwid-malformed");
  // A VCEK names no provider, a VLEK no chip.
  EXPECT_EQ(with([](SnpCase& input) {
              input.spec.extensions.push_back({kAmd + ".5", false, crypto::encode_der_ia5("CN=a")});
            }),
            "snp-hwid-malformed");
  EXPECT_EQ(with(vlek(), [](SnpCase& input) { input.drop("5"); }), "snp-hwid-malformed");
  EXPECT_EQ(with(vlek(),
                 [](SnpCase& input) {
                   input.spec.extensions.push_back({kAmd + ".4", false, base::Bytes(64)});
                 }),
            "snp-hwid-malformed");
}

// S17.
TEST(SnpAttackTest, APatchLevelIsAByteInItsOneForm) {
  const auto with_level = [](const std::string& der) {
    return with([&](SnpCase& input) { input.extension("3.8").content = *base::from_hex(der); });
  };
  for (const int level : {128, 200, 255}) {
    SnpCase input;
    input.microcode = static_cast<std::uint8_t>(level);
    auto& report = input.report;
    report.current_tcb = report.reported_tcb = report.committed_tcb = report.launch_tcb =
        encode_tcb(input.tcb(), TcbForm::kMilanGenoa);
    input.extension("3.8").content = crypto::encode_der_integer(level);
    EXPECT_EQ(input.extension("3.8").content.size(), 4U);  // two bytes of content
    EXPECT_EQ(input.judged(), "accepted") << level;
  }
  EXPECT_EQ(with_level("020200db"), "accepted");
  EXPECT_EQ(with_level("0201db"), "snp-spl-malformed");      // negative
  EXPECT_EQ(with_level("02020100"), "snp-spl-malformed");    // 256
  EXPECT_EQ(with_level("02030000db"), "snp-spl-malformed");  // not the shortest form
  EXPECT_EQ(with_level("020200db00"), "snp-spl-malformed");
  EXPECT_EQ(with_level("0401db"), "snp-spl-malformed");  // no INTEGER
  EXPECT_EQ(with_level(""), "snp-spl-malformed");
  for (const char* suffix : {"1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8"}) {
    EXPECT_EQ(with([&](SnpCase& input) { input.drop(suffix); }), "snp-spl-malformed") << suffix;
    EXPECT_EQ(
        with([&](SnpCase& input) { input.spec.extensions.push_back(input.extension(suffix)); }),
        "snp-spl-malformed")
        << suffix;
  }
  for (const char* reserved : {"3.4", "3.5", "3.6", "3.7"}) {
    EXPECT_EQ(with([&](SnpCase& input) {
                input.extension(reserved).content = crypto::encode_der_integer(1);
              }),
              "snp-spl-malformed");
  }
}

// S18.
TEST(SnpAttackTest, AReportIsOfTheLineOfItsCertificates) {
  // A following generation whose root nobody pinned yet, and processors that do not exist.
  for (const auto& [family, model] : {std::pair(0x1A, 0x50), std::pair(0x1A, 0x12),
                                      std::pair(0x19, 0x20), std::pair(0x17, 0x01)}) {
    EXPECT_EQ(with([cpu = std::pair(family, model)](SnpCase& input) {
                input.report.cpuid_family = static_cast<std::uint8_t>(cpu.first);
                input.report.cpuid_model = static_cast<std::uint8_t>(cpu.second);
              }),
              "snp-product-unknown");
  }
  EXPECT_EQ(with([](SnpCase& input) { input.report.cpuid_model = 0x01; }), "snp-product-mismatch");
  EXPECT_EQ(
      with([](SnpCase& input) { input.extension("2").content = crypto::encode_der_ia5("Milan"); }),
      "snp-product-mismatch");
  EXPECT_EQ(with([](SnpCase& input) {
              input.extension("2").content = crypto::encode_der_ia5("Genoa-B1");
            }),
            "accepted");
  // The certificates of another line, in full or in part. The lines of this mint share their keys,
  // so only their names can tell them apart.
  const SnpCase genoa;
  auto evidence = genoa.evidence();
  evidence.snp_certificates[2] = snp_mint(SnpProduct::kMilan).ark();
  EXPECT_EQ(genoa.judged_as(evidence), "snp-root-untrusted");
  evidence = genoa.evidence();
  evidence.snp_certificates[1] = snp_mint(SnpProduct::kMilan).ask();
  EXPECT_EQ(genoa.judged_as(evidence), "snp-intermediate-kind");
}

// S19.
TEST(SnpAttackTest, ARootOfTheSameNameIsAnother) {
  SnpCase input;
  auto evidence = input.evidence();
  evidence.snp_certificates = {*forger().issue_by_ask(input.spec, input.key.public_key()),
                               forger().ask(), forger().ark()};
  EXPECT_EQ(evidence.snp_certificates[2].subject_der(), input.mint().ark().subject_der());
  input.crls.push_back(*forger().crl(mint_begin(), mint_begin() + kYear));
  EXPECT_EQ(input.judged_as(evidence), "snp-root-untrusted");
  // With the root that is trusted behind them, their signatures do not lead there.
  evidence.snp_certificates[2] = input.mint().ark();
  EXPECT_EQ(input.judged_as(evidence), "snp-chain-broken");
}

// S20.
TEST(SnpAttackTest, AnIntermediateMayBeTakenBack) {
  const auto revoking = [](const crypto::Certificate& certificate) {
    return *snp_mint(SnpProduct::kGenoa)
                .crl(mint_begin(), mint_begin() + kYear, {{certificate.serial(), mint_begin()}});
  };
  const auto with_crl = [](SnpCase input, const crypto::Crl& crl) {
    input.crls = {crl};
    return input.judged();
  };
  const auto& mint = snp_mint(SnpProduct::kGenoa);
  EXPECT_EQ(with_crl(SnpCase(), revoking(mint.ask())), "snp-intermediate-revoked");
  EXPECT_EQ(with_crl(vlek(), revoking(mint.asvk())), "snp-intermediate-revoked");
  EXPECT_EQ(with_crl(SnpCase(), revoking(mint.asvk())), "accepted");
  // A list that is no longer fresh still says what it says, beside one that is.
  auto old = *mint.crl(mint_begin() - kYear, mint_begin() - kYear / 2,
                       {{mint.ask().serial(), mint_begin() - kYear}});
  EXPECT_EQ(with([&](SnpCase& input) { input.crls.push_back(old); }), "snp-intermediate-revoked");
  EXPECT_EQ(with_crl(SnpCase(), *mint.crl(mint_begin() - kYear, mint_begin() - kYear / 2)),
            "snp-crl-stale");
  EXPECT_EQ(with_crl(SnpCase(), *mint.crl(mint_begin() + kYear / 2, mint_begin() + kYear)),
            "snp-crl-stale");
  // The forger's ARK has the key of our ASK.
  EXPECT_EQ(with_crl(SnpCase(), *forger().crl(mint_begin(), mint_begin() + kYear)),
            "snp-crl-forged");
  EXPECT_EQ(
      with_crl(SnpCase(), *snp_mint(SnpProduct::kMilan).crl(mint_begin(), mint_begin() + kYear)),
      "snp-crl-missing");
  EXPECT_EQ(with([](SnpCase& input) { input.crls.clear(); }), "snp-crl-missing");
  EXPECT_EQ(with(vlek(), [](SnpCase& input) { input.crls.clear(); }), "snp-crl-missing");
  EXPECT_EQ(with([](SnpCase& input) {
              input.crls.clear();
              input.policy.snp.crl = CrlRule::kIfGiven;
            }),
            "accepted");
}

// S21.
TEST(SnpAttackTest, TheLeafIsOnTime) {
  EXPECT_EQ(with([](SnpCase& input) {
              input.spec.not_after = mint_begin() - std::chrono::seconds(1);
              input.spec.not_before = mint_begin() - kYear;
            }),
            "snp-chain-expired");
  EXPECT_EQ(
      with([](SnpCase& input) { input.spec.not_before = mint_begin() + std::chrono::seconds(1); }),
      "snp-chain-not-yet-valid");
}

// S23: signed by the right key, in another way than AMD signs; or a leaf that is no P-384 key.
TEST(SnpAttackTest, CertificatesAreSignedAsAmdSigns) {
  using Scheme = crypto::SignatureAlgorithm::Scheme;
  using crypto::Hash;
  const auto signed_with = [](const crypto::SignatureAlgorithm& algorithm) {
    return with([&](SnpCase& input) { input.spec.algorithm = algorithm; });
  };
  EXPECT_EQ(signed_with(crypto::kPssSha384), "accepted");
  EXPECT_EQ(signed_with({Scheme::kRsaPkcs1, Hash::kSha384, std::nullopt, 0}),
            "snp-chain-algorithm");
  EXPECT_EQ(signed_with({Scheme::kRsaPss, Hash::kSha256, Hash::kSha256, 48}),
            "snp-chain-algorithm");
  EXPECT_EQ(signed_with({Scheme::kRsaPss, Hash::kSha384, Hash::kSha384, 32}),
            "snp-chain-algorithm");
  EXPECT_EQ(signed_with({Scheme::kRsaPss, Hash::kSha384, Hash::kSha256, 48}),
            "snp-chain-algorithm");
  EXPECT_EQ(with([](SnpCase& input) {
              input.leaf_key = crypto::PrivateKey::generate_ec(crypto::Curve::kP256)->public_key();
            }),
            "snp-chain-algorithm");
  EXPECT_EQ(
      with([](SnpCase& input) { input.leaf_key = support::snp_mint_keys().asvk.public_key(); }),
      "snp-chain-algorithm");
  EXPECT_EQ(with([](SnpCase& input) {
              input.leaf_key = crypto::PrivateKey::generate_ec(crypto::Curve::kP384)->public_key();
            }),
            "snp-signature-invalid");
  // Whoever marks an extension critical wants it understood.
  EXPECT_EQ(with([](SnpCase& input) {
              input.spec.extensions.push_back({"1.3.6.1.4.1.3704.9.9", true, base::Bytes(4)});
            }),
            "snp-chain-constraint");
}

// S22, S24: what a host says beside a report.
TEST(SnpAttackTest, AHostsTableIsReadStrictly) {
  const SnpCase input;
  const auto& mint = input.mint();
  const std::vector<SnpCertificate> whole{
      {kVcekGuid, input.leaf().der()}, {kAskGuid, mint.ask().der()}, {kArkGuid, mint.ark().der()}};
  const auto judged = [&](const base::Bytes& table) {
    auto evidence = input.evidence();
    const auto certificates = certificates_of_table(table, SnpSigningKey::kVcek);
    if (!certificates) {
      EXPECT_EQ(certificates.error().code, base::ErrorCode::kCorrupt);
      return certificates.error().message;
    }
    evidence.snp_certificates = *certificates;
    return input.judged_as(evidence);
  };
  EXPECT_EQ(judged(encode_snp_certificates(whole)), "accepted");
  auto shuffled = whole;
  std::ranges::reverse(shuffled);
  EXPECT_EQ(judged(encode_snp_certificates(shuffled)), "accepted");
  auto swapped = whole;
  std::swap(swapped[1].bytes, swapped[2].bytes);  // the ARK sent as ASK
  EXPECT_EQ(judged(encode_snp_certificates(swapped)), "snp-chain-shape");
  auto twice = whole;
  twice.push_back(whole[1]);
  EXPECT_THAT(judged(encode_snp_certificates(twice)), ::testing::HasSubstr("appears twice"));
  // A million entries: refused by its count, long before their memory is wanted.
  EXPECT_THAT(judged(base::Bytes(24'000'000, std::byte{1})), ::testing::HasSubstr("more than 16"));
}

// A provider's host may have both keys. The report says which one it is signed by.
TEST(SnpAttackTest, AHostsTableMayHoldBothKindsOfKey) {
  const auto other = SnpCase(SnpProduct::kGenoa, SnpSigningKey::kVlek);
  const SnpCase input;
  const auto table = encode_snp_certificates({{kVlekGuid, other.leaf().der()},
                                              {kVcekGuid, input.leaf().der()},
                                              {kAskGuid, input.mint().ask().der()},
                                              {kArkGuid, input.mint().ark().der()}});
  const auto chain = certificates_of_table(table, SnpSigningKey::kVcek);
  ASSERT_TRUE(chain) << chain.error().message;
  auto evidence = input.evidence();
  evidence.snp_certificates = *chain;
  EXPECT_EQ(input.judged_as(evidence), "accepted");
  EXPECT_EQ(certificates_of_table(table, SnpSigningKey::kVlek)->front().subject_common_name(),
            "SEV-VLEK");
}

// S26: with an author key the owner is who the author key names.
TEST(SnpAttackTest, AnAuthorKeyCountsOnlyWhereTheReportSaysSo) {
  const auto list = Expectation::one_of({base::Bytes(48, std::byte{9})});
  EXPECT_EQ(with([&](SnpCase& input) {
              input.report.author_key_digest.fill(std::byte{9});
              input.report.key_info = 1;
              input.policy.snp.author_key_digests = list;
            }),
            "accepted");
  EXPECT_EQ(with([&](SnpCase& input) {
              input.report.author_key_digest.fill(std::byte{9});
              input.policy.snp.author_key_digests = list;
            }),
            "snp-author-key-inconsistent");
}

// A report without claims says something by its report data alone.
TEST(SnpAttackTest, ReportDataAreDecidedUpon) {
  EXPECT_EQ(with([](SnpCase& input) { input.policy.report_data = {}; }), "report-data-unpinned");
  EXPECT_EQ(with([](SnpCase& input) {
              input.policy.report_data = Expectation::one_of({base::Bytes(64)});
              input.report.report_data[63] = std::byte{1};
            }),
            "report-data-mismatch");
  EXPECT_EQ(with([](SnpCase& input) {
              input.policy.report_data = Expectation::one_of({base::Bytes(64)});
            }),
            "accepted");
}

}  // namespace
}  // namespace tests::integration
