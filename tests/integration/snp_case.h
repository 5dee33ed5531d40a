// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/crypto/issue.h"
#include "keybroker/evidence/verify.h"
#include "tests/support/simulated_guest.h"

// An SNP report on simulated hardware, its certificates and what AMD would say of them, as the
// tests of attacks on them take them.
namespace tests::integration {

namespace crypto = keybroker::crypto;
using namespace keybroker::evidence;
using support::mint_begin;
using support::reason;
using support::snp_mint;
using vtpm::tee_sim::SnpMint;

inline constexpr auto kYear = std::chrono::days(365);
inline const std::string kAmd(kAmdExtensionArc);

// A report of one product line, its certificate and what is above that.
struct SnpCase {
  explicit SnpCase(SnpProduct its_product = SnpProduct::kGenoa,
                   SnpSigningKey its_kind = SnpSigningKey::kVcek)
      : product(its_product), kind(its_kind) {
    report.version = 5;
    report.policy = 0x30000;
    report.signature_algorithm = kEcdsaP384Sha384;
    report.key_info = static_cast<std::uint32_t>(kind) << 2U;
    report.cpuid_family = product == SnpProduct::kTurin ? 0x1A : 0x19;
    report.cpuid_model = product == SnpProduct::kGenoa ? 0x11 : 0x01;
    const std::size_t id_bytes = product == SnpProduct::kTurin ? 8 : 64;
    std::fill_n(report.chip_id.begin(), kind == SnpSigningKey::kVcek ? id_bytes : 0,
                std::byte{0xC1});
    spec = kind == SnpSigningKey::kVcek ? snp_mint(product).vcek_spec(report.chip_id, tcb())
                                        : snp_mint(product).vlek_spec("CN=cc.example.com", tcb());
    report.current_tcb = report.reported_tcb = report.committed_tcb = report.launch_tcb =
        encode_tcb(tcb(), tcb_form(product));
    crls = {*snp_mint(product).crl(mint_begin(), mint_begin() + kYear)};
    policy.snp.measurements = policy.report_data = Expectation::any();
    policy.snp.signers = {kind};
  }

  [[nodiscard]] TcbVersion tcb() const {
    return {.fmc = static_cast<std::uint8_t>(product == SnpProduct::kTurin ? 1 : 0),
            .boot_loader = 4,
            .tee = 1,
            .snp = 24,
            .microcode = microcode};
  }

  [[nodiscard]] const SnpMint& mint() const { return snp_mint(product); }

  // extension() is one of the leaf's that AMD made up, by the end of its OID.
  crypto::Extension& extension(const std::string& suffix) {
    return *std::ranges::find(spec.extensions, kAmd + "." + suffix, &crypto::Extension::oid);
  }

  void drop(const std::string& suffix) {
    std::erase_if(spec.extensions,
                  [&](const auto& each) { return each.oid == kAmd + "." + suffix; });
  }

  [[nodiscard]] crypto::Certificate leaf() const {
    const auto& subject = leaf_key ? *leaf_key : key.public_key();
    return kind == SnpSigningKey::kVcek ? *mint().issue_by_ask(spec, subject)
                                        : *mint().issue_by_asvk(spec, subject);
  }

  [[nodiscard]] Evidence evidence() const {
    auto made = report;
    if (!vtpm::tee_sim::sign(made, key)) {
      std::abort();
    }
    Evidence evidence;
    evidence.snp_report = base::copy_of(base::view(made));
    evidence.snp_certificates = {
        leaf(), kind == SnpSigningKey::kVcek ? mint().ask() : mint().asvk(), mint().ark()};
    return evidence;
  }

  [[nodiscard]] std::string judged_as(const Evidence& its_evidence,
                                      crypto::Time now = mint_begin()) const {
    const std::array roots{SlottedRoot{root_slot(product), mint().ark()}};
    Collateral collateral;
    collateral.snp_crls = crls;
    return reason(verify(its_evidence, policy, collateral, *TrustStore::simulated(roots), now));
  }

  [[nodiscard]] std::string judged() const { return judged_as(evidence()); }

  SnpProduct product;
  SnpSigningKey kind;
  std::uint8_t microcode = 219;
  crypto::PrivateKey key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  std::optional<crypto::PublicKey> leaf_key;  // in the certificate, in place of `key`
  SnpReportLayout report{};
  crypto::CertificateSpec spec;
  std::vector<crypto::Crl> crls;
  Policy policy;
};

template <typename Change>
std::string with(SnpCase input, Change change) {
  change(input);
  return input.judged();
}

template <typename Change>
std::string with(Change change) {
  return with(SnpCase(), change);
}

inline SnpCase vlek() { return SnpCase(SnpProduct::kGenoa, SnpSigningKey::kVlek); }

}  // namespace tests::integration
