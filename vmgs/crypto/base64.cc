// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/base64.h"

#include <openssl/evp.h>

#include <algorithm>
#include <limits>

namespace vmgs::crypto {

namespace {

std::string with_url_alphabet(std::string text) {
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

std::string from_url_alphabet(std::string_view text) {
  std::string padded(text);
  std::ranges::replace(padded, '-', '+');
  std::ranges::replace(padded, '_', '/');
  padded.append((4 - padded.size() % 4) % 4, '=');
  return padded;
}

}  // namespace

std::string encode_base64(base::ByteView bytes, Base64 form) {
  std::string text;
  // Whole groups at a time: OpenSSL counts in int and ends the text with a NUL.
  constexpr std::size_t kGroups = 3 * (1 << 20);
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kGroups))) {
    const auto piece = bytes.first(std::min(bytes.size(), kGroups));
    std::string out((piece.size() + 2) / 3 * 4 + 1, '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                    reinterpret_cast<const unsigned char*>(piece.data()),
                    static_cast<int>(piece.size()));
    out.pop_back();
    text += out;
  }
  return form == Base64::kUrl ? with_url_alphabet(std::move(text)) : text;
}

base::Result<base::Bytes> decode_base64(std::string_view text, Base64 form) {
  const auto wrong = [] {
    return base::fail(base::ErrorCode::kInvalidArgument, "this is no base64 text of its form");
  };
  const std::string padded = form == Base64::kUrl ? from_url_alphabet(text) : std::string(text);
  if (padded.size() % 4 != 0 ||
      padded.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    return wrong();
  }
  base::Bytes bytes(padded.size() / 4 * 3);
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(padded.data()),
                                     static_cast<int>(padded.size()));
  const auto padding = static_cast<std::size_t>(std::ranges::count(padded, '='));
  if (length < 0 || padding > 2) {
    return wrong();
  }
  bytes.resize(bytes.size() - std::min(bytes.size(), padding));
  // OpenSSL forgives white space, padding in the middle and lost bits; one comparison forgives
  // none.
  if (encode_base64(bytes, form) != text) {
    return wrong();
  }
  return bytes;
}

}  // namespace vmgs::crypto
