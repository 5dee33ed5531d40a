// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "keybroker/hsm/token_uri.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::hsm;
  const auto bytes = std::as_bytes(std::span(data, size));
  // A URI has many spellings; the one that we write must mean itself.
  if (const auto key = KeyUri::parse(bytes)) {
    const auto again = KeyUri::parse(base::bytes_of(key->text()));
    if (!again || again->text() != key->text() || again->search().size() != key->search().size()) {
      std::abort();
    }
  }
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto token = TokenUri::parse(text, "/module.so");
  if (token && (!token->module().is_absolute() || !token->pin_file().is_absolute() ||
                token->text().find('?') != std::string::npos)) {
    std::abort();
  }
  return 0;
}
