// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/system_error.h"

#include <cerrno>
#include <system_error>

namespace vmgs::storage {

namespace {

base::ErrorCode code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return base::ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
    case EEXIST:
      return base::ErrorCode::kDenied;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY:
      return base::ErrorCode::kUnavailable;
    default:
      return base::ErrorCode::kIo;
  }
}

}  // namespace

base::Error system_error(int error, const std::string& what) {
  return {code_of(error), what + ": " + std::generic_category().message(error)};
}

}  // namespace vmgs::storage
