// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "keybroker/evidence/trust_store.h"
#include "vmgs/base/result.h"

namespace tools::collateral {

// read_simulators() trusts the roots of simulators in these PEM files, and nothing else. kDenied
// for a certificate that is no such root.
base::Result<keybroker::evidence::TrustStore> read_simulators(
    const std::vector<std::string>& files);

}  // namespace tools::collateral
