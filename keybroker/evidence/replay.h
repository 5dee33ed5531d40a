// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/evidence/event_log.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// Which registers a log is about: PCRs of a TPM, or MRTD and RTMRs of a TD, whose indices in a log
// are 0 for MRTD and 1 to 4 for RTMR0 to RTMR3.
enum class Registers : std::uint8_t { kPcrs, kRtmrs };

// What a register should hold if a log is the truth.
struct Replayed {
  base::Bytes value;
  std::vector<std::size_t> events;  // numbers of those that extended it, in order
};

// Replayed registers by their index in the log: every one there is, whether it has events or not.
using Replay = std::map<std::uint32_t, Replayed>;

// replay() extends each register by its events' digests of one bank. kCorrupt if the log has no
// such bank, an event for a register that does not exist or that nobody can extend (MRTD), or a
// startup locality that is said twice or too late.
base::Result<Replay> replay(const EventLog& log, crypto::Hash bank, Registers registers);

// diagnose() says in one sentence why a log may not lead to `actual`, and where to look: an event
// after which it fitted, one without which it would, two whose exchange would mend it.
std::string diagnose(const EventLog& log, crypto::Hash bank, Registers registers,
                     std::uint32_t index, base::ByteView actual);

// data_matches() tells whether the digest of an event covers its data, for the types where it does;
// nothing for other types and for banks that are not known here. Firmware that measures authorities
// may leave one stray byte behind.
std::optional<bool> data_matches(const LogEvent& event, crypto::Hash bank);

}  // namespace keybroker::evidence
