// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/uefi/authenticated_update.h"
#include "vmgs/uefi/signature_list.h"

// What is read is written again as the same bytes, and an append of lists to themselves adds
// nothing.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::uefi;
  constexpr std::size_t kMostBytes = 64 * 1024;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  auto payload = bytes;
  const auto update = decode_authenticated_update(bytes);
  if (update) {
    if (!is_authenticated_update(bytes) || !std::ranges::equal(encode(*update), bytes)) {
      std::abort();
    }
    (void)update->timestamp();
    payload = update->payload;
  }
  const auto lists = decode_signature_lists(payload);
  if (!lists) {
    return 0;
  }
  const auto appended = append_signatures(payload, payload);
  if (!std::ranges::equal(encode_signature_lists(*lists), payload) || !appended ||
      appended->added != 0 || appended->known != count(*lists) ||
      !std::ranges::equal(appended->content, payload)) {
    std::abort();
  }
  return 0;
}
