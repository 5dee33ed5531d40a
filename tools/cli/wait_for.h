// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "vmgs/base/result.h"

namespace tools::cli {

// wait_for() runs an operation to its end on an event loop of its own. What the operation refers to
// lives until the end of the full expression around the call.
template <typename T>
base::Result<T> wait_for(boost::asio::awaitable<base::Result<T>> operation) {
  boost::asio::io_context io;
  std::optional<base::Result<T>> result;
  boost::asio::co_spawn(io, std::move(operation),
                        [&](const std::exception_ptr& bug, base::Result<T> ended) {
                          if (bug) {
                            std::rethrow_exception(bug);
                          }
                          result = std::move(ended);
                        });
  io.run();
  return *std::move(result);
}

}  // namespace tools::cli
