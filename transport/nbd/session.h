// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "transport/nbd/block_export.h"
#include "transport/nbd/protocol.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::nbd {

// The name of the one export there is. A client that names none gets it too.
inline constexpr std::string_view kExportName = "uefi-variables";

// Session is one client without its socket: bytes in, answers out, in any pieces. It holds one
// request at a time, and of what follows one no more than kMaxTransferBytes. What we do not speak
// is refused in the protocol's own words, and the client may go on.
class Session {
 public:
  // `block_export` must outlive the session and has begun.
  explicit Session(BlockExport& block_export) : export_(block_export) {}

  // A client that has chosen the export elsewhere goes on, with what at_rest() has given there.
  Session(BlockExport& block_export, base::SecretBytes unused)
      : export_(block_export), buffer_(std::move(unused)), phase_(Phase::kTransmission) {}

  // at_rest() is what the client has sent that was not carried out, for another session to go on
  // with. kUnavailable while it has not chosen the export, or sends data that nobody keeps.
  [[nodiscard]] base::Result<base::SecretBytes> at_rest() const;

  // take() adds what was received.
  void take(base::ByteView bytes);

  // next_answer() carries out what is there as a whole, up to the next answer. Nothing if more has
  // to be received first. kCorrupt once the client has left the protocol: there is no way to tell
  // where its next message would begin.
  base::Result<std::optional<base::SecretBytes>> next_answer();

  // is_negotiating() is true until the client has chosen the export.
  [[nodiscard]] bool is_negotiating() const { return phase_ != Phase::kTransmission; }

  // is_over() is true once the client has said that it goes.
  [[nodiscard]] bool is_over() const { return over_; }

 private:
  enum class Phase : std::uint8_t { kFlags, kOptions, kTransmission };

  // Data that follows a message: kept until it is whole, or passed over.
  struct Following {
    std::variant<OptionHeader, Request> message;
    std::uint64_t left;
    base::SecretBytes kept;  // empty if it is passed over
    std::size_t filled = 0;
  };

  [[nodiscard]] base::ByteView unused() const { return buffer_.expose().subspan(used_); }

  // What comes next, if all of it is there.
  template <std::size_t N>
  std::optional<std::span<const std::byte, N>> next();

  base::Result<std::optional<base::SecretBytes>> step();

  base::Result<void> begin_option(const OptionHeader& header);
  base::Result<std::optional<base::SecretBytes>> answer_option(const OptionHeader& header,
                                                               base::ByteView data);
  base::Bytes answer_choice(Option option, base::ByteView data);
  std::optional<base::SecretBytes> begin_request(const Request& request);
  base::SecretBytes read(const Request& request);
  Failure write(const Request& request, base::ByteView data);
  Failure flush();

  // receive_following() takes what is there. True once it is whole.
  bool receive_following();

  BlockExport& export_;
  base::SecretBytes buffer_;  // a guest's variables may hold secrets
  std::size_t used_ = 0;
  Phase phase_ = Phase::kFlags;
  ClientFlags flags_;
  std::optional<Following> following_;
  std::array<std::byte, kRequestBytes> request_{};  // the last, as it came
  bool over_ = false;
};

}  // namespace transport::nbd
