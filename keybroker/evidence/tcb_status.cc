// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tcb_status.h"

#include <array>

namespace keybroker::evidence {

namespace {

constexpr std::array kAll{TcbStatus::kUpToDate,
                          TcbStatus::kSwHardeningNeeded,
                          TcbStatus::kConfigurationNeeded,
                          TcbStatus::kConfigurationAndSwHardeningNeeded,
                          TcbStatus::kOutOfDate,
                          TcbStatus::kOutOfDateConfigurationNeeded,
                          TcbStatus::kRevoked,
                          TcbStatus::kTdRelaunchAdvised,
                          TcbStatus::kTdRelaunchAdvisedConfigurationNeeded};

bool asks_for_hardening(TcbStatus status) {
  return status == TcbStatus::kSwHardeningNeeded ||
         status == TcbStatus::kConfigurationAndSwHardeningNeeded;
}

}  // namespace

std::string_view name(TcbStatus status) {
  switch (status) {
    case TcbStatus::kUpToDate:
      return "UpToDate";
    case TcbStatus::kSwHardeningNeeded:
      return "SWHardeningNeeded";
    case TcbStatus::kConfigurationNeeded:
      return "ConfigurationNeeded";
    case TcbStatus::kConfigurationAndSwHardeningNeeded:
      return "ConfigurationAndSWHardeningNeeded";
    case TcbStatus::kOutOfDate:
      return "OutOfDate";
    case TcbStatus::kOutOfDateConfigurationNeeded:
      return "OutOfDateConfigurationNeeded";
    case TcbStatus::kRevoked:
      return "Revoked";
    case TcbStatus::kTdRelaunchAdvised:
      return "TDRelaunchAdvised";
    case TcbStatus::kTdRelaunchAdvisedConfigurationNeeded:
      return "TDRelaunchAdvisedConfigurationNeeded";
  }
  return "";
}

std::optional<TcbStatus> parse_tcb_status(std::string_view text) {
  for (const auto status : kAll) {
    if (name(status) == text) {
      return status;
    }
  }
  return std::nullopt;
}

std::optional<TcbStatus> parse_document_status(std::string_view text) {
  const auto status = parse_tcb_status(text);
  const bool made_here = status == TcbStatus::kTdRelaunchAdvised ||
                         status == TcbStatus::kTdRelaunchAdvisedConfigurationNeeded;
  return made_here ? std::nullopt : status;
}

bool asks_for_configuration(TcbStatus status) {
  return status == TcbStatus::kConfigurationNeeded ||
         status == TcbStatus::kConfigurationAndSwHardeningNeeded ||
         status == TcbStatus::kOutOfDateConfigurationNeeded ||
         status == TcbStatus::kTdRelaunchAdvisedConfigurationNeeded;
}

bool is_out_of_date(TcbStatus status) {
  return status == TcbStatus::kOutOfDate || status == TcbStatus::kOutOfDateConfigurationNeeded;
}

TcbStatus combine(TcbStatus a, TcbStatus b) {
  if (a == TcbStatus::kRevoked || b == TcbStatus::kRevoked) {
    return TcbStatus::kRevoked;
  }
  const bool configuration = asks_for_configuration(a) || asks_for_configuration(b);
  if (is_out_of_date(a) || is_out_of_date(b)) {
    return configuration ? TcbStatus::kOutOfDateConfigurationNeeded : TcbStatus::kOutOfDate;
  }
  const bool hardening = asks_for_hardening(a) || asks_for_hardening(b);
  if (configuration) {
    return hardening ? TcbStatus::kConfigurationAndSwHardeningNeeded
                     : TcbStatus::kConfigurationNeeded;
  }
  return hardening ? TcbStatus::kSwHardeningNeeded : TcbStatus::kUpToDate;
}

}  // namespace keybroker::evidence
