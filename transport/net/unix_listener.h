// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace transport::net {

// UnixListener is a listening Unix stream socket at a path. The path goes when it dies.
class UnixListener {
 public:
  // bind() makes the socket, with access for its owner only. A socket that a dead process left
  // there is replaced. kUnavailable if somebody listens there; kDenied if there is something that
  // is no socket; kInvalidArgument for a path that is too long for a socket; else kIo.
  static base::Result<UnixListener> bind(const std::filesystem::path& path);

  // expect_bindable() says now what bind() would refuse, as far as that can be known; it takes away
  // a socket that a dead process left, and makes nothing.
  static base::Result<void> expect_bindable(const std::filesystem::path& path);

  // replace() makes the socket in place of one that is there, whoever listens on that: it is for a
  // folder that belongs to one service. Members of `group`, if there is one, may connect as well.
  // Errors as bind(), but kUnavailable.
  static base::Result<UnixListener> replace(const std::filesystem::path& path,
                                            std::optional<gid_t> group);

  UnixListener(UnixListener&& other) noexcept
      : socket_(std::move(other.socket_)), path_(std::exchange(other.path_, {})) {}

  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  [[nodiscard]] int number() const { return socket_.number(); }

  // release() gives the listening socket away; this object still removes the path.
  [[nodiscard]] base::Descriptor release() { return std::move(socket_); }

  // give_away() does so for good: the path stays.
  [[nodiscard]] base::Descriptor give_away() {
    path_.clear();
    return std::move(socket_);
  }

  // connect() connects to whoever listens at `path`, without waiting. kNotFound if nobody does;
  // kInvalidArgument as bind(); kIo.
  static base::Result<base::Descriptor> connect(const std::filesystem::path& path);

 private:
  UnixListener(base::Descriptor socket, std::filesystem::path path)
      : socket_(std::move(socket)), path_(std::move(path)) {}

  base::Descriptor socket_;
  std::filesystem::path path_;  // empty once moved from
};

}  // namespace transport::net
