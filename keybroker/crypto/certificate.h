// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/crypto/public_key.h"
#include "keybroker/crypto/signature.h"
#include "keybroker/crypto/time.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

struct x509_st;

namespace keybroker::crypto {

// How a certificate or a CRL is signed.
struct SignatureAlgorithm {
  enum class Scheme : std::uint8_t { kRsaPkcs1, kRsaPss, kEcdsa, kOther };

  Scheme scheme = Scheme::kOther;
  std::optional<Hash> hash;       // absent: another one
  std::optional<Hash> mgf1_hash;  // PSS only
  std::int64_t salt_bytes = 0;    // PSS only

  friend bool operator==(const SignatureAlgorithm&, const SignatureAlgorithm&) = default;
};

// describe() is "RSA-PSS with SHA-384 and 48 bytes of salt".
std::string describe(const SignatureAlgorithm& algorithm);

// What AMD and Intel sign certificates with.
inline constexpr SignatureAlgorithm kPssSha384{SignatureAlgorithm::Scheme::kRsaPss, Hash::kSha384,
                                               Hash::kSha384, 48};
inline constexpr SignatureAlgorithm kEcdsaSha256{SignatureAlgorithm::Scheme::kEcdsa, Hash::kSha256,
                                                 std::nullopt, 0};

// What P-384 goes with.
inline constexpr SignatureAlgorithm kEcdsaSha384{SignatureAlgorithm::Scheme::kEcdsa, Hash::kSha384,
                                                 std::nullopt, 0};

// SHA-256 of the DER bytes. It is what a certificate is pinned and cached by: AMD repeats serial
// numbers, and names are anybody's choice.
using Fingerprint = std::array<std::byte, 32>;

// Certificate is a parsed X.509 certificate; nothing has looked at its signature. Copies share one
// immutable object; any thread may use it. Parsing costs more than verifying with it, so keep it.
class Certificate {
 public:
  // decode() reads one DER certificate of version 3 and nothing behind it. kCorrupt otherwise, and
  // for more than 16 KiB.
  static base::Result<Certificate> decode(base::ByteView der);

  [[nodiscard]] const base::Bytes& der() const { return *der_; }

  [[nodiscard]] const Fingerprint& fingerprint() const { return fingerprint_; }

  // public_key() is absent if the key is of a kind that is not known here.
  [[nodiscard]] const std::optional<PublicKey>& public_key() const { return key_; }

  [[nodiscard]] Time not_before() const { return not_before_; }

  [[nodiscard]] Time not_after() const { return not_after_; }

  // renewal_time() is when it should be replaced: at half of its life.
  [[nodiscard]] Time renewal_time() const { return not_before_ + (not_after_ - not_before_) / 2; }

  // subject() and issuer() are the names as RFC 2253 writes them, for people. Compare the DER
  // forms.
  [[nodiscard]] std::string subject() const;
  [[nodiscard]] std::string issuer() const;
  [[nodiscard]] base::Bytes subject_der() const;
  [[nodiscard]] base::Bytes issuer_der() const;

  // subject_common_name() is empty unless there is exactly one.
  [[nodiscard]] std::string subject_common_name() const;
  [[nodiscard]] std::string issuer_common_name() const;

  // serial() is big-endian without leading zeros; empty for zero.
  [[nodiscard]] base::Bytes serial() const;

  [[nodiscard]] SignatureAlgorithm signature_algorithm() const;

  // extension() is the content of an extension by its dotted OID, and nothing if there is none.
  // kCorrupt if it is there twice.
  [[nodiscard]] base::Result<std::optional<base::Bytes>> extension(const std::string& oid) const;

  // has_purpose() tells whether the extended key usage names `oid`.
  [[nodiscard]] bool has_purpose(const std::string& oid) const;

  // purposes() are the OIDs of the extended key usage.
  [[nodiscard]] std::vector<std::string> purposes() const;

  // may_sign() is the bit digitalSignature of the key usage, true where there is no key usage.
  [[nodiscard]] bool may_sign() const;

  [[nodiscard]] bool is_ca() const;

  // pem() is the certificate, byte for byte as it came, as one PEM block.
  [[nodiscard]] std::string pem() const;

  [[nodiscard]] x509_st* handle() const { return certificate_.get(); }

  friend bool operator==(const Certificate& a, const Certificate& b) {
    return a.fingerprint_ == b.fingerprint_;
  }

 private:
  Certificate() = default;

  std::shared_ptr<x509_st> certificate_;
  std::shared_ptr<const base::Bytes> der_;
  Fingerprint fingerprint_{};
  std::optional<PublicKey> key_;
  Time not_before_;
  Time not_after_;
};

inline constexpr std::size_t kMaxCertificateBytes = 16 * 1024;
inline constexpr std::size_t kMaxPemBytes = 64 * 1024;

// decode_pem_certificates() reads blocks CERTIFICATE without headers, at most `most` of them and at
// least one, with only white space between and behind them; NULs may end the text. kCorrupt
// otherwise.
base::Result<std::vector<Certificate>> decode_pem_certificates(std::string_view pem,
                                                               std::size_t most);

// verify_issued() checks one signature: that `issuer` signed `certificate`. It looks at nothing
// else. kAuthentication if it did not.
base::Result<void> verify_issued(const Certificate& certificate, const PublicKey& issuer);

}  // namespace keybroker::crypto
