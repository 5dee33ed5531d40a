// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "keybroker/evidence/signed_document.h"
#include "keybroker/evidence/tcb_info.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(keybroker::evidence::decode_tcb_info(text));
  static_cast<void>(keybroker::evidence::decode_qe_identity(text));
  static_cast<void>(keybroker::evidence::decode_signed_document(text, "tcbInfo"));
  return 0;
}
