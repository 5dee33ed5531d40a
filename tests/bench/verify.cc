// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <functional>

#include "tests/bench/benchmarks.h"
#include "tests/bench/contestant.h"
#include "tests/integration/td_case.h"

namespace tests::bench {

namespace {

using namespace keybroker::evidence;
namespace crypto = keybroker::crypto;
using support::mint_begin;

// One signature that OpenSSL verifies with a key that is ready.
using Operation = std::function<bool()>;

// What is signed by ECDSA, with R and S as its numbers in DER.
Operation ecdsa(const crypto::PublicKey& key, const EVP_MD* digest, base::ByteView message,
                base::ByteView r, base::ByteView s) {
  const auto number = [](base::ByteView bytes) {
    return BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                     static_cast<int>(bytes.size()), nullptr);
  };
  ECDSA_SIG* pair = ECDSA_SIG_new();
  ECDSA_SIG_set0(pair, number(r), number(s));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair, &der);
  std::vector<unsigned char> signature(der, der + size);
  OPENSSL_free(der);
  ECDSA_SIG_free(pair);
  return [key, digest, message = base::copy_of(message), signature = std::move(signature)] {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    const bool good = EVP_DigestVerifyInit(context, nullptr, digest, nullptr, key.handle()) == 1 &&
                      EVP_DigestVerify(context, signature.data(), signature.size(),
                                       reinterpret_cast<const unsigned char*>(message.data()),
                                       message.size()) == 1;
    EVP_MD_CTX_free(context);
    return good;
  };
}

Operation issued(const crypto::Certificate& certificate, const crypto::Certificate& issuer) {
  return [certificate, key = *issuer.public_key()] {
    return X509_verify(certificate.handle(), key.handle()) == 1;
  };
}

Operation listed(const crypto::Crl& crl, const crypto::Certificate& issuer) {
  return [crl, key = *issuer.public_key()] { return crl.verify(key).has_value(); };
}

bool all(const std::vector<Operation>& operations) {
  return std::ranges::all_of(operations, [](const Operation& operation) { return operation(); });
}

// Each of four is timed once in a round: all of a verification and the signatures in it, then the
// same with the chain judged before.
struct Contest {
  std::string name;
  std::function<bool()> full;
  std::vector<Operation> full_signatures;
  std::function<bool()> kept;
  std::vector<Operation> kept_signatures;
};

void compare(Report& report, const std::string& name, const Sample& ours, const Sample& bare) {
  constexpr double kAim = 0.8;  // of the verifications that bare OpenSSL could do
  const auto found = ratio(ours, bare);
  report.compare(name + " / its signatures", found, 1 / kAim);
  report.note(fmt::format("{}: {:.0f} per second and core, {:.2f} of bare OpenSSL (aim >= {:.2f})",
                          name, 1e6 / ours.median(), 1 / found.of_medians, kAim));
}

base::Result<void> run(const Setting& setting, Report& report, const Contest& contest) {
  const std::array<std::function<bool()>, 4> turns{
      contest.full, [&] { return all(contest.full_signatures); }, contest.kept,
      [&] { return all(contest.kept_signatures); }};
  std::array<Sample, 4> samples;
  const auto warm_up = setting.rounds / 10;
  pin_to(0);
  for (std::size_t round = 0; round < setting.rounds + warm_up; ++round) {
    for (std::size_t turn = 0; turn < turns.size(); ++turn) {
      const auto which = (turn + round) % turns.size();
      const Timer timer;
      const bool good = turns.at(which)();
      if (round >= warm_up) {
        samples.at(which).add(timer.elapsed());
      }
      if (!good) {
        return base::fail(base::ErrorCode::kUnavailable, contest.name + " does not verify");
      }
    }
  }
  pin_to(std::nullopt);
  report.title(contest.name);
  report.sample("full chain", samples[0], "us");
  report.sample(fmt::format("its {} signatures", contest.full_signatures.size()), samples[1], "us");
  report.sample("chain judged before", samples[2], "us");
  report.sample(fmt::format("its {} signatures", contest.kept_signatures.size()), samples[3], "us");
  compare(report, "full chain", samples[0], samples[1]);
  compare(report, "chain judged before", samples[2], samples[3]);
  return {};
}

base::Result<void> snp(const Setting& setting, Report& report) {
  report.note("drawing three RSA-4096 keys for a simulated AMD");
  const auto& mint = support::snp_mint(SnpProduct::kGenoa);
  SnpReportLayout raw{};
  raw.version = 5;
  raw.policy = 0x30000;
  raw.signature_algorithm = kEcdsaP384Sha384;
  raw.cpuid_family = 0x19;
  raw.cpuid_model = 0x11;
  raw.chip_id.fill(std::byte{1});
  const auto key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  TRY(vtpm::tee_sim::sign(raw, key));
  TRY_ASSIGN(leaf, mint.issue_by_ask(mint.vcek_spec(raw.chip_id, {}), key.public_key()));
  TRY_ASSIGN(crl, mint.crl(mint_begin(), mint_begin() + std::chrono::days(365)));
  const std::array roots{SlottedRoot{RootSlot::kAmdGenoa, mint.ark()}};
  TRY_ASSIGN(store, TrustStore::simulated(roots));
  Policy policy;
  policy.snp.measurements = policy.report_data = Expectation::any();
  Collateral collateral;
  collateral.snp_crls = {crl};
  const auto bytes = base::copy_of(base::view(raw));
  const std::array ders{leaf.der(), mint.ask().der(), mint.ark().der()};
  const std::vector<crypto::Certificate> chain{leaf, mint.ask(), mint.ark()};
  const auto judged =
      judge_snp_chain(chain, {store, collateral.snp_crls, CrlRule::kRequired, mint_begin()});
  base::Bytes r(raw.signature.r.rbegin(), raw.signature.r.rend());
  base::Bytes s(raw.signature.s.rbegin(), raw.signature.s.rend());
  const auto report_signature =
      ecdsa(key.public_key(), EVP_sha384(), base::ByteView(bytes).first(kSnpSignedBytes), r, s);
  return run(setting, report,
             {.name = "SNP reports verified",
              .full =
                  [&] {
                    Evidence evidence;
                    evidence.snp_report = bytes;
                    for (const auto& der : ders) {
                      evidence.snp_certificates.push_back(*crypto::Certificate::decode(der));
                    }
                    return verify(evidence, policy, collateral, store, mint_begin()).accepted;
                  },
              .full_signatures = {issued(leaf, mint.ask()), issued(mint.ask(), mint.ark()),
                                  listed(crl, mint.ark()), report_signature},
              .kept =
                  [&] {
                    Checklist list;
                    judge_snp_report(bytes, judged, policy.snp, list);
                    return list.accepted();
                  },
              .kept_signatures = {report_signature}});
}

base::Result<void> tdx(const Setting& setting, Report& report) {
  const integration::TdCase td;
  const auto bytes = td.bytes();
  const auto collateral = td.collateral();
  const auto quote = *decode_td_quote(bytes);
  TRY_ASSIGN(chain, crypto::decode_pem_certificates(quote.pck_chain, 3));
  const std::array roots{SlottedRoot{RootSlot::kIntelSgx, chain[2]}};
  TRY_ASSIGN(store, TrustStore::simulated(roots));
  const TdxRules rules{store, collateral.tdx, mint_begin(), {}};
  const auto judged = judge_pck_chain(quote.pck_chain, rules);
  const auto documents = judge_tdx_collateral(judged.platform, rules);
  const auto by = [](const crypto::PublicKey& key, base::ByteView message, const P256Pair& pair) {
    const base::ByteView numbers(pair);
    return ecdsa(key, EVP_sha256(), message, numbers.first(32), numbers.subspan(32));
  };
  const base::ByteView point(quote.attestation_key);
  TRY_ASSIGN(attestation_key,
             crypto::PublicKey::ec({crypto::Curve::kP256, base::copy_of(point.first(32)),
                                    base::copy_of(point.subspan(32))}));
  const auto& signer = collateral.tdx.signers.front();
  const auto& tcb_info = collateral.tdx.tcb_infos.front();
  const auto& qe_identity = collateral.tdx.qe_identities.front();
  const auto qe_signature =
      by(*chain[0].public_key(), base::view(quote.qe_report), quote.qe_report_signature);
  const auto quote_signature =
      by(attestation_key, base::ByteView(bytes).first(quote.signed_bytes()), quote.signature);
  return run(
      setting, report,
      {.name = "TDX quotes verified",
       .full =
           [&] {
             Evidence evidence;
             evidence.td_quote = bytes;
             return verify(evidence, td.policy, collateral, store, mint_begin()).accepted;
           },
       .full_signatures =
           {issued(chain[0], chain[1]), issued(chain[1], chain[2]), issued(signer, chain[2]),
            listed(collateral.tdx.crls[0], chain[2]), listed(collateral.tdx.crls[1], chain[1]),
            by(*signer.public_key(), base::bytes_of(tcb_info.body), tcb_info.signature),
            by(*signer.public_key(), base::bytes_of(qe_identity.body), qe_identity.signature),
            qe_signature, quote_signature},
       .kept =
           [&] {
             Checklist list;
             judge_td_quote(bytes, read_td_quote(bytes), judged, documents, td.policy.tdx,
                            mint_begin(), list);
             return list.accepted();
           },
       .kept_signatures = {qe_signature, quote_signature}});
}

}  // namespace

base::Result<void> verifications(const Setting& setting, Report& report) {
  TRY(snp(setting, report));
  return tdx(setting, report);
}

}  // namespace tests::bench
