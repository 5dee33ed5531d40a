// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "keybroker/evidence/verify.h"

namespace keybroker::evidence {

// Whether what identifies a machine (a PPID) is written. It is not for logs.
enum class Identifiers : std::uint8_t { kLeaveOut, kInclude };

// to_json() writes claims by their stable names, bytes as hexadecimal digits: "root_class", "tee",
// and, where there is one, "snp", "tdx", "vm", "ak", "quotes" and "boot".
boost::json::object to_json(const Claims& claims, Identifiers identifiers);

// The parts of it.
boost::json::object to_json(const SnpClaims& claims);
boost::json::object to_json(const TdxClaims& claims, Identifiers identifiers);
boost::json::object to_json(const QuoteClaims& claims);
boost::json::object to_json(const SecureBootState& state);

// to_json() writes each check: name, outcome, and for a failure its reason, stage and detail.
boost::json::array to_json(const std::vector<Check>& checks);

// to_json() writes a verdict: "accepted", "reason", "detail", "checks", and "claims" only if it was
// accepted.
boost::json::object to_json(const Verdict& verdict, Identifiers identifiers);

}  // namespace keybroker::evidence
