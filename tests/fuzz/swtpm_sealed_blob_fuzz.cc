// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/swtpm_blob.h"

// With keys, so that what lies behind the MAC is reached by seeds that have one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  constexpr std::size_t kMost = 64 * 1024;
  if (size > kMost) {
    return 0;
  }
  static const auto kKey = *SwtpmKey::from_passphrase(base::bytes_of("correct horse"),
                                                      SwtpmKdf::kSha512, SwtpmCipher::kAes256Cbc);
  const SwtpmKeys keys{.file = &kKey, .migration = &kKey};
  const auto opened = open_swtpm_blob(std::as_bytes(std::span(data, size)), keys);
  if (!opened) {
    return 0;
  }
  const auto again = open_swtpm_blob(
      seal_swtpm_travel(opened->state.expose(), keys, SwtpmTravel::kUnderFileKey)->expose(), keys);
  if (!again || !std::ranges::equal(again->state.expose(), opened->state.expose())) {
    std::abort();
  }
  return 0;
}
