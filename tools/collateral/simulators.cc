// SPDX-License-Identifier: Apache-2.0
#include "tools/collateral/simulators.h"

#include "tools/collateral/read.h"

namespace tools::collateral {

namespace {

using namespace keybroker::evidence;

constexpr std::size_t kMaxCertificates = 16;

}  // namespace

base::Result<TrustStore> read_simulators(const std::vector<std::string>& files) {
  std::vector<SlottedRoot> roots;
  for (const auto& file : files) {
    TRY_ASSIGN(certificates, read_certificates(file, kMaxCertificates));
    for (const auto& certificate : certificates) {
      const auto slot = slot_of(certificate);
      if (!slot) {
        return base::fail(base::ErrorCode::kDenied,
                          file + ": " + certificate.subject() + " is no root of a simulator");
      }
      roots.push_back({*slot, certificate});
    }
  }
  return TrustStore::simulated(roots);
}

}  // namespace tools::collateral
