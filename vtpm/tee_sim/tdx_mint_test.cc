// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/tdx_mint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/crypto/chain.h"
#include "keybroker/evidence/trust_store.h"
#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"
#include "tests/support/simulated_mints.h"
#include "vmgs/crypto/digest.h"
#include "vtpm/tee_sim/simulated_tdx.h"

namespace vtpm::tee_sim {
namespace {

namespace crypto = keybroker::crypto;
namespace evidence = keybroker::evidence;

using tests::support::error_code;
using tests::support::extension_oids;
using tests::support::mint_begin;
using tests::support::mint_secret;
using tests::support::tdx_mint;

crypto::SgxExtension platform() { return sgx_platform_of(*new_tdx_machine()); }

evidence::TdQuote signed_quote(PckCa ca, const crypto::SgxExtension& extension) {
  evidence::TdQuote quote;
  quote.body.mr_td.fill(std::byte{0x11});
  const auto enclave = *make_quoting_enclave(tdx_mint(), ca, extension, mint_secret());
  EXPECT_TRUE(sign_quote(quote, enclave));
  return *evidence::decode_td_quote(encode(quote));
}

crypto::EcdsaNumbers numbers(const evidence::P256Pair& pair) {
  return {base::ByteView(pair).first(32), base::ByteView(pair).last(32)};
}

crypto::PublicKey key_of(const evidence::P256Pair& pair) {
  const auto parts = numbers(pair);
  return *crypto::PublicKey::ec(
      {crypto::Curve::kP256, base::copy_of(parts.r), base::copy_of(parts.s)});
}

// What evidence-verification calls "what is signed by what", link by link.
TEST(TdxMintTest, EverySignatureOfAQuoteLeadsToTheRoot) {
  for (const auto ca : {PckCa::kPlatform, PckCa::kProcessor}) {
    const auto quote = signed_quote(ca, platform());
    const auto chain = *crypto::decode_pem_certificates(quote.pck_chain, 3);
    ASSERT_EQ(chain.size(), 3U);
    const std::array intermediates{chain[1]};

    EXPECT_TRUE(crypto::verify_path(chain[0], intermediates, chain[2], mint_begin()).good());
    EXPECT_EQ(chain[1], tdx_mint().pck_ca(ca));
    EXPECT_EQ(chain[2], tdx_mint().root());
    EXPECT_TRUE(crypto::verify_ecdsa(*chain[0].public_key(), crypto::Hash::kSha256,
                                     base::view(quote.qe_report),
                                     numbers(quote.qe_report_signature)));
    const auto binding = vmgs::crypto::sha256({quote.attestation_key, quote.qe_auth_data});
    EXPECT_EQ(base::to_hex(quote.qe_report.report_data),
              base::to_hex(binding) + std::string(64, '0'));
    EXPECT_TRUE(crypto::verify_ecdsa(key_of(quote.attestation_key), crypto::Hash::kSha256,
                                     encode_signed_part(quote), numbers(quote.signature)));
  }
}

TEST(TdxMintTest, APckSaysWhatItsPlatformIs) {
  const auto extension = platform();
  const auto quote = signed_quote(PckCa::kPlatform, extension);
  const auto pck = crypto::decode_pem_certificates(quote.pck_chain, 3)->at(0);

  const auto content = pck.extension(std::string(crypto::kSgxExtensionOid))->value();

  EXPECT_EQ(*crypto::decode_sgx_extension(content), extension);
}

TEST(TdxMintTest, RootsAndIntermediatesCarryTheMarkerAndPcksDoNot) {
  EXPECT_TRUE(evidence::carries_simulated_marker(tdx_mint().root()));
  EXPECT_TRUE(evidence::carries_simulated_marker(tdx_mint().pck_ca(PckCa::kPlatform)));
  EXPECT_TRUE(evidence::carries_simulated_marker(tdx_mint().pck_ca(PckCa::kProcessor)));
  EXPECT_TRUE(evidence::carries_simulated_marker(tdx_mint().tcb_signer()));
  const auto chain =
      *crypto::decode_pem_certificates(signed_quote(PckCa::kPlatform, platform()).pck_chain, 3);
  EXPECT_FALSE(evidence::carries_simulated_marker(chain[0]));

  const std::array roots{evidence::SlottedRoot{evidence::RootSlot::kIntelSgx, tdx_mint().root()}};
  EXPECT_TRUE(evidence::TrustStore::simulated(roots));
}

TEST(TdxMintTest, ListsRevokeByTheirOwnIssuer) {
  const auto begin = mint_begin();
  const auto end = begin + std::chrono::days(30);
  const auto& ca = tdx_mint().pck_ca(PckCa::kPlatform);
  const auto root_list = *tdx_mint().root_crl(begin, end, {{ca.serial(), begin}});

  EXPECT_TRUE(root_list.revokes(ca));
  EXPECT_FALSE(root_list.revokes(tdx_mint().tcb_signer()));
  EXPECT_TRUE(root_list.verify(*tdx_mint().root().public_key()));

  const auto pck_list = *tdx_mint().pck_crl(PckCa::kProcessor, begin, end);
  EXPECT_TRUE(pck_list.verify(*tdx_mint().pck_ca(PckCa::kProcessor).public_key()));
  EXPECT_FALSE(pck_list.verify(*ca.public_key()));
}

TEST(TdxMintTest, TheTcbSignerSignsTheBodyAsItStands) {
  const auto text = *tdx_mint().sign_collateral("tcbInfo", R"({"id":"TDX"})");

  const std::string head = R"({"tcbInfo":{"id":"TDX"},"signature":")";
  ASSERT_TRUE(text.starts_with(head));
  const auto signature = *base::from_hex(text.substr(head.size(), 128));
  EXPECT_EQ(text.substr(head.size() + 128), "\"}");
  const base::ByteView bytes(signature);
  EXPECT_TRUE(crypto::verify_ecdsa(*tdx_mint().tcb_signer().public_key(), crypto::Hash::kSha256,
                                   base::bytes_of(R"({"id":"TDX"})"),
                                   {bytes.first(32), bytes.last(32)}));
}

TEST(TdxMintTest, APlatformHasKeysOfItsOwnThatDoNotChange) {
  const auto one = platform();
  const auto key = [](const crypto::SgxExtension& extension) {
    return key_of(signed_quote(PckCa::kPlatform, extension).attestation_key);
  };

  EXPECT_TRUE(key(one) == key(one));
  EXPECT_FALSE(key(one) == key(platform()));
}

TEST(TdxMintTest, ComesBackFromItsBundle) {
  const auto bundle = *tdx_mint().to_bundle();

  const auto again = TdxMint::from_bundle(bundle.expose());

  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->root(), tdx_mint().root());
  EXPECT_EQ(again->tcb_signer(), tdx_mint().tcb_signer());
  EXPECT_EQ(error_code(TdxMint::from_bundle({})), base::ErrorCode::kCorrupt);
}

using TdxMintVectorsTest = tests::support::EvidenceVectors;

// Our certificates against Intel's own, as they stand in a captured quote.
TEST_F(TdxMintVectorsTest, WritesWhatIntelWrites) {
  const auto captured =
      *evidence::decode_td_quote(tests::support::read_evidence_vector("tdx/v4-uptodate.quote.bin"));
  const auto intel = *crypto::decode_pem_certificates(captured.pck_chain, 3);
  const auto ours =
      *crypto::decode_pem_certificates(signed_quote(PckCa::kPlatform, platform()).pck_chain, 3);

  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ours[i].subject_der(), intel[i].subject_der());
    EXPECT_EQ(ours[i].issuer_der(), intel[i].issuer_der());
    EXPECT_EQ(ours[i].signature_algorithm(), intel[i].signature_algorithm());
    for (const auto* oid : {"2.5.29.19", "2.5.29.15", "2.5.29.31"}) {
      EXPECT_EQ(*ours[i].extension(oid), *intel[i].extension(oid)) << i << " " << oid;
    }
    auto theirs = extension_oids(intel[i]);
    auto mine = extension_oids(ours[i]);
    if (i > 0) {
      theirs.emplace_back(evidence::kSimulatedMarkerOid);
    }
    EXPECT_THAT(mine, ::testing::UnorderedElementsAreArray(theirs));
  }
  const auto signer_pem =
      tests::support::read_evidence_vector("tdx/collateral-2026-03/tcb_signing_chain.pem");
  const auto signer = crypto::decode_pem_certificates(
      {reinterpret_cast<const char*>(signer_pem.data()), signer_pem.size()}, 2);
  EXPECT_EQ(tdx_mint().tcb_signer().subject_der(), signer->at(0).subject_der());
  EXPECT_EQ(*tdx_mint().tcb_signer().extension("2.5.29.15"), *signer->at(0).extension("2.5.29.15"));
}

}  // namespace
}  // namespace vtpm::tee_sim
