// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/evidence/replay.h"
#include "keybroker/evidence/secure_boot.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  constexpr std::size_t kMostBytes = 64 * 1024;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  const auto log = decode_event_log(bytes);
  if (!log) {
    return 0;
  }
  for (const auto registers : {Registers::kPcrs, Registers::kRtmrs}) {
    for (const auto bank : {keybroker::crypto::Hash::kSha256, keybroker::crypto::Hash::kSha384}) {
      const auto replayed = replay(*log, bank, registers);
      read_secure_boot(*log, bank, registers);
      if (replayed && !replayed->begin()->second.events.empty()) {
        diagnose(*log, bank, registers, replayed->begin()->first, base::Bytes(32));
      }
    }
  }
  // The header of a crypto-agile log may have a digest, which nobody looks at.
  const auto again = decode_event_log(encode(*log));
  if (!again || again->events != log->events || again->algorithms != log->algorithms) {
    std::abort();
  }
  return 0;
}
