// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/pem.h"

#include "vmgs/crypto/base64.h"

namespace tools::cli {

namespace {

using vmgs::crypto::Base64;

std::string first_line(std::string_view label) {
  return "-----BEGIN " + std::string(label) + "-----\n";
}

std::string last_line(std::string_view label) {
  return "-----END " + std::string(label) + "-----\n";
}

}  // namespace

std::string encode_pem(std::string_view label, base::ByteView der) {
  constexpr std::size_t kLine = 64;
  const auto body = vmgs::crypto::encode_base64(der, Base64::kPadded);
  auto pem = first_line(label);
  for (std::size_t i = 0; i < body.size(); i += kLine) {
    pem += body.substr(i, kLine) + "\n";
  }
  return pem + last_line(label);
}

base::Result<base::Bytes> decode_pem(std::string_view label, std::string_view text) {
  const auto begin = first_line(label);
  const auto end = last_line(label);
  std::string body;
  if (text.size() >= begin.size() + end.size() && text.starts_with(begin) && text.ends_with(end)) {
    body = text.substr(begin.size(), text.size() - begin.size() - end.size());
  }
  std::erase(body, '\n');
  auto der = vmgs::crypto::decode_base64(body, Base64::kPadded);
  if (body.empty() || !der) {
    return base::fail(base::ErrorCode::kCorrupt, "this is no PEM block " + std::string(label));
  }
  return der;
}

}  // namespace tools::cli
