// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/certificate_records.h"

namespace keybroker::authority {

std::string_view name(CertifiedKey key) {
  switch (key) {
    case CertifiedKey::kAk:
      return "ak";
    case CertifiedKey::kRsaEk:
      return "rsa-ek";
    case CertifiedKey::kEccEk:
      return "ecc-ek";
  }
  return "";
}

std::optional<CertifiedKey> parse_certified_key(std::string_view word) {
  for (const auto key : {CertifiedKey::kAk, CertifiedKey::kRsaEk, CertifiedKey::kEccEk}) {
    if (word == name(key)) {
      return key;
    }
  }
  return std::nullopt;
}

}  // namespace keybroker::authority
