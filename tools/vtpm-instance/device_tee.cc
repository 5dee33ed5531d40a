// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/tee_choice.h"

namespace tools::vtpm_instance {

const bool kSimulatedTee = false;

base::Result<std::unique_ptr<vtpm::tee::Tee>> open_tee(keybroker::protocol::TeeFamily family,
                                                       base::ByteView) {
  return base::fail(base::ErrorCode::kUnavailable,
                    std::string("no device of TEE ") + std::string(name(family)) + " here");
}

}  // namespace tools::vtpm_instance
