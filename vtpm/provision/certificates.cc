// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/certificates.h"

#include <algorithm>
#include <string>
#include <utility>

#include "keybroker/evidence/tpm_public.h"
#include "vmgs/base/log.h"
#include "vmgs/format/tpm_nv_memory.h"
#include "vtpm/provision/nv_indices.h"

namespace vtpm::provision {

using base::ErrorCode;
using keybroker::crypto::Certificate;

namespace {

constexpr std::size_t kMostCertificates = 8;

// A DER SEQUENCE of 256 to 65535 bytes, as every certificate is (X.690, 8.1.3.5): 30 82 and two
// bytes of length, which do not count these four.
constexpr std::size_t kHeaderBytes = 4;

std::optional<std::size_t> der_bytes(base::ByteView content) {
  if (content.size() < kHeaderBytes || content[0] != std::byte{0x30} ||
      content[1] != std::byte{0x82}) {
    return std::nullopt;
  }
  const auto size = kHeaderBytes + (std::to_integer<std::size_t>(content[2]) << 8U) +
                    std::to_integer<std::size_t>(content[3]);
  return size <= content.size() ? std::optional(size) : std::nullopt;
}

// The content of an index without the zeros that fill it, if that is certificates.
base::Bytes certificates_of(const vmgs::format::TpmNvIndex& index) {
  if ((index.attributes & vmgs::format::kTpmNvWritten) == 0) {
    return {};
  }
  const auto certificates = certificates_in(index.content);
  if (!certificates) {
    return {};
  }
  base::Bytes der;
  for (const auto& certificate : *certificates) {
    der.insert(der.end(), certificate.der().begin(), certificate.der().end());
  }
  return der;
}

tl::unexpected<base::Error> unfit(const std::string& why) {
  return base::fail(ErrorCode::kCorrupt, "what the authority sent is no use: " + why);
}

void drop_unfit(base::Bytes& der, const std::optional<PublicKey>& key, std::string_view what) {
  if (der.empty()) {
    return;
  }
  if (!key || der.size() > kIndexBytes || !has_certificate(der, *key)) {
    base::log(base::LogLevel::kWarning, "the certificate that the authority sent for the " +
                                            std::string(what) + " is not for it, and was left out");
    der.clear();
  }
}

}  // namespace

base::Result<std::vector<Certificate>> certificates_in(base::ByteView content) {
  std::vector<Certificate> certificates;
  while (!content.empty() && !base::is_all_zero(content)) {
    const auto size = der_bytes(content);
    if (!size || certificates.size() == kMostCertificates) {
      return base::fail(ErrorCode::kCorrupt, "there is something else than certificates in DER");
    }
    TRY_ASSIGN(certificate, Certificate::decode(content.first(*size)));
    certificates.push_back(std::move(certificate));
    content = content.subspan(*size);
  }
  if (certificates.empty()) {
    return base::fail(ErrorCode::kCorrupt, "there is no certificate");
  }
  return certificates;
}

bool is_for(const Certificate& certificate, const PublicKey& key) {
  const auto area = keybroker::evidence::decode_tpm_public(key.area);
  return area && certificate.public_key() && *certificate.public_key() == area->key;
}

StoredCertificates StoredCertificates::in(base::ByteView permanent_state) {
  StoredCertificates stored;
  const auto indices = vmgs::format::decode_tpm_nv_indices(permanent_state);
  if (!indices) {
    return stored;
  }
  for (const auto& index : *indices) {
    switch (index.index) {
      case kAkCertificateIndex:
        stored.ak = certificates_of(index);
        break;
      case kAkChainIndex:
        stored.ak_chain = certificates_of(index);
        break;
      case kRsaEkCertificateIndex:
        stored.rsa_ek = certificates_of(index);
        break;
      case kEccEkCertificateIndex:
        stored.ecc_ek = certificates_of(index);
        break;
      default:
        break;
    }
  }
  return stored;
}

std::optional<Certificate> good_certificate(base::ByteView der, const PublicKey& key,
                                            std::chrono::sys_seconds now) {
  auto certificates = certificates_in(der);
  if (!certificates || certificates->size() != 1 || !is_for(certificates->front(), key)) {
    return std::nullopt;
  }
  auto& certificate = certificates->front();
  if (certificate.not_before() > now + kClockSkew || certificate.not_after() <= now) {
    return std::nullopt;
  }
  return std::move(certificate);
}

base::Result<Certificate> ak_certificate_of(const Certificates& fitting) {
  TRY_ASSIGN(certificates, certificates_in(fitting.ak));
  return std::move(certificates.front());
}

bool has_certificate(base::ByteView der, const PublicKey& key) {
  const auto certificates = certificates_in(der);
  return certificates && certificates->size() == 1 && is_for(certificates->front(), key);
}

base::Result<Certificates> expect_fitting(Certificates given, const PublicKey& ak,
                                          const std::optional<PublicKey>& rsa_ek,
                                          const std::optional<PublicKey>& ecc_ek) {
  if (given.ak.size() > kIndexBytes || given.ak_chain.size() > kIndexBytes) {
    return unfit("it is longer than " + std::to_string(kIndexBytes) + " bytes");
  }
  if (!has_certificate(given.ak, ak)) {
    return unfit("the certificate is not for this AK");
  }
  const auto chain = certificates_in(given.ak_chain);
  if (!chain) {
    return unfit("the chain: " + chain.error().message);
  }
  const auto& issuer = chain->front().public_key();
  if (!issuer || !keybroker::crypto::verify_issued(certificates_in(given.ak)->front(), *issuer)) {
    return unfit("the chain does not begin with who issued the certificate");
  }
  drop_unfit(given.rsa_ek, rsa_ek, "RSA EK");
  drop_unfit(given.ecc_ek, ecc_ek, "ECC EK");
  return given;
}

}  // namespace vtpm::provision
