// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "vmgs/base/result.h"

namespace tests::support {

// error_code() is the code of a failure, and nothing for a success. A test that asks a success for
// its error() reads bytes that mean nothing and may by chance be the code it hopes for.
template <typename T>
std::optional<base::ErrorCode> error_code(const base::Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().code);
}

}  // namespace tests::support
