// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "keybroker/protocol/vm_service.pb.h"
#include "vmgs/base/result.h"

namespace CLI {
class App;
}

namespace tools::vtpmctl {

// LaunchParameters are the options that a launch document is written from, as the command line has
// them.
struct LaunchParameters {
  strongroom::host::v1::VmParameters words;
  std::string tee;
  std::vector<std::string> broker_roots;
  std::string execution_policy;
};

// add_launch_parameters() declares them.
void add_launch_parameters(CLI::App& app, LaunchParameters& parameters);

// add_broker_parameters() declares those of them about a VM's key broker.
void add_broker_parameters(CLI::App& app, LaunchParameters& parameters);

// words_of() reads the files that they name, and gives what vtpmd takes. kInvalidArgument, with
// what to do, where something that belongs to the rest is missing or a file is not what it should
// be; the errors of reading files.
base::Result<strongroom::host::v1::VmParameters> words_of(const LaunchParameters& parameters);

}  // namespace tools::vtpmctl
