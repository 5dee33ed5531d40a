// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/evidence/event_log.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable_store.h"

namespace tools::vmgs {

// What an edit means for Secure Boot and for PCR 7, and so for what is sealed to it.
struct UefiForecast {
  std::string secure_boot;  // "on", "off" or "setup-mode"
  base::Bytes pcr7;         // of bank sha256
  std::vector<std::string> notes;
};

// read_event_log() reads the log that --event-log names; nothing for an empty name.
base::Result<std::optional<keybroker::evidence::EventLog>> read_event_log(const std::string& path);

// forecast() is what a boot with these variables comes to. kCorrupt for a log without bank sha256.
base::Result<UefiForecast> forecast(const ::vmgs::uefi::VariableStore& store,
                                    const std::optional<keybroker::evidence::EventLog>& log);

boost::json::object to_json(const UefiForecast& before, const UefiForecast& after);
std::string to_text(const UefiForecast& before, const UefiForecast& after);

}  // namespace tools::vmgs
