// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/result.h"

namespace base {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid-argument";
    case ErrorCode::kNotFound:
      return "not-found";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kAuthentication:
      return "authentication";
    case ErrorCode::kDenied:
      return "denied";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kIo:
      return "io";
  }
  return "unknown";
}

Error Error::context(std::string_view where) && {
  message.insert(0, ": ");
  message.insert(0, where);
  return std::move(*this);
}

}  // namespace base
