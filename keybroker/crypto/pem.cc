// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "keybroker/crypto/certificate.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::crypto {

namespace {

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
constexpr std::string_view kSpace = " \t\r\n";

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "PEM chain: " + why);
}

std::string_view without_leading_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text;
}

bool ends_here(std::string_view text) {
  return text.find_first_not_of('\0') == std::string_view::npos;
}

std::string without_line_breaks(std::string_view body) {
  std::string text(body);
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
  return text;
}

}  // namespace

base::Result<std::vector<Certificate>> decode_pem_certificates(std::string_view pem,
                                                               std::size_t most) {
  if (pem.size() > kMaxPemBytes) {
    return corrupt("has " + std::to_string(pem.size()) + " bytes, at most 65536 are allowed");
  }
  std::vector<Certificate> certificates;
  for (auto rest = without_leading_space(pem); !ends_here(rest);) {
    if (!rest.starts_with(kBegin)) {
      return corrupt("something other than blocks CERTIFICATE is in it");
    }
    rest.remove_prefix(kBegin.size());
    const auto end = rest.find(kEnd);
    if (end == std::string_view::npos) {
      return corrupt("a block does not end");
    }
    if (certificates.size() == most) {
      return corrupt("has more than " + std::to_string(most) + " certificates");
    }
    // Headers, white space inside lines and other encodings of the same bytes are refused here.
    const auto der = vmgs::crypto::decode_base64(without_line_breaks(rest.substr(0, end)),
                                                 vmgs::crypto::Base64::kPadded);
    if (!der) {
      return corrupt("a block is no base 64");
    }
    TRY_ASSIGN(certificate, Certificate::decode(*der));
    certificates.push_back(std::move(certificate));
    rest = without_leading_space(rest.substr(end + kEnd.size()));
  }
  if (certificates.empty()) {
    return corrupt("has no certificate");
  }
  return certificates;
}

}  // namespace keybroker::crypto
