// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "transport/tpm_socket/command_frame.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

// By which road a command came: the descriptor that a hypervisor passed, so a guest wrote it; or a
// connection to a listening socket.
enum class DataRoad { kPassed, kListener };

// CommandHandler runs TPM commands, on the data server's thread, one at a time.
class CommandHandler {
 public:
  virtual ~CommandHandler() = default;

  // run() gives the whole response. `locality` is what the prefix of the command said, if it had
  // one. `command` may be changed.
  virtual base::Bytes run(std::span<std::byte> command, DataRoad road,
                          std::optional<std::uint8_t> locality) = 0;

  // channel_closed() is told when a channel has come to its end, whoever ended it.
  virtual void channel_closed() {}

  // rest() is told once that no command has come for a while; again when that is so again.
  virtual void rest() = 0;
};

struct DataLimits {
  // Connections to the listening socket at once; the most silent one gives way to another.
  std::size_t connections = 32;
  // A connection to the listening socket ends with its first response, as clients of swtpm expect
  // who read one up to its end.
  bool one_command = false;
  // How long a client may take between two pieces of a command. Then what is there is run as one.
  std::chrono::milliseconds silence = std::chrono::seconds(2);
  // How long after a command, or the start, there is rest.
  std::chrono::milliseconds until_rest = std::chrono::seconds(1);
};

// DataServer reads TPM commands and writes their responses, on a thread of its own which is the one
// that runs them: a command costs one wait, one read and one write, and no hop to another thread.
class DataServer {
 public:
  // A channel between two commands.
  struct Channel {
    base::Descriptor socket;
    DataRoad road = DataRoad::kListener;
    base::SecretBytes part;  // of the next command
  };

  // start() serves passed channels, and connections to `listener` if there is one, and goes on with
  // `channels`. kIo if the system has no descriptor for it. `handler` must outlive the server.
  static base::Result<std::unique_ptr<DataServer>> start(CommandHandler& handler,
                                                         base::Descriptor listener,
                                                         DataLimits limits,
                                                         std::vector<Channel> channels = {});

  DataServer(const DataServer&) = delete;
  DataServer& operator=(const DataServer&) = delete;

  // Ends after the command that is running, and closes every channel.
  ~DataServer();

  // adopt() becomes the owner of a channel that a hypervisor passed. There is one at a time, but
  // one whose other end has gone does not count. kInvalidArgument if it is no connected stream
  // socket, kIo while there is another. Any thread.
  base::Result<void> adopt(base::Descriptor channel);

  // suspend() waits for the command that is running, and reads nothing from then on; go_on() does
  // again. channels() gives all of them in between, with descriptors of their own, for another
  // process to serve: kIo. These are called by one thread, not the serving one.
  void suspend();
  [[nodiscard]] base::Result<std::vector<Channel>> channels();
  void go_on();

 private:
  using Clock = std::chrono::steady_clock;

  struct Connection {
    base::Descriptor socket;  // not open: of no use any more
    DataRoad road;
    base::SecretBytes part;  // of a command, until the rest of it comes
    Clock::time_point last_heard = Clock::now();
  };

  DataServer(CommandHandler& handler, base::Descriptor listener, base::Descriptor wake,
             DataLimits limits);

  void serve();
  bool take_orders();
  void accept_client();
  void close(Connection& connection);

  // These give false once the connection is of no use any more.
  bool read_from(Connection& connection);
  bool run_commands(Connection& connection, std::span<std::byte> bytes);
  bool run_overdue(Connection& connection);
  bool run_one(Connection& connection, std::span<std::byte> bytes, const CommandFrame& frame);

  void rest_if_due();

  // How long poll() may wait: until a half command is overdue, rest is due or a client may be
  // accepted again, or for good (-1).
  [[nodiscard]] int patience_milliseconds() const;

  void wake();

  CommandHandler& handler_;
  base::Descriptor listener_;
  base::Descriptor wake_;
  const DataLimits limits_;

  // Of the serving thread.
  std::vector<Connection> connections_;
  Clock::time_point last_command_ = Clock::now();
  bool rests_ = false;
  std::optional<Clock::time_point> no_client_until_;  // the system had no room for one

  std::mutex orders_;  // guards what follows
  bool stop_ = false;
  bool suspend_ = false;
  bool is_suspended_ = false;
  std::condition_variable suspension_;
  base::Descriptor adopted_;  // handed over, not yet served
  int passed_ = -1;           // the passed channel that is being served
  std::thread thread_;
};

}  // namespace transport::tpm_socket
