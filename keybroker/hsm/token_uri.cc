// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/token_uri.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace keybroker::hsm {
namespace {

using base::ErrorCode;
using base::Result;

tl::unexpected<base::Error> refused(std::string why) {
  return base::fail(ErrorCode::kInvalidArgument, "the URI of a token: " + std::move(why));
}

tl::unexpected<base::Error> corrupt(std::string why) {
  return base::fail(ErrorCode::kCorrupt, "the URI of a key in a token: " + std::move(why));
}

Result<Uri> parse_uri(std::string_view text) {
  const auto plain = [](char c) { return c > ' ' && c <= '~'; };
  if (text.size() > kMostUriCharacters || !std::all_of(text.begin(), text.end(), plain)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "more than 1024 characters, or some that must be percent-encoded");
  }
  Uri uri(p11_kit_uri_new());
  const auto parsed = p11_kit_uri_parse(std::string(text).c_str(), P11_KIT_URI_FOR_ANY, uri.get());
  if (parsed != P11_KIT_URI_OK) {
    return base::fail(ErrorCode::kInvalidArgument, p11_kit_uri_message(parsed));
  }
  if (p11_kit_uri_any_unrecognized(uri.get()) != 0) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "it has an attribute that RFC 7512 does not have");
  }
  return uri;
}

Result<std::string> format_uri(P11KitUri& uri, P11KitUriType parts) {
  char* text = nullptr;
  const auto formatted = p11_kit_uri_format(&uri, parts, &text);
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  if (formatted != P11_KIT_URI_OK || text == nullptr) {
    return base::fail(ErrorCode::kInvalidArgument, "it cannot be written");
  }
  return std::string(text);
}

// p11-kit leaves fields that a URI does not name zeroed, and pads those that it does with blanks.
bool names_token(P11KitUri& uri) {
  const auto& info = *p11_kit_uri_get_token_info(&uri);
  return info.label[0] != 0 || info.serialNumber[0] != 0;
}

// The file of a pin-source: a path, or a URL of scheme file without a host. A command to run
// ("|program", RFC 7512 section 2.4) is not taken.
std::optional<std::filesystem::path> file_of(std::string_view source) {
  constexpr std::string_view kScheme = "file:";
  if (source.starts_with(kScheme)) {
    source.remove_prefix(kScheme.size());
    if (source.starts_with("///")) {
      source.remove_prefix(2);
    }
  }
  if (!source.starts_with('/') || source.starts_with("//")) {
    return std::nullopt;
  }
  return std::filesystem::path(source);
}

}  // namespace

Result<TokenUri> TokenUri::parse(std::string_view text, const std::filesystem::path& module) {
  auto parsed = parse_uri(text);
  if (!parsed) {
    return refused(std::move(parsed).error().message);
  }
  TokenUri token;
  token.uri_ = *std::move(parsed);
  auto* uri = token.uri_.get();
  // Said first: whatever else is wrong, a PIN must be taken out of where it stands.
  if (p11_kit_uri_get_pin_value(uri) != nullptr) {
    return refused(
        "pin-value is not taken; put the PIN into a file that only the broker reads, and "
        "name it by pin-source");
  }
  const auto* source = p11_kit_uri_get_pin_source(uri);
  const auto file = source == nullptr ? std::nullopt : file_of(source);
  if (!file) {
    return refused("it needs a pin-source that is the absolute path of a file");
  }
  if (!names_token(*uri)) {
    return refused("it names no token; give token=LABEL or serial=NUMBER");
  }
  CK_ULONG objects = 0;
  p11_kit_uri_get_attributes(uri, &objects);
  if (objects != 0) {
    return refused("it names an object; the broker makes the keys and keeps their names itself");
  }
  if (p11_kit_uri_get_module_name(uri) != nullptr) {
    return refused("module-name is not taken; name the file by module-path");
  }
  const auto* path = p11_kit_uri_get_module_path(uri);
  token.module_ = path == nullptr ? module : std::filesystem::path(path);
  if (!token.module_.is_absolute()) {
    return refused("it needs a module-path that is absolute, or a module in the configuration");
  }
  token.pin_file_ = *file;
  auto named = format_uri(*uri, P11_KIT_URI_FOR_TOKEN);
  if (!named) {
    return refused(std::move(named).error().message);
  }
  // The query is not part of the name: where the PIN lies is nobody else's concern.
  token.text_ = named->substr(0, named->find('?'));
  return token;
}

bool TokenUri::matches(const CK_TOKEN_INFO& token) const {
  return p11_kit_uri_match_token_info(uri_.get(), &token) != 0;
}

Result<KeyUri> KeyUri::parse(base::ByteView content) {
  std::string text(content.size(), '\0');
  std::transform(content.begin(), content.end(), text.begin(),
                 [](std::byte b) { return static_cast<char>(b); });
  auto uri = parse_uri(text);
  if (!uri) {
    return corrupt(std::move(uri).error().message);
  }
  return checked(*std::move(uri));
}

Result<KeyUri> KeyUri::of(const CK_TOKEN_INFO& token, base::ByteView id, std::string_view label) {
  Uri uri(p11_kit_uri_new());
  auto& named = *p11_kit_uri_get_token_info(uri.get());
  std::copy(std::begin(token.label), std::end(token.label), std::begin(named.label));
  // PKCS#11 has no const; p11-kit copies what these point to.
  CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
  auto id_copy = base::copy_of(id);
  std::string label_copy(label);
  for (CK_ATTRIBUTE attribute : {CK_ATTRIBUTE{CKA_CLASS, &secret_key, sizeof(secret_key)},
                                 CK_ATTRIBUTE{CKA_ID, id_copy.data(), id_copy.size()},
                                 CK_ATTRIBUTE{CKA_LABEL, label_copy.data(), label_copy.size()}}) {
    if (p11_kit_uri_set_attribute(uri.get(), &attribute) != P11_KIT_URI_OK) {
      return corrupt("p11-kit does not take its attributes");
    }
  }
  return checked(std::move(uri));
}

Result<KeyUri> KeyUri::checked(Uri uri) {
  const auto* object_class = p11_kit_uri_get_attribute(uri.get(), CKA_CLASS);
  if (object_class != nullptr &&
      *static_cast<const CK_OBJECT_CLASS*>(object_class->pValue) != CKO_SECRET_KEY) {
    return corrupt("its type is not secret-key");
  }
  if (p11_kit_uri_get_attribute(uri.get(), CKA_ID) == nullptr &&
      p11_kit_uri_get_attribute(uri.get(), CKA_LABEL) == nullptr) {
    return corrupt("it has neither id nor object, and so names no key");
  }
  auto text = format_uri(*uri, P11_KIT_URI_FOR_OBJECT_ON_TOKEN);
  if (!text) {
    return corrupt(std::move(text).error().message);
  }
  // Looked for in what p11-kit writes: it also reads a pin-source that stands before the query.
  if (text->find('?') != std::string::npos) {
    return corrupt("it has a query; the module and the PIN are the broker's to say");
  }
  if (text->size() > kMostUriCharacters) {
    return corrupt("it has more than 1024 characters when written out");
  }
  KeyUri key;
  key.uri_ = std::move(uri);
  key.text_ = *std::move(text);
  return key;
}

bool KeyUri::matches(const CK_TOKEN_INFO& token) const {
  return p11_kit_uri_match_token_info(uri_.get(), &token) != 0;
}

std::vector<CK_ATTRIBUTE> KeyUri::search() const {
  static CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
  std::vector<CK_ATTRIBUTE> search{{CKA_CLASS, &secret_key, sizeof(secret_key)}};
  for (const auto type : {CK_ATTRIBUTE_TYPE{CKA_ID}, CK_ATTRIBUTE_TYPE{CKA_LABEL}}) {
    if (const auto* attribute = p11_kit_uri_get_attribute(uri_.get(), type)) {
      search.push_back(*attribute);
    }
  }
  return search;
}

}  // namespace keybroker::hsm
