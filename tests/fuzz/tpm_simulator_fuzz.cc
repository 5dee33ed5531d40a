// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "transport/tpm_socket/fake_simulator_handler.h"
#include "transport/tpm_socket/simulator_session.h"

using namespace transport::tpm_socket;

// The first byte chooses the port. Each piece is preceded by its length, so that the fuzzer decides
// how requests are torn.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto input = std::as_bytes(std::span(data, size));
  if (input.empty()) {
    return 0;
  }
  const auto port = input[0] == std::byte{0} ? SimulatorPort::kCommands : SimulatorPort::kPlatform;
  input = input.subspan(1);
  FakeSimulatorHandler handler;
  SimulatorSizes sizes;
  SimulatorSession session(port, handler, sizes);
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
      if ((*answer)->size() % 4 != 0 && port == SimulatorPort::kPlatform) {
        std::abort();
      }
    }
    input = input.subspan(1 + length);
  }
  return 0;
}
