// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/exit_status.h"

namespace tools::cli {

ExitStatus exit_status(base::ErrorCode code) {
  switch (code) {
    case base::ErrorCode::kInvalidArgument:
      return ExitStatus::kUsage;
    case base::ErrorCode::kNotFound:
      return ExitStatus::kNotFound;
    case base::ErrorCode::kCorrupt:
    case base::ErrorCode::kAuthentication:
      return ExitStatus::kIntegrity;
    case base::ErrorCode::kDenied:
      return ExitStatus::kRefused;
    case base::ErrorCode::kUnavailable:
      return ExitStatus::kUnavailable;
    case base::ErrorCode::kIo:
      return ExitStatus::kFailed;
  }
  return ExitStatus::kFailed;
}

base::Result<std::string> explain(int status) {
  switch (static_cast<ExitStatus>(status)) {
    case ExitStatus::kDone:
      return "0 done: everything that was asked for is done, and durable.";
    case ExitStatus::kFailed:
      return "1 failed: the system refused a read, a write or a flush, or there is a bug. The "
             "message says which; nothing is half done that was said to be done.";
    case ExitStatus::kUsage:
      return "2 usage: the command line is wrong. Nothing was touched. Ask with --help.";
    case ExitStatus::kFoundProblem:
      return "3 problem found: the check ran to its end and found errors. Each is listed with "
             "what to do.";
    case ExitStatus::kNotFound:
      return "4 not found: the named file, or the file in it, does not exist. Nothing is damaged.";
    case ExitStatus::kRefused:
      return "5 refused: a rule or a precondition says no, and will again. The message says what "
             "would have to be different.";
    case ExitStatus::kIntegrity:
      return "6 integrity: bytes are damaged or forged, or the key does not fit. Work on a copy; "
             "a check says more.";
    case ExitStatus::kStale:
      return "7 stale or not owner: this state is older than one that is known, or belongs to "
             "somebody else by now.";
    case ExitStatus::kUnavailable:
      return "8 unavailable: a lock is held or a peer is away. Try again later.";
    case ExitStatus::kCancelled:
      return "9 cancelled: you asked to stop, and it stopped without doing the rest.";
  }
  return base::fail(base::ErrorCode::kNotFound,
                    std::to_string(status) + " is no exit status of ours: they go from 0 to 9");
}

}  // namespace tools::cli
