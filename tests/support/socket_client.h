// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"

namespace tests::support {

// SocketClient is the client's end of a Unix stream socket, with blocking calls that give up after
// ten seconds. What the system refuses ends the test.
class SocketClient {
 public:
  explicit SocketClient(base::Descriptor socket);

  static SocketClient connect(const std::filesystem::path& path);

  void send(base::ByteView bytes);
  void send_hex(const std::string& hex);

  // send_with() passes descriptors along with the bytes; the caller's own copies stay open.
  void send_with(base::ByteView bytes, const std::vector<int>& descriptors);

  // receive() waits for exactly that many bytes; it gives fewer if the peer closes or time is up.
  base::Bytes receive(std::size_t bytes);

  // exchange() sends and receives, all in hexadecimal.
  std::string exchange(const std::string& hex, std::size_t answer_bytes);

  // receive_once() waits until something is there and reads once.
  base::Bytes receive_once();

  // closed_by_peer() waits for the peer to close; what still comes before is dropped.
  bool closed_by_peer();

  // something_to_read() does not wait.
  [[nodiscard]] bool something_to_read() const;

  // fill() sends the same bytes until nothing more goes in without waiting.
  void fill(base::ByteView bytes);

  void close() { socket_ = base::Descriptor(); }

  [[nodiscard]] int number() const { return socket_.number(); }

 private:
  base::Descriptor socket_;
};

// socket_pair() is two connected stream sockets.
std::pair<base::Descriptor, base::Descriptor> socket_pair();

// TpmClient is a client of a TPM's data channel.
class TpmClient : public SocketClient {
 public:
  using SocketClient::SocketClient;

  explicit TpmClient(SocketClient client) : SocketClient(std::move(client)) {}

  // run() sends a command and waits for its response, which is empty if the peer closes.
  base::Bytes run(base::ByteView command);

  // response() waits for one.
  base::Bytes response();
};

}  // namespace tests::support
