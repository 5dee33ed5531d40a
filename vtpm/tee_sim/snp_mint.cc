// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/snp_mint.h"

#include <algorithm>
#include <chrono>

#include "keybroker/crypto/der.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/kdf.h"
#include "vtpm/tee_sim/marker.h"

namespace vtpm::tee_sim {

namespace {

namespace crypto = keybroker::crypto;

using crypto::CertificateSpec;
using crypto::Extension;
using keybroker::evidence::TcbVersion;

constexpr unsigned kRsaBits = 4096;
constexpr auto kAuthorityLife = std::chrono::years(25);
constexpr auto kVcekLife = std::chrono::years(7);
constexpr auto kVlekLife = std::chrono::years(1);

// All AMD extensions lie under this.
const std::string kAmd = "1.3.6.1.4.1.3704.1";

crypto::DistinguishedName amd_name(const std::string& common_name) {
  return {{"OU", "Engineering"},           {"C", "US"},        {"L", "Santa Clara"}, {"ST", "CA"},
          {"O", "Advanced Micro Devices"}, {"CN", common_name}};
}

std::string line(SnpProduct product) { return std::string(name(product)); }

// The last byte of the serial number of AMD's own intermediates differs by line.
struct Serials {
  std::uint32_t ark;
  std::uint32_t ask;
  std::uint32_t asvk;
};

Serials serials_of(SnpProduct product) {
  switch (product) {
    case SnpProduct::kMilan:
      return {0x10000, 0x10001, 0x10101};
    case SnpProduct::kGenoa:
      return {0x20000, 0x20002, 0x20101};
    case SnpProduct::kTurin:
      return {0x30000, 0x30001, 0x30101};
  }
  return {};
}

base::Bytes serial(std::uint32_t number) {
  base::Writer out;
  out.u32_be(number);
  return std::move(out).take();
}

crypto::Time after(crypto::Time time, std::chrono::years years) { return time + years; }

CertificateSpec authority_spec(SnpProduct product, const std::string& subject, std::uint32_t number,
                               crypto::Time now) {
  return {.serial = serial(number),
          .subject = amd_name(subject),
          .issuer = amd_name("ARK-" + line(product)),
          .not_before = now,
          .not_after = after(now, kAuthorityLife),
          .authority = crypto::AuthorityConstraints{.path_length = 0, .signs_lists = false},
          .key_identifiers = true,
          .crl_url = "https://kdsintf.amd.com/vcek/v1/" + line(product) + "/crl",
          .extensions = {marker_extension()}};
}

// The security patch levels, in the order of AMD's certificates.
std::vector<Extension> spl_extensions(SnpProduct product, const TcbVersion& tcb) {
  const bool turin = product == SnpProduct::kTurin;
  std::vector<Extension> extensions;
  const auto add = [&](int number, std::uint8_t value) {
    extensions.push_back(
        {kAmd + ".3." + std::to_string(number), false, crypto::encode_der_integer(value)});
  };
  if (turin) {
    add(9, tcb.fmc);
  }
  add(1, tcb.boot_loader);
  add(2, tcb.tee);
  if (turin) {
    add(3, tcb.snp);
  }
  for (const int reserved : {4, 5, 6, 7}) {
    if (!(turin && reserved == 4)) {
      add(reserved, 0);
    }
  }
  if (!turin) {
    add(3, tcb.snp);
  }
  add(8, tcb.microcode);
  return extensions;
}

CertificateSpec leaf_spec(SnpProduct product, const crypto::Certificate& issuer,
                          const std::string& issuer_name, const std::string& subject,
                          const std::string& product_name, const TcbVersion& tcb,
                          std::chrono::years life) {
  const int structure = product == SnpProduct::kTurin ? 1 : 0;
  CertificateSpec spec{.serial = serial(0),
                       .subject = amd_name(subject),
                       .issuer = amd_name(issuer_name),
                       .not_before = issuer.not_before(),
                       .not_after = after(issuer.not_before(), life),
                       .extensions = {}};
  spec.extensions = {{kAmd + ".1", false, crypto::encode_der_integer(structure)},
                     {kAmd + ".2", false, crypto::encode_der_ia5(product_name)}};
  const auto levels = spl_extensions(product, tcb);
  spec.extensions.insert(spec.extensions.end(), levels.begin(), levels.end());
  return spec;
}

}  // namespace

base::Result<SnpMint::Keys> SnpMint::Keys::generate() {
  TRY_ASSIGN(ark, crypto::PrivateKey::generate_rsa(kRsaBits));
  TRY_ASSIGN(ask, crypto::PrivateKey::generate_rsa(kRsaBits));
  TRY_ASSIGN(asvk, crypto::PrivateKey::generate_rsa(kRsaBits));
  return Keys{std::move(ark), std::move(ask), std::move(asvk)};
}

base::Result<SnpMint> SnpMint::make(SnpProduct product, const Keys& keys, crypto::Time now) {
  const auto serials = serials_of(product);
  auto ark_spec = authority_spec(product, "ARK-" + line(product), serials.ark, now);
  ark_spec.authority = crypto::AuthorityConstraints{.path_length = {}, .signs_lists = true};
  const auto ask_spec = authority_spec(product, "SEV-" + line(product), serials.ask, now);
  auto asvk_spec = authority_spec(product, "SEV-VLEK-" + line(product), serials.asvk, now);
  asvk_spec.crl_url = "https://kdsintf.amd.com/vlek/v1/" + line(product) + "/crl";
  TRY_ASSIGN(ark, certify(ark_spec, keys.ark, keys.ark));
  TRY_ASSIGN(ask, certify(ask_spec, keys.ask, keys.ark));
  TRY_ASSIGN(asvk, certify(asvk_spec, keys.asvk, keys.ark));
  return SnpMint(product, std::move(ark), std::move(ask), std::move(asvk));
}

base::Result<SnpMint> SnpMint::from_bundle(SnpProduct product, base::ByteView bundle) {
  TRY_ASSIGN(authorities, decode_bundle(bundle, 3));
  return SnpMint(product, std::move(authorities[0]), std::move(authorities[1]),
                 std::move(authorities[2]));
}

base::Result<base::SecretBytes> SnpMint::to_bundle() const {
  return encode_bundle({&ark_, &ask_, &asvk_});
}

CertificateSpec SnpMint::vcek_spec(const ChipId& chip_id, const TcbVersion& tcb) const {
  const auto product_name = product_ == SnpProduct::kMilan ? "Milan-B0" : line(product_);
  auto spec =
      leaf_spec(product_, ask(), "SEV-" + line(product_), "SEV-VCEK", product_name, tcb, kVcekLife);
  const std::size_t id_bytes = product_ == SnpProduct::kTurin ? 8 : chip_id.size();
  spec.extensions.push_back(
      {kAmd + ".4", false, base::copy_of(std::span(chip_id).first(id_bytes))});
  return spec;
}

CertificateSpec SnpMint::vlek_spec(const std::string& csp_id, const TcbVersion& tcb) const {
  auto spec = leaf_spec(product_, asvk(), "SEV-VLEK-" + line(product_), "SEV-VLEK", line(product_),
                        tcb, kVlekLife);
  spec.extensions.push_back({kAmd + ".5", false, crypto::encode_der_ia5(csp_id)});
  return spec;
}

base::Result<crypto::Certificate> SnpMint::issue_by_ask(
    const CertificateSpec& spec, const crypto::PublicKey& subject_key) const {
  return issue(spec, subject_key, ask_.key);
}

base::Result<crypto::Certificate> SnpMint::issue_by_asvk(
    const CertificateSpec& spec, const crypto::PublicKey& subject_key) const {
  return issue(spec, subject_key, asvk_.key);
}

base::Result<crypto::Crl> SnpMint::crl(crypto::Time this_update, crypto::Time next_update,
                                       const std::vector<crypto::Crl::Entry>& revoked) const {
  return issue_crl({.issuer = amd_name("ARK-" + line(product_)),
                    .this_update = this_update,
                    .next_update = next_update,
                    .revoked = revoked},
                   ark_.key);
}

base::Result<crypto::PrivateKey> vcek_key(const base::Secret<32>& machine_secret,
                                          const ChipId& chip_id,
                                          const keybroker::evidence::RawTcb& tcb) {
  base::Writer context;
  context.bytes(chip_id);
  context.bytes(tcb);
  TRY_ASSIGN(seed, vmgs::crypto::derive<64>(machine_secret.expose(), base::bytes_of("SIM-VCEK-1"),
                                            context.written()));
  return crypto::PrivateKey::from_seed(crypto::Curve::kP384, seed);
}

base::Result<void> sign(keybroker::evidence::SnpReportLayout& report,
                        const crypto::PrivateKey& key) {
  report.signature = {};
  TRY_ASSIGN(signature,
             sign_p384(key, base::view(report).first(keybroker::evidence::kSnpSignedBytes)));
  std::ranges::reverse_copy(signature.r, report.signature.r.begin());
  std::ranges::reverse_copy(signature.s, report.signature.s.begin());
  return {};
}

}  // namespace vtpm::tee_sim
