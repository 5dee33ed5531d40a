// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "transport/tpm_socket/simulator_handler.h"
#include "transport/tpm_socket/simulator_request.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

// SimulatorSizes is the largest command and response since it was asked last, over all clients of a
// TPM. Any thread.
class SimulatorSizes {
 public:
  void note_command(base::ByteView command);
  void note_response(base::ByteView response);

  // take() gives four 32-bit numbers and begins anew: bytes of the largest command, its code, bytes
  // of the largest response, its code. As the reference sends a structure of its own memory, sizes
  // are little-endian and codes as they stand in a header, big-endian.
  base::Bytes take();

 private:
  struct Largest {
    std::size_t bytes = 0;
    base::Bytes code;

    void note(base::ByteView message);
  };

  std::mutex mutex_;
  Largest command_;
  Largest response_;
};

// SimulatorSession is one client of one of the two ports, without its socket: bytes in, answers
// out, in any pieces. It holds no more than one request and what one look at a socket brings.
class SimulatorSession {
 public:
  // `handler` and `sizes` must outlive the session.
  SimulatorSession(SimulatorPort port, SimulatorHandler& handler, SimulatorSizes& sizes)
      : port_(port), handler_(handler), sizes_(sizes) {}

  SimulatorSession(const SimulatorSession&) = delete;
  SimulatorSession& operator=(const SimulatorSession&) = delete;

  // A client that goes takes its cancel back: nobody else knows that it is on.
  ~SimulatorSession();

  // take() adds what was received.
  void take(base::ByteView bytes);

  // next_answer() carries out the next request that is there as a whole and gives its answer, which
  // is empty where a request has none. Nothing if more has to be received first, or is_over().
  // kCorrupt once nobody can tell where the next request would begin.
  base::Result<std::optional<base::SecretBytes>> next_answer();

  // waits_for_rest() is true after a part of a request.
  [[nodiscard]] bool waits_for_rest() const { return !over_ && !unused().empty(); }

  // is_over() is true once the client has said that it goes, or has asked for what there is not.
  [[nodiscard]] bool is_over() const { return over_; }

 private:
  [[nodiscard]] base::ByteView unused() const { return buffer_.expose().subspan(used_); }

  base::SecretBytes carry_out(const SimulatorRequest& request, std::span<std::byte> data);
  base::SecretBytes of_commands(const SimulatorRequest& request, std::span<std::byte> data);
  base::SecretBytes of_platform(SimulatorCode code);
  base::SecretBytes run(std::span<std::byte> command, std::uint8_t locality);
  base::SecretBytes shake_hands(std::uint32_t client_version);
  base::SecretBytes leave();

  const SimulatorPort port_;
  SimulatorHandler& handler_;
  SimulatorSizes& sizes_;
  base::SecretBytes buffer_;  // commands may hold auth values
  std::size_t used_ = 0;
  bool cancel_on_ = false;
  bool over_ = false;
};

}  // namespace transport::tpm_socket
