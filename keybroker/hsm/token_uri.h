// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::hsm {

struct UriRelease {
  void operator()(P11KitUri* uri) const { p11_kit_uri_free(uri); }
};

using Uri = std::unique_ptr<P11KitUri, UriRelease>;

inline constexpr std::size_t kMostUriCharacters = 1024;

// TokenUri is where a tenant's token is, as the broker's configuration has it (RFC 7512).
class TokenUri {
 public:
  // parse() wants `token` or `serial`, and a pin-source that is a file; module-path is the module
  // if there is one, else `module` is. kInvalidArgument for what names an object, has a pin-value
  // (a PIN stands in no configuration, command line or environment), a module by another road, or
  // attributes that nobody knows.
  static base::Result<TokenUri> parse(std::string_view text, const std::filesystem::path& module);

  [[nodiscard]] const std::filesystem::path& module() const { return module_; }

  [[nodiscard]] const std::filesystem::path& pin_file() const { return pin_file_; }

  [[nodiscard]] bool matches(const CK_TOKEN_INFO& token) const;

  // text() names the token for people.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  Uri uri_;
  std::filesystem::path module_;
  std::filesystem::path pin_file_;
  std::string text_;
};

// KeyUri names one secret key in a token: the content of a KekRecord of Provider::kToken. It has no
// query: where the module and the PIN are is the broker's to say, not the record store's, which
// could otherwise load code into the broker.
class KeyUri {
 public:
  // parse() fails with kCorrupt unless the text is such a URI, with `id` or `object`.
  static base::Result<KeyUri> parse(base::ByteView content);

  // of() names the key with this CKA_ID and label in the token. Not its serial number: a key may be
  // carried to another token of the same label, as a pair of HSMs does.
  static base::Result<KeyUri> of(const CK_TOKEN_INFO& token, base::ByteView id,
                                 std::string_view label);

  [[nodiscard]] bool matches(const CK_TOKEN_INFO& token) const;

  // search() is the template that finds the key. The values live as long as this object.
  [[nodiscard]] std::vector<CK_ATTRIBUTE> search() const;

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  static base::Result<KeyUri> checked(Uri uri);

  Uri uri_;
  std::string text_;
};

}  // namespace keybroker::hsm
