// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/tdx_mint.h"

#include <algorithm>
#include <chrono>
#include <span>

#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/kdf.h"
#include "vtpm/tee_sim/marker.h"

namespace vtpm::tee_sim {

namespace {

namespace crypto = keybroker::crypto;
namespace evidence = keybroker::evidence;

using crypto::CertificateSpec;

constexpr auto kRootLife = std::chrono::years(30);
constexpr auto kCaLife = std::chrono::years(15);
constexpr auto kLeafLife = std::chrono::years(7);

const std::string kRootName = "Intel SGX Root CA";
const std::string kRootUrl = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";

crypto::DistinguishedName intel_name(const std::string& common_name) {
  return {{"CN", common_name},
          {"O", "Intel Corporation"},
          {"L", "Santa Clara"},
          {"ST", "CA"},
          {"C", "US"}};
}

std::string ca_name(PckCa ca) {
  return ca == PckCa::kPlatform ? "Intel SGX PCK Platform CA" : "Intel SGX PCK Processor CA";
}

std::string pck_crl_url(PckCa ca) {
  return std::string("https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=") +
         (ca == PckCa::kPlatform ? "platform" : "processor") + "&encoding=der";
}

// Intel's serial numbers are the hash of the key's bits; any 20 bytes that differ do.
base::Bytes serial_of(const crypto::PublicKey& key) {
  const auto digest = vmgs::crypto::sha256(key.spki());
  auto serial = base::copy_of(std::span(digest).first(20));
  serial[0] &= std::byte{0x7F};
  return serial;
}

CertificateSpec spec_of(const std::string& subject, const std::string& issuer,
                        const crypto::PublicKey& key, crypto::Time begin, crypto::Time end,
                        const std::string& crl_url) {
  return {.serial = serial_of(key),
          .subject = intel_name(subject),
          .issuer = intel_name(issuer),
          .not_before = begin,
          .not_after = end,
          .key_identifiers = true,
          .crl_url = crl_url};
}

base::Result<Authority> make_ca(const std::string& subject, unsigned path_length,
                                std::chrono::years life, crypto::Time now,
                                const Authority* issuer) {
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP256));
  auto spec = spec_of(subject, kRootName, key.public_key(), now, now + life, kRootUrl);
  spec.authority = crypto::AuthorityConstraints{.path_length = path_length, .signs_lists = true};
  spec.extensions = {marker_extension()};
  TRY_ASSIGN(certificate, issue(spec, key.public_key(), issuer != nullptr ? issuer->key : key));
  return Authority{std::move(key), std::move(certificate)};
}

base::Result<Authority> make_tcb_signer(const Authority& root, crypto::Time now) {
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP256));
  auto spec =
      spec_of("Intel SGX TCB Signing", kRootName, key.public_key(), now, now + kLeafLife, kRootUrl);
  spec.end_entity = true;
  spec.extensions = {marker_extension()};
  return certify(spec, key, root.key);
}

// R then S, as Intel writes them.
evidence::P256Pair pair_of(const crypto::P256Signature& signature) {
  evidence::P256Pair pair{};
  const auto rest = std::ranges::copy(signature.r, pair.begin()).out;
  std::ranges::copy(signature.s, rest);
  return pair;
}

evidence::P256Pair pair_of(const crypto::EcPoint& point) {
  evidence::P256Pair pair{};
  const auto rest = std::ranges::copy(point.x, pair.begin()).out;
  std::ranges::copy(point.y, rest);
  return pair;
}

base::Result<crypto::PrivateKey> key_from(const base::Secret<32>& machine_secret,
                                          std::string_view label, base::ByteView context) {
  TRY_ASSIGN(seed,
             vmgs::crypto::derive<64>(machine_secret.expose(), base::bytes_of(label), context));
  return crypto::PrivateKey::from_seed(crypto::Curve::kP256, seed);
}

}  // namespace

base::Result<TdxMint> TdxMint::make(crypto::Time now) {
  TRY_ASSIGN(root, make_ca(kRootName, 1, kRootLife, now, nullptr));
  TRY_ASSIGN(platform, make_ca(ca_name(PckCa::kPlatform), 0, kCaLife, now, &root));
  TRY_ASSIGN(processor, make_ca(ca_name(PckCa::kProcessor), 0, kCaLife, now, &root));
  TRY_ASSIGN(signer, make_tcb_signer(root, now));
  return TdxMint(std::move(root), std::move(platform), std::move(processor), std::move(signer));
}

base::Result<TdxMint> TdxMint::from_bundle(base::ByteView bundle) {
  TRY_ASSIGN(authorities, decode_bundle(bundle, 4));
  return TdxMint(std::move(authorities[0]), std::move(authorities[1]), std::move(authorities[2]),
                 std::move(authorities[3]));
}

base::Result<base::SecretBytes> TdxMint::to_bundle() const {
  return encode_bundle({&root_, &platform_ca_, &processor_ca_, &tcb_signer_});
}

CertificateSpec TdxMint::pck_spec(PckCa ca, const crypto::SgxExtension& platform) const {
  const auto begin = pck_ca(ca).not_before();
  return {.serial = {},
          .subject = intel_name("Intel SGX PCK Certificate"),
          .issuer = intel_name(ca_name(ca)),
          .not_before = begin,
          .not_after = begin + kLeafLife,
          .end_entity = true,
          .key_identifiers = true,
          .crl_url = pck_crl_url(ca),
          .extensions = {{std::string(crypto::kSgxExtensionOid), false, encode(platform)}}};
}

base::Result<crypto::Certificate> TdxMint::issue_pck(PckCa ca, const CertificateSpec& spec,
                                                     const crypto::PublicKey& subject_key) const {
  auto numbered = spec;
  if (numbered.serial.empty()) {
    numbered.serial = serial_of(subject_key);
  }
  return issue(numbered, subject_key, authority(ca).key);
}

base::Result<crypto::Crl> TdxMint::root_crl(crypto::Time this_update, crypto::Time next_update,
                                            const std::vector<crypto::Crl::Entry>& revoked) const {
  return issue_crl({.issuer = intel_name(kRootName),
                    .this_update = this_update,
                    .next_update = next_update,
                    .revoked = revoked},
                   root_.key);
}

base::Result<crypto::Crl> TdxMint::pck_crl(PckCa ca, crypto::Time this_update,
                                           crypto::Time next_update,
                                           const std::vector<crypto::Crl::Entry>& revoked) const {
  return issue_crl({.issuer = intel_name(ca_name(ca)),
                    .this_update = this_update,
                    .next_update = next_update,
                    .revoked = revoked},
                   authority(ca).key);
}

base::Result<std::string> TdxMint::sign_collateral(const std::string& name,
                                                   const std::string& body) const {
  TRY_ASSIGN(signature, sign_p256(tcb_signer_.key, base::bytes_of(body)));
  return "{\"" + name + "\":" + body + ",\"signature\":\"" + base::to_hex(pair_of(signature)) +
         "\"}";
}

std::array<std::byte, 32> simulated_qe_signer() {
  return vmgs::crypto::sha256(base::bytes_of("simulated quoting enclave"));
}

base::Result<QuotingEnclave> make_quoting_enclave(const TdxMint& mint, PckCa ca,
                                                  const crypto::SgxExtension& platform,
                                                  const base::Secret<32>& machine_secret) {
  const auto context = encode(platform);
  TRY_ASSIGN(pck_key, key_from(machine_secret, "SIM-PCK-1", context));
  TRY_ASSIGN(attestation_key, key_from(machine_secret, "SIM-TD-QE-1", context));
  TRY_ASSIGN(pck, mint.issue_pck(ca, mint.pck_spec(ca, platform), pck_key.public_key()));

  base::Bytes auth_data;
  for (unsigned i = 0; i < 32; ++i) {
    auth_data.push_back(static_cast<std::byte>(i));
  }
  const auto point = pair_of(*attestation_key.public_key().ec_point());
  evidence::QeReportLayout report{};
  report.cpu_svn = platform.tcb.cpu_svn;
  report.attributes[0] = std::byte{0x15};  // INIT, MODE64BIT, PROVISIONKEY
  report.attributes[8] = std::byte{0xE7};  // XFRM
  report.mr_enclave = vmgs::crypto::sha256(base::bytes_of("simulated TD quoting enclave, build 1"));
  report.mr_signer = simulated_qe_signer();
  report.isv_prod_id = 2;
  report.isv_svn = 7;
  std::ranges::copy(vmgs::crypto::sha256({point, auth_data}), report.report_data.begin());
  return QuotingEnclave{.pck_key = std::move(pck_key),
                        .attestation_key = std::move(attestation_key),
                        .pck_chain = pck.pem() + mint.pck_ca(ca).pem() + mint.root().pem(),
                        .report = report,
                        .auth_data = std::move(auth_data)};
}

base::Result<void> sign_quote(evidence::TdQuote& quote, const QuotingEnclave& enclave) {
  quote.attestation_key = pair_of(*enclave.attestation_key.public_key().ec_point());
  quote.qe_report = enclave.report;
  quote.qe_auth_data = enclave.auth_data;
  quote.pck_chain = enclave.pck_chain;
  TRY_ASSIGN(qe_signature, sign_p256(enclave.pck_key, base::view(quote.qe_report)));
  TRY_ASSIGN(signature, sign_p256(enclave.attestation_key, encode_signed_part(quote)));
  quote.qe_report_signature = pair_of(qe_signature);
  quote.signature = pair_of(signature);
  return {};
}

}  // namespace vtpm::tee_sim
