// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/snp_mint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/evidence/snp_verification.h"
#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"
#include "tests/support/simulated_mints.h"

namespace vtpm::tee_sim {
namespace {

namespace crypto = keybroker::crypto;
namespace evidence = keybroker::evidence;

using tests::support::error_code;
using tests::support::extension_oids;
using tests::support::mint_begin;
using tests::support::mint_secret;
using tests::support::snp_mint;
using tests::support::snp_mint_keys;

constexpr std::array kProducts{SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin};

// One VM's report and the chain that endorses it. Each test spoils one thing about it.
struct Case {
  evidence::SnpReportLayout report{};
  std::vector<crypto::Certificate> chain;
  std::vector<crypto::Crl> crls;
  evidence::SnpPolicy policy{};
  crypto::Time now = mint_begin();
};

const evidence::TcbVersion kTcb{.boot_loader = 4, .tee = 1, .snp = 24, .microcode = 219};

ChipId chip_of(SnpProduct product) {
  ChipId id{};
  std::fill_n(id.begin(), product == SnpProduct::kTurin ? 8 : 64, std::byte{0x5A});
  return id;
}

evidence::SnpReportLayout report_of(SnpProduct product) {
  const auto tcb = encode_tcb(kTcb, tcb_form(product));
  evidence::SnpReportLayout report{};
  report.version = 5;
  report.policy = 0x30000;
  report.signature_algorithm = evidence::kEcdsaP384Sha384;
  report.current_tcb = report.reported_tcb = report.committed_tcb = report.launch_tcb = tcb;
  report.cpuid_family = product == SnpProduct::kTurin ? 0x1A : 0x19;
  report.cpuid_model = product == SnpProduct::kGenoa ? 0x11 : 0x01;
  report.chip_id = chip_of(product);
  report.report_id_ma.fill(std::byte{0xFF});
  return report;
}

Case vcek_case(SnpProduct product) {
  const auto& mint = snp_mint(product);
  Case made{.report = report_of(product), .chain = {}, .crls = {}};
  const auto key = *vcek_key(mint_secret(), made.report.chip_id, made.report.reported_tcb);
  EXPECT_TRUE(sign(made.report, key));
  made.chain = {*mint.issue_by_ask(mint.vcek_spec(made.report.chip_id, kTcb), key.public_key()),
                mint.ask(), mint.ark()};
  made.crls = {*mint.crl(mint_begin(), mint_begin() + std::chrono::days(365))};
  made.policy.measurements = evidence::Expectation::any();
  return made;
}

evidence::RootSlot slot(SnpProduct product) { return root_slot(product); }

// The code of the first reason that speaks against the case, or "accepted".
std::string verdict(const Case& input, const evidence::TrustStore& store) {
  evidence::Checklist list;
  const auto chain =
      evidence::judge_snp_chain(input.chain, {store, input.crls, input.policy.crl, input.now});
  judge_snp_report(base::view(input.report), chain, input.policy, list);
  const auto* failed = list.first_failure();
  if (failed != nullptr) {
    return std::string(card(*failed->reason).code);
  }
  return list.accepted() ? "accepted" : "not everything could be checked";
}

std::string verdict(const Case& input, SnpProduct product) {
  const std::array roots{evidence::SlottedRoot{slot(product), snp_mint(product).ark()}};
  return verdict(input, *evidence::TrustStore::simulated(roots));
}

TEST(SnpMintTest, AVerifierThatTrustsItsRootAcceptsWhatItMakes) {
  for (const auto product : kProducts) {
    EXPECT_EQ(verdict(vcek_case(product), product), "accepted") << name(product);
  }
}

TEST(SnpMintTest, ProductionNeverDoes) {
  for (const auto product : kProducts) {
    EXPECT_EQ(verdict(vcek_case(product), evidence::TrustStore::production()),
              "simulated-in-production");
  }
}

// The same names under other keys: the mint of another machine.
TEST(SnpMintTest, TheRootOfAnotherMachineDoesNotHelp) {
  const auto product = SnpProduct::kGenoa;
  const auto& keys = snp_mint_keys();
  const auto other = *SnpMint::make(product, {keys.ask, keys.asvk, keys.ark}, mint_begin());
  const std::array roots{evidence::SlottedRoot{slot(product), other.ark()}};

  EXPECT_EQ(verdict(vcek_case(product), *evidence::TrustStore::simulated(roots)),
            "snp-root-untrusted");
}

TEST(SnpMintTest, AVlekIsAcceptedWhereVleksAre) {
  const auto product = SnpProduct::kMilan;
  const auto& mint = snp_mint(product);
  auto input = vcek_case(product);
  const auto key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  input.report.chip_id = {};
  input.report.key_info = 1U << 2;
  ASSERT_TRUE(sign(input.report, key));
  input.chain[0] =
      *mint.issue_by_asvk(mint.vlek_spec("CN=simulated.invalid", kTcb), key.public_key());
  input.chain[1] = mint.asvk();

  EXPECT_EQ(verdict(input, product), "snp-signer-refused");
  input.policy.signers = {evidence::SnpSigningKey::kVlek};
  input.policy.csps = evidence::Expectation::any();
  EXPECT_EQ(verdict(input, product), "accepted");
}

TEST(SnpMintTest, EveryChangedFieldBreaksTheSignature) {
  const auto product = SnpProduct::kGenoa;
  auto input = vcek_case(product);
  input.report.host_data[0] ^= std::byte{1};

  EXPECT_EQ(verdict(input, product), "snp-signature-invalid");
}

TEST(SnpMintTest, ARevokedIntermediateIsRefused) {
  const auto product = SnpProduct::kGenoa;
  const auto& mint = snp_mint(product);
  auto input = vcek_case(product);
  input.crls = {*mint.crl(mint_begin(), mint_begin() + std::chrono::days(1),
                          {{mint.ask().serial(), mint_begin()}})};

  EXPECT_EQ(verdict(input, product), "snp-intermediate-revoked");
  input.crls.clear();
  EXPECT_EQ(verdict(input, product), "snp-crl-missing");
}

TEST(SnpMintTest, LifetimesAreThoseOfAmd) {
  const auto product = SnpProduct::kGenoa;
  auto input = vcek_case(product);
  input.policy.crl = evidence::CrlRule::kOff;

  input.now = mint_begin() + std::chrono::days(7 * 365 - 1);
  EXPECT_EQ(verdict(input, product), "accepted");
  input.now = mint_begin() + std::chrono::days(7 * 366);
  EXPECT_EQ(verdict(input, product), "snp-chain-expired");
}

TEST(SnpMintTest, AChipHasOneKeyForEachTcb) {
  const auto key = [](const base::Secret<32>& secret, unsigned char chip, unsigned char microcode) {
    ChipId id{};
    id[0] = std::byte{chip};
    return vcek_key(secret, id, {std::byte{0}, std::byte{microcode}})->public_key();
  };
  const auto& secret = mint_secret();
  const auto other_secret = base::Secret<32>::copy_of(std::array<std::byte, 32>{});

  EXPECT_TRUE(key(secret, 1, 1) == key(secret, 1, 1));
  EXPECT_FALSE(key(secret, 1, 1) == key(secret, 2, 1));
  EXPECT_FALSE(key(secret, 1, 1) == key(secret, 1, 2));
  EXPECT_FALSE(key(secret, 1, 1) == key(other_secret, 1, 1));
}

TEST(SnpMintTest, ComesBackFromItsBundle) {
  const auto& mint = snp_mint(SnpProduct::kTurin);

  const auto bundle = mint.to_bundle();
  ASSERT_TRUE(bundle);
  const auto again = SnpMint::from_bundle(SnpProduct::kTurin, bundle->expose());

  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->ark(), mint.ark());
  EXPECT_EQ(again->ask(), mint.ask());
  EXPECT_EQ(again->asvk(), mint.asvk());
}

TEST(SnpMintTest, ABundleOfAnotherShapeIsRefused) {
  const auto& mint = snp_mint(SnpProduct::kTurin);
  const auto bundle = *mint.to_bundle();
  const auto bytes = bundle.expose();

  EXPECT_EQ(error_code(SnpMint::from_bundle(SnpProduct::kTurin, {})), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(SnpMint::from_bundle(SnpProduct::kTurin, bytes.first(bytes.size() / 2))),
            base::ErrorCode::kCorrupt);
  const Authority wrong{snp_mint_keys().ask, mint.ark()};
  const auto mixed = *encode_bundle({&wrong, &wrong, &wrong});
  EXPECT_EQ(error_code(SnpMint::from_bundle(SnpProduct::kTurin, mixed.expose())),
            base::ErrorCode::kCorrupt);
}

using SnpMintVectorsTest = tests::support::EvidenceVectors;

// Our certificates against AMD's own: every extension of a VCEK that is not a key or a value of one
// machine, in AMD's order, and the same for the authorities.
TEST_F(SnpMintVectorsTest, WritesWhatAmdWrites) {
  const auto amd = *crypto::Certificate::decode(
      tests::support::read_evidence_vector("snp/milan-v2-clean.vcek.der"));
  const auto& mint = snp_mint(SnpProduct::kMilan);
  const auto key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  const auto ours = *mint.issue_by_ask(
      mint.vcek_spec(chip_of(SnpProduct::kMilan), {.boot_loader = 3, .snp = 8, .microcode = 115}),
      key.public_key());

  EXPECT_EQ(ours.subject_der(), amd.subject_der());
  EXPECT_EQ(ours.issuer_der(), amd.issuer_der());
  EXPECT_EQ(ours.serial(), amd.serial());
  EXPECT_EQ(ours.signature_algorithm(), amd.signature_algorithm());
  for (const auto* suffix :
       {".1", ".2", ".3.1", ".3.2", ".3.3", ".3.4", ".3.5", ".3.6", ".3.7", ".3.8"}) {
    const auto oid = std::string("1.3.6.1.4.1.3704.1") + suffix;
    EXPECT_EQ(*ours.extension(oid), *amd.extension(oid)) << oid;
  }
  EXPECT_EQ(extension_oids(ours), extension_oids(amd));

  const auto turin =
      *crypto::Certificate::decode(tests::support::read_evidence_vector("snp/turin.vcek.der"));
  const auto& turin_mint = snp_mint(SnpProduct::kTurin);
  const auto ours_turin = *turin_mint.issue_by_ask(
      turin_mint.vcek_spec(chip_of(SnpProduct::kTurin), {.microcode = 9}), key.public_key());
  EXPECT_EQ(extension_oids(ours_turin), extension_oids(turin));
  EXPECT_EQ((*ours_turin.extension("1.3.6.1.4.1.3704.1.4"))->size(), 8U);
  for (const auto* suffix : {".1", ".2", ".3.8", ".3.9"}) {
    const auto oid = std::string("1.3.6.1.4.1.3704.1") + suffix;
    EXPECT_EQ(*ours_turin.extension(oid), *turin.extension(oid)) << oid;
  }
}

TEST_F(SnpMintVectorsTest, NamesItsAuthoritiesAsAmdDoes) {
  for (const auto product : kProducts) {
    std::string lower(name(product));
    lower[0] = static_cast<char>(lower[0] - 'A' + 'a');
    const auto& mint = snp_mint(product);
    for (const auto* kind : {"ask", "asvk"}) {
      const auto pem =
          tests::support::read_evidence_vector("roots/amd/" + lower + "-" + kind + "-ark.pem");
      const auto amd = *crypto::decode_pem_certificates(
          {reinterpret_cast<const char*>(pem.data()), pem.size()}, 2);
      const auto& ours = std::string(kind) == "ask" ? mint.ask() : mint.asvk();

      EXPECT_EQ(ours.subject_der(), amd[0].subject_der());
      EXPECT_EQ(ours.issuer_der(), amd[0].issuer_der());
      EXPECT_EQ(ours.serial(), amd[0].serial());
      EXPECT_EQ(*ours.extension("2.5.29.19"), *amd[0].extension("2.5.29.19"));  // constraints
      // AMD leaves a zero bit too many in the BIT STRING of its key usage; the bits are the same.
      EXPECT_EQ((*ours.extension("2.5.29.15"))->back(), (*amd[0].extension("2.5.29.15"))->back());
      EXPECT_EQ(*ours.extension("2.5.29.31"), *amd[0].extension("2.5.29.31"));  // CRL
      EXPECT_EQ(mint.ark().subject_der(), amd[1].subject_der());
      EXPECT_EQ(mint.ark().serial(), amd[1].serial());
      EXPECT_EQ(*mint.ark().extension("2.5.29.19"), *amd[1].extension("2.5.29.19"));
      EXPECT_EQ(*mint.ark().extension("2.5.29.15"), *amd[1].extension("2.5.29.15"));
    }
  }
}

}  // namespace
}  // namespace vtpm::tee_sim
