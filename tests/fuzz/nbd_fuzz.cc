// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "transport/nbd/fake_block_export.h"
#include "transport/nbd/protocol.h"
#include "transport/nbd/session.h"

using namespace transport::nbd;

// Each piece is preceded by its length, so that the fuzzer decides how messages are torn. The fake
// ends the process for a range that is outside.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto input = std::as_bytes(std::span(data, size));
  (void)decode_export_choice(input);
  FakeBlockExport exported(8192);
  Session session(exported);
  while (!input.empty() && !session.is_over()) {
    const auto length =
        std::min<std::size_t>(std::to_integer<std::size_t>(input[0]), input.size() - 1);
    session.take(input.subspan(1, length));
    for (;;) {
      const auto answer = session.next_answer();
      if (!answer) {
        return 0;
      }
      if (!*answer) {
        break;
      }
      if ((*answer)->size() < 10) {
        std::abort();
      }
    }
    input = input.subspan(1 + length);
  }
  return 0;
}
