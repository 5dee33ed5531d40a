// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vtpm/protocol/command_code.h"
#include "vtpm/protocol/response_code.h"

namespace vtpm::protocol {

// The ten bytes that every command and every response begins with (TPM 2.0 Part 1, 18.3), byte
// for byte.
struct HeaderLayout {
  base::U16Be tag;
  base::U32Be size;
  base::U32Be code;
};

static_assert(sizeof(HeaderLayout) == 10);
static_assert(offsetof(HeaderLayout, size) == 2);
static_assert(offsetof(HeaderLayout, code) == 6);

inline constexpr std::size_t kHeaderBytes = sizeof(HeaderLayout);

// The largest command or response of the PC Client profile as libtpms builds it, header included.
inline constexpr std::size_t kMaxCommandBytes = 4096;

struct CommandHeader {
  Tag tag;
  CommandCode code;
};

struct ResponseHeader {
  Tag tag;
  ResponseCode code;
};

// decode_command_header() reads the header of one whole command. kCorrupt if there are fewer than
// ten bytes, if the tag is none of a command, or if the size field is not the size of `command`.
base::Result<CommandHeader> decode_command_header(base::ByteView command);

// decode_response_header() is the same for one whole response.
base::Result<ResponseHeader> decode_response_header(base::ByteView response);

// A response without parameters.
using BareResponse = std::array<std::byte, kHeaderBytes>;

// bare_response() is the whole response that a TPM gives when it fails with `code`.
BareResponse bare_response(ResponseCode code);

}  // namespace vtpm::protocol
