// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmgs/base/result.h"

namespace tools::cli {

// ExitStatus is what every program of ours tells the one who ran it.
enum class ExitStatus {
  kDone = 0,
  kFailed = 1,        // the operating system or the program itself failed
  kUsage = 2,         // the command line is wrong
  kFoundProblem = 3,  // a check ran to its end and found something wrong
  kNotFound = 4,
  kRefused = 5,    // by policy or a precondition
  kIntegrity = 6,  // bytes are damaged or forged, or a key does not fit
  kStale = 7,      // an older state, or one that belongs to somebody else now
  kUnavailable = 8,
  kCancelled = 9,
};

// exit_status() is the one mapping from errors to exit statuses.
ExitStatus exit_status(base::ErrorCode code);

// explain() is what a status means and what to do, for --explain. kNotFound for any other number.
base::Result<std::string> explain(int status);

}  // namespace tools::cli
