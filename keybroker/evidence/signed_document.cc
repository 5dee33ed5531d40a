// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/signed_document.h"

#include <algorithm>

#include "keybroker/crypto/signature.h"
#include "keybroker/protocol/strict_json.h"

namespace keybroker::evidence {

namespace {

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "signed document: " + why);
}

constexpr std::string_view kSpace = " \t\r\n";

// value_at() is the text of the value that begins at `offset` of a document that is known to be
// JSON: up to the comma or brace that ends it at its own level.
std::string_view value_at(std::string_view text, std::size_t offset) {
  std::size_t level = 0;
  bool quoted = false;
  for (std::size_t i = offset; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++level;
    } else if (level == 0 && (c == ',' || c == '}')) {
      return text.substr(offset, i - offset);
    } else if (c == '}' || c == ']') {
      --level;
    }
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// raw_member() finds the text of a member of the outermost object of a document that is known to be
// JSON, without repeated members.
std::string_view raw_member(std::string_view text, std::string_view name) {
  const std::string quoted = '"' + std::string(name) + '"';
  auto offset = text.find('{');
  while (offset != std::string_view::npos) {
    const auto key = text.find_first_not_of(kSpace, offset + 1);
    const auto colon = text.find(':', text.find('"', key + 1));
    const auto value = value_at(text, colon + 1);
    if (text.substr(key).starts_with(quoted)) {
      return trimmed(value);
    }
    offset = colon + 1 + value.size();
    if (offset >= text.size() || text[offset] != ',') {
      break;
    }
  }
  return {};
}

base::Result<std::array<std::byte, 64>> signature_of(const base::Bytes& bytes) {
  std::array<std::byte, 64> signature{};
  if (bytes.size() != signature.size()) {
    return corrupt("its signature is not 64 bytes");
  }
  std::ranges::copy(bytes, signature.begin());
  return signature;
}

}  // namespace

base::Result<SignedDocument> decode_signed_document(std::string_view text, std::string_view name) {
  TRY_ASSIGN(value, protocol::parse_json(text, kMaxDocumentBytes));
  if (!value.is_object()) {
    return corrupt("it is no object");
  }
  const auto& object = value.get_object();
  TRY(protocol::expect_only(object, {name, "signature"}));
  TRY(protocol::object_member(object, name));
  TRY_ASSIGN(bytes, protocol::hex_member(object, "signature", 64));
  TRY_ASSIGN(signature, signature_of(bytes));
  const auto body = raw_member(text, name);
  if (body.empty()) {
    return corrupt("its member '" + std::string(name) + "' is spelt with escapes");
  }
  return SignedDocument{std::string(body), signature};
}

base::Result<SignedDocument> signed_document(std::string_view body, std::string_view signature) {
  const auto bytes = base::from_hex(signature);
  if (!bytes) {
    return corrupt("its signature is not in hexadecimal digits");
  }
  TRY_ASSIGN(numbers, signature_of(*bytes));
  return SignedDocument{std::string(body), numbers};
}

std::string encode(const SignedDocument& document, std::string_view name) {
  return "{\"" + std::string(name) + "\":" + document.body + ",\"signature\":\"" +
         base::to_hex(document.signature) + "\"}";
}

base::Result<void> verify(const SignedDocument& document, const crypto::PublicKey& key) {
  const std::span<const std::byte, 64> pair(document.signature);
  return crypto::verify_ecdsa(key, crypto::Hash::kSha256, base::bytes_of(document.body),
                              {pair.first<32>(), pair.last<32>()});
}

}  // namespace keybroker::evidence
