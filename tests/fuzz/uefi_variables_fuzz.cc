// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/uefi/bios_nvram.h"
#include "vmgs/uefi/boot_option.h"
#include "vmgs/uefi/fault_tolerant_write.h"
#include "vmgs/uefi/flash.h"

using namespace vmgs::uefi;

namespace {

// What is told of variables comes out of the bytes, and none is told twice as current.
void check(const std::vector<Variable>& variables, std::size_t size) {
  std::size_t content = 0;
  for (const auto& each : variables) {
    content += each.data.size() + 2 * each.name.size();
    (void)text_of(each.name);
    (void)decode_boot_option(each.data);
    (void)decode_boot_order(each.data);
  }
  if (content > size || current(variables).size() > variables.size()) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostBytes = 256 * 1024;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  if (const auto flash = decode_flash(bytes)) {
    check(flash->variables, bytes.size());
    if (flash->used_bytes > flash->store_bytes || flash->store_bytes > bytes.size()) {
      std::abort();
    }
  }
  if (const auto variables = decode_bios_nvram(bytes)) {
    check(*variables, bytes.size());
  }
  (void)decode_boot_option(bytes);
  (void)has_pending_write(bytes);
  return 0;
}
