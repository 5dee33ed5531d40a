// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace keybroker::evidence {

// Intel's word for how current a platform is. The last two are not in any document: they are what
// OutOfDate becomes when only the TD's launch was under an old module.
enum class TcbStatus : std::uint8_t {
  kUpToDate,
  kSwHardeningNeeded,
  kConfigurationNeeded,
  kConfigurationAndSwHardeningNeeded,
  kOutOfDate,
  kOutOfDateConfigurationNeeded,
  kRevoked,
  kTdRelaunchAdvised,
  kTdRelaunchAdvisedConfigurationNeeded,
};

// name() is Intel's spelling; parse_tcb_status() reads all of them, parse_document_status() only
// those that a document may have.
std::string_view name(TcbStatus status);
std::optional<TcbStatus> parse_tcb_status(std::string_view text);
std::optional<TcbStatus> parse_document_status(std::string_view text);

bool asks_for_configuration(TcbStatus status);
bool is_out_of_date(TcbStatus status);

// combine() is the status of a whole whose parts have these: the worst wins, and neither hides what
// the other asks for. Both must be statuses of a document.
TcbStatus combine(TcbStatus a, TcbStatus b);

}  // namespace keybroker::evidence
