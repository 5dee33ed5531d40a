// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// A GUID of the certificate table, its bytes in the order in which it is written.
using SnpGuid = std::array<std::byte, 16>;

// snp_guid() reads 32 hexadecimal digits at compile time.
consteval SnpGuid snp_guid(std::string_view digits) {
  const auto value = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
  SnpGuid guid{};
  for (std::size_t i = 0; i < guid.size(); ++i) {
    guid[i] = static_cast<std::byte>(value(digits[2 * i]) * 16 + value(digits[2 * i + 1]));
  }
  return guid;
}

// The objects that are known by name. The table may hold others.
inline constexpr SnpGuid kVcekGuid = snp_guid("63da758de6644564adc5f4b93be8accd");
inline constexpr SnpGuid kVlekGuid = snp_guid("a8074bc2a25a483eaae639c045a0b8a1");
inline constexpr SnpGuid kAskGuid = snp_guid("4ab7b379bbac4fe4a02f05aef327c782");
inline constexpr SnpGuid kArkGuid = snp_guid("c0b406a4a803495297433fb6014cd0ae");

// One object of the table: a DER certificate, as a rule.
struct SnpCertificate {
  SnpGuid guid{};
  base::Bytes bytes;

  friend bool operator==(const SnpCertificate&, const SnpCertificate&) = default;
};

inline constexpr std::size_t kMaxSnpCertificates = 16;
inline constexpr std::size_t kMaxSnpCertificateBytes = 16 * 1024;

// decode_snp_certificates() reads the table that a host adds to an extended report (GHCB
// specification, 4.1.8.1): entries of GUID, offset and length, an all-zero one at the end, then the
// objects. No bytes at all, or only zero, are an empty table. kCorrupt for a missing end, an
// object that lies outside or over another, a GUID that appears twice, too many or too long ones.
base::Result<std::vector<SnpCertificate>> decode_snp_certificates(base::ByteView table);

// encode_snp_certificates() writes such a table, objects in order and without gaps.
base::Bytes encode_snp_certificates(const std::vector<SnpCertificate>& certificates);

}  // namespace keybroker::evidence
