// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "transport/tpm_socket/command_frame.h"
#include "transport/tpm_socket/control_session.h"
#include "transport/tpm_socket/fake_control_handler.h"

using namespace transport::tpm_socket;

namespace {

// Each piece is preceded by its length, so that the fuzzer decides how requests are torn.
void run_session(base::ByteView input) {
  FakeControlHandler handler;
  ControlSession session(handler);
  while (!input.empty()) {
    const auto length =
        std::min<std::size_t>(std::to_integer<std::size_t>(input[0]), input.size() - 1);
    session.take(input.subspan(1, length), {});
    while (const auto answer = session.next_answer()) {
      if (answer->size() < 4) {
        std::abort();
      }
    }
    input = input.subspan(1 + length);
  }
}

void frame(base::ByteView input) {
  const auto found = frame_command(input);
  const auto whole = found ? *found : frame_rest(input);
  if (whole.begin > whole.end || whole.end > whole.used || whole.used > input.size() ||
      whole.end - whole.begin > kMaxCommandBytes || (found && whole.used == 0)) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  run_session(input);
  frame(input);
  return 0;
}
