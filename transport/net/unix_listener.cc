// SPDX-License-Identifier: Apache-2.0
#include "transport/net/unix_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace transport::net {

namespace {

tl::unexpected<base::Error> refused(base::ErrorCode code, const std::filesystem::path& path,
                                    const std::string& why) {
  return base::fail(code, path.string() + ": " + why);
}

tl::unexpected<base::Error> refused_by_system(const std::filesystem::path& path) {
  return refused(base::ErrorCode::kIo, path, std::generic_category().message(errno));
}

base::Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto& text = path.native();
  if (text.empty() || text.size() >= sizeof address.sun_path) {
    return refused(
        base::ErrorCode::kInvalidArgument, path,
        "a socket path has 1 to " + std::to_string(sizeof address.sun_path - 1) + " characters");
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

base::Descriptor new_socket() {
  return base::Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// A socket at the path that nobody listens on any more is taken away.
base::Result<void> clear_path(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat found {};

  if (::lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? base::Result<void>() : refused_by_system(path);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return refused(base::ErrorCode::kDenied, path, "there is something that is no socket");
  }
  const auto probe = new_socket();
  if (!probe.is_open()) {
    return refused_by_system(path);
  }
  if (::connect(probe.number(), generic(address), sizeof address) == 0) {
    return refused(base::ErrorCode::kUnavailable, path, "another process listens there");
  }
  if (errno != ECONNREFUSED) {
    return refused_by_system(path);
  }
  return ::unlink(path.c_str()) == 0 ? base::Result<void>() : refused_by_system(path);
}

// A socket that listens at a path where nothing is. The mode of the socket is that of the path
// which bind() makes, so nobody gets in between.
base::Result<base::Descriptor> listen_at(const std::filesystem::path& path,
                                         const sockaddr_un& address) {
  auto socket = new_socket();
  if (!socket.is_open() || ::fchmod(socket.number(), S_IRUSR | S_IWUSR) != 0 ||
      ::bind(socket.number(), generic(address), sizeof address) != 0 ||
      ::listen(socket.number(), SOMAXCONN) != 0) {
    return refused_by_system(path);
  }
  return socket;
}

}  // namespace

base::Result<UnixListener> UnixListener::bind(const std::filesystem::path& path) {
  TRY_ASSIGN(address, address_of(path));
  TRY(clear_path(path, address));
  TRY_ASSIGN(socket, listen_at(path, address));
  return UnixListener(std::move(socket), path);
}

base::Result<void> UnixListener::expect_bindable(const std::filesystem::path& path) {
  TRY_ASSIGN(address, address_of(path));
  TRY(clear_path(path, address));
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  return ::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0
             ? base::Result<void>()
             : refused_by_system(path);
}

base::Result<UnixListener> UnixListener::replace(const std::filesystem::path& path,
                                                 std::optional<gid_t> group) {
  TRY_ASSIGN(address, address_of(path));

  struct stat found {};

  if (::lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      return refused(base::ErrorCode::kDenied, path, "there is something that is no socket");
    }
    if (::unlink(path.c_str()) != 0) {
      return refused_by_system(path);
    }
  }
  TRY_ASSIGN(socket, listen_at(path, address));
  UnixListener listener(std::move(socket), path);
  if (group && (::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0 ||
                ::chmod(path.c_str(), S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) != 0)) {
    return refused_by_system(path);
  }
  return listener;
}

base::Result<base::Descriptor> UnixListener::connect(const std::filesystem::path& path) {
  TRY_ASSIGN(address, address_of(path));
  base::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) {
    return refused_by_system(path);
  }
  if (::connect(socket.number(), generic(address), sizeof address) == 0) {
    return socket;
  }
  if (errno == ENOENT || errno == ECONNREFUSED) {
    return refused(base::ErrorCode::kNotFound, path, "nobody listens there");
  }
  return refused_by_system(path);
}

UnixListener::~UnixListener() {
  if (!path_.empty()) {
    ::unlink(path_.c_str());
  }
}

}  // namespace transport::net
