// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/tee_choice.h"
#include "vtpm/tee/probe.h"

namespace tools::vtpm_instance {

const bool kSimulatedTee = false;

namespace {

vtpm::tee::Kernel& system_kernel() {
  static vtpm::tee::SystemKernel kernel;
  return kernel;
}

}  // namespace

bool machine_has_tee() {
  const auto tee = vtpm::tee::probe(system_kernel());
  return tee || tee.error().code != base::ErrorCode::kUnavailable;
}

base::Result<std::unique_ptr<vtpm::tee::Tee>> open_tee(keybroker::protocol::TeeFamily,
                                                       base::ByteView) {
  // Whether it is of the family that was asked for is for the launch document's verification.
  return vtpm::tee::probe(system_kernel());
}

}  // namespace tools::vtpm_instance
