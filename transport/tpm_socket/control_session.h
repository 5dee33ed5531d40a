// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "transport/tpm_socket/control_answer.h"
#include "transport/tpm_socket/control_handler.h"
#include "transport/tpm_socket/control_request.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

// ControlSession is one control client without its socket: bytes in, answers out. Requests may
// arrive in any pieces. It never holds more than one request, of data that follows one no more than
// a state blob, and two descriptors.
class ControlSession {
 public:
  // `handler` must outlive the session.
  explicit ControlSession(ControlHandler& handler) : handler_(handler) {}

  // What a session is between two requests, for another to go on with it.
  struct AtRest {
    bool owns_data_channel = false;
    std::uint64_t padding_owed = 0;
    base::SecretBytes unused;  // received, and no whole request yet
  };

  ControlSession(ControlHandler& handler, AtRest before);

  // at_rest() is nothing while a request is being carried out, or data of one is still to come.
  [[nodiscard]] std::optional<AtRest> at_rest() const;

  // take() adds what was received, and the descriptors that came with it. Those that come with data
  // that follows a request are closed.
  void take(base::ByteView bytes, std::vector<base::Descriptor> descriptors);

  // next_answer() carries out the next request that is there as a whole and gives its answer, which
  // must leave in one write. Nothing if more has to be received first. A descriptor that the
  // request does not use is closed.
  std::optional<base::SecretBytes> next_answer();

  // waits_for_rest() is true after a part of a request.
  [[nodiscard]] bool waits_for_rest() const;

  // owns_data_channel() is true of the client that handed the data channel over, a hypervisor.
  [[nodiscard]] bool owns_data_channel() const { return owns_data_channel_; }

  // shut_down() is true once the client asked for the end of the process.
  [[nodiscard]] bool shut_down() const { return shut_down_; }

 private:
  // Data that follows a request: it is hashed as it comes, kept until it is whole, or passed over
  // because the request was refused already.
  struct Hashing {
    base::Result<void> so_far;
  };

  struct Keeping {
    StateBlob which;
    base::SecretBytes blob;
    bool under_file_key;
  };

  struct PassingOver {
    ControlResult result;
  };

  struct Following {
    std::variant<Hashing, Keeping, PassingOver> data;
    std::size_t length;
    std::size_t received = 0;
  };

  // An answer, or that data follows first.
  using Outcome = std::variant<base::SecretBytes, Following>;

  Outcome carry_out(const ControlRequest& request);
  Outcome plain(ControlCode code);
  Outcome set_data_channel();
  Outcome get_state_blob(const GetStateBlobRequest& request);
  Outcome set_state_blob(const SetStateBlobRequest& request);

  // receive_following() takes what is there of it, and gives the answer once it is whole.
  std::optional<base::SecretBytes> receive_following();

  // What was taken and not yet used; and use_up() wipes what is no longer needed.
  [[nodiscard]] base::ByteView unused() const { return buffer_.expose().subspan(used_); }

  void use_up(std::size_t bytes);

  base::SecretBytes finish(Following following);

  ControlHandler& handler_;
  base::SecretBytes buffer_;  // a piece of a TPM's state may be in it
  std::size_t used_ = 0;
  std::vector<base::Descriptor> descriptors_;
  std::size_t padding_owed_ = 0;
  bool may_be_padding_ = false;
  std::optional<Following> following_;
  bool owns_data_channel_ = false;
  bool shut_down_ = false;
};

}  // namespace transport::tpm_socket
