// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keybroker/evidence/verdict_json.h"

namespace tools::attest {

// text_of() is a verdict for people: what was decided and why in the first line, then each check in
// its order, then what the evidence says, one claim a line. Whatever rests on a simulator begins
// with SIMULATED.
std::string text_of(const keybroker::evidence::Verdict& verdict,
                    keybroker::evidence::RootClass root_class,
                    keybroker::evidence::Identifiers identifiers);

// lines_of() is a JSON object as "a.b: value" lines.
std::string lines_of(const boost::json::object& object);

}  // namespace tools::attest
