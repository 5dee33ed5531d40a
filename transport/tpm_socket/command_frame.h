// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "vmgs/base/bytes.h"

namespace transport::tpm_socket {

// The largest TPM command that is taken, and the bytes that may stand in front of one:
// u32 8 ("send command"), u8 locality, u32 size of the command. All big-endian.
inline constexpr std::size_t kMaxCommandBytes = 4096;
inline constexpr std::size_t kPrefixBytes = 9;
inline constexpr std::size_t kMaxFrameBytes = kPrefixBytes + kMaxCommandBytes;

// CommandFrame is where one command lies in the bytes that were received. A command with a prefix
// names its locality, and its response is wrapped: u32 size, response, u32 0.
struct CommandFrame {
  std::size_t begin;
  std::size_t end;
  std::size_t used;  // bytes that are done with once the command has run
  bool has_end;      // false: it ends nobody knows where, and all there is was taken
  std::optional<std::uint8_t> locality;
};

// frame_command() finds the command at the beginning of `bytes`: by the size in the prefix, or else
// by the size field of the command itself. Nothing if more has to be received.
//
// Where that size is none of a command, nobody can say where the command ends. Then all there is
// is taken for one command, cut to kMaxCommandBytes: the TPM finds that the size field does not
// fit, and says so.
std::optional<CommandFrame> frame_command(base::ByteView bytes);

// frame_rest() takes all there is for one command, when the rest of it does not come.
CommandFrame frame_rest(base::ByteView bytes);

}  // namespace transport::tpm_socket
