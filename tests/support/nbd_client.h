// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

#include "tests/support/socket_client.h"
#include "vmgs/base/bytes.h"

namespace tests::support {

// NbdClient uses a block export as QEMU does, one request at a time. Nothing here uses the code
// under test.
class NbdClient {
 public:
  // connect() chooses the export without a name; nothing if the server hangs up on it first.
  static std::optional<NbdClient> connect(const std::filesystem::path& socket);

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

  // These give the error number of the reply, 0 for none; nothing if the server has hung up.
  std::optional<std::uint32_t> write(std::uint64_t offset, base::ByteView bytes,
                                     bool write_through = false);
  std::optional<std::uint32_t> flush();

  // read() gives what is there, nothing if that fails.
  std::optional<base::Bytes> read(std::uint64_t offset, std::uint32_t bytes);

  // disconnect() says so, and waits for the server to hang up.
  void disconnect();

 private:
  NbdClient(SocketClient socket, std::uint64_t size_bytes)
      : socket_(std::move(socket)), size_bytes_(size_bytes) {}

  void send_request(std::uint16_t command, std::uint16_t flags, std::uint64_t offset,
                    std::uint32_t length, base::ByteView data = {});
  std::optional<std::uint32_t> reply();

  SocketClient socket_;
  std::uint64_t size_bytes_;
  std::uint64_t cookie_ = 0;
};

}  // namespace tests::support
