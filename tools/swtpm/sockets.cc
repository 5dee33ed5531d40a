// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "tools/swtpm/suboptions.h"
#include "transport/net/tcp_listener.h"

namespace tools::swtpm {

using enum SuboptionKind;

namespace {

constexpr std::uint32_t kMostPort = 0xffff;

// What swtpm gives a socket's path where nothing is said.
constexpr mode_t kDefaultMode = 0770;

tl::unexpected<base::Error> wrong(std::string why) {
  return base::fail(base::ErrorCode::kInvalidArgument, std::move(why));
}

base::Result<base::Descriptor> passed_socket(std::uint32_t number, std::string_view what) {
  struct stat found {};

  const int descriptor = static_cast<int>(number);
  if (::fstat(descriptor, &found) != 0 || !S_ISSOCK(found.st_mode)) {
    return wrong("Bad filedescriptor " + std::to_string(number) + " for " + std::string(what));
  }
  return base::Descriptor(descriptor);
}

bool listens(const base::Descriptor& socket) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return ::getsockopt(socket.number(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
         listening != 0;
}

base::Result<void> open_path(const std::string& path, const Suboptions& given, Channel& channel) {
  // As swtpm does: whatever socket is left there is replaced.
  TRY_ASSIGN(listener, transport::net::UnixListener::replace(path, std::nullopt));
  const auto mode = static_cast<mode_t>(given.number("mode").value_or(kDefaultMode));
  const auto user = given.number("uid").value_or(static_cast<std::uint32_t>(-1));
  const auto group = given.number("gid").value_or(static_cast<std::uint32_t>(-1));
  const bool owned = given.number("uid") || given.number("gid");
  if ((owned && ::chown(path.c_str(), user, group) != 0) || ::chmod(path.c_str(), mode) != 0) {
    return base::fail(base::ErrorCode::kIo, path + ": " + std::generic_category().message(errno));
  }
  channel.listening = listener.release();
  channel.ours.emplace(std::move(listener));
  return {};
}

// The port that is named, or that of the environment, which swtpm takes for the data channel.
std::optional<std::uint32_t> port_of(const Suboptions& given, const char* variable) {
  if (const auto port = given.number("port")) {
    return port;
  }
  const char* const text = variable == nullptr ? nullptr : std::getenv(variable);
  if (text == nullptr) {
    return std::nullopt;
  }
  const std::string_view digits(text);
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(port)
                                                                      : std::nullopt;
}

base::Result<void> open_port(const Suboptions& given, const char* variable, std::string_view what,
                             Channel& channel) {
  const auto port = port_of(given, variable);
  if (!port) {
    return wrong("No valid port number provided for " + std::string(what));
  }
  if (*port > kMostPort) {
    return wrong(std::string(what) + " port outside valid range");
  }
  TRY_ASSIGN(listening, transport::net::listen_tcp(given.text("bindaddr").value_or("127.0.0.1"),
                                                   static_cast<std::uint16_t>(*port)));
  channel.listening = std::move(listening);
  return {};
}

}  // namespace

base::Result<Channel> open_control(std::string_view value) {
  TRY_ASSIGN(given, Suboptions::parse("ctrl", value,
                                      {{"type", kText},
                                       {"path", kText},
                                       {"port", kNumber},
                                       {"bindaddr", kText},
                                       {"ifname", kText},
                                       {"fd", kNumber},
                                       {"clientfd", kNumber},
                                       {"mode", kOctal},
                                       {"uid", kUser},
                                       {"gid", kGroup},
                                       {"terminate", kFlag}}));
  Channel channel;
  channel.terminate = given.flag("terminate");
  const auto type = given.text("type");
  if (!type) {
    return wrong("Missing type parameter for control channel");
  }
  if (*type != "unixio" && *type != "tcp") {
    return wrong("Unsupported control channel type: " + *type);
  }
  const bool is_unix = *type == "unixio";
  if (const auto number = given.number("fd")) {
    TRY_ASSIGN(socket, passed_socket(*number, "control channel"));
    channel.listening = std::move(socket);
  } else if (const auto client = given.number("clientfd"); client && is_unix) {
    TRY_ASSIGN(socket, passed_socket(*client, "client control channel"));
    channel.connected = std::move(socket);
  } else if (!is_unix) {
    TRY(open_port(given, nullptr, "TCP control channel", channel));
  } else if (const auto path = given.text("path")) {
    TRY(open_path(*path, given, channel));
  } else {
    return wrong("Missing path and fd options for UnixIO control channel");
  }
  return channel;
}

base::Result<Channel> open_server(std::string_view value) {
  TRY_ASSIGN(given, Suboptions::parse("server", value,
                                      {{"type", kText},
                                       {"path", kText},
                                       {"port", kNumber},
                                       {"bindaddr", kText},
                                       {"ifname", kText},
                                       {"fd", kNumber},
                                       {"mode", kOctal},
                                       {"uid", kUser},
                                       {"gid", kGroup},
                                       {"disconnect", kFlag}}));
  Channel channel;
  channel.disconnect = given.flag("disconnect");
  const auto type = given.text("type").value_or("tcp");
  if (type != "unixio" && type != "tcp") {
    return wrong("Unsupported socket type: " + type);
  }
  if (const auto number = given.number("fd")) {
    TRY_ASSIGN(socket, passed_socket(*number, "the data channel"));
    if (listens(socket)) {
      channel.listening = std::move(socket);
    } else {
      channel.connected = std::move(socket);
      channel.terminate = true;
    }
  } else if (type == "tcp") {
    TRY(open_port(given, "TPM_PORT", "TCP socket", channel));
  } else if (const auto path = given.text("path")) {
    TRY(open_path(*path, given, channel));
  } else {
    return wrong("Missing path and file descriptor option for UnixIO socket");
  }
  return channel;
}

base::Result<Channel> passed_data_channel(std::string_view value) {
  constexpr std::uint32_t kFirstOfCallers = 3;
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) {
    return wrong("Cannot parse socket file descriptor.");
  }
  if (number < kFirstOfCallers) {
    return wrong("Error: Cannot accept file descriptors with values 0, 1, or 2");
  }
  Channel channel;
  TRY_ASSIGN(socket, passed_socket(number, "the data channel"));
  channel.connected = std::move(socket);
  channel.terminate = true;
  return channel;
}

}  // namespace tools::swtpm
