// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/command.h"

namespace tests::integration {

// certifying_simulated() gives the options by which vtpmd certifies VMs of the simulated machine
// that $STRONGROOM_SIMULATED_MACHINE names, which is made if it is not there. `tee` is "sev-snp" or
// "tdx". What the machine's vendor publishes, policy and configuration are put into `folder`.
inline std::vector<std::string> certifying_simulated(const std::filesystem::path& folder,
                                                     const std::string& tee) {
  const auto published =
      support::run_command({SIMULATED_MACHINE, "publish", folder / "published", "--tee", tee});
  EXPECT_EQ(published.status, 0) << published.err;
  std::ofstream(folder / "policy.json")
      << R"({"schema": "strongroom.policy/1", "hcl": {"form": "own"}, )"
      << (tee == "tdx" ? R"("tdx": {"mrtd": "any"}})" : R"("snp": {"measurement": "any"}})");
  std::ofstream(folder / "vtpmd.toml")
      << "[authority]\nsimulated_roots = \"" << (folder / "published/root.pem").string()
      << "\"\ncollateral = \"" << (folder / "published/collateral").string() << "\"\npolicy = \""
      << (folder / "policy.json").string() << "\"\n";
  return {"--config", folder / "vtpmd.toml"};
}

}  // namespace tests::integration
