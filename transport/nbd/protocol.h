// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::nbd {

// The messages of the Network Block Device protocol that we speak: the fixed newstyle handshake and
// simple replies. Names and numbers are those of its specification, doc/proto.md of the NBD project
// ("Values"). All integers are big-endian.

// Sizes of what a client sends, without what follows.
inline constexpr std::size_t kClientFlagsBytes = 4;
inline constexpr std::size_t kOptionHeaderBytes = 16;
inline constexpr std::size_t kRequestBytes = 28;

// Far more than an option that we know can need: a name has at most 4096 bytes.
inline constexpr std::uint32_t kMaxOptionBytes = 16 * 1024;

// What one request may move: we advertise it, and no export is larger.
inline constexpr std::uint32_t kMaxTransferBytes = 1024 * 1024;

// greeting() is the first that a server says (NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES).
base::Bytes greeting();

// What a client says of itself first.
struct ClientFlags {
  bool no_zeroes = false;
};

// decode_client_flags() is kCorrupt for flags that the specification does not know, and for a
// client without NBD_FLAG_C_FIXED_NEWSTYLE.
base::Result<ClientFlags> decode_client_flags(std::span<const std::byte, kClientFlagsBytes> bytes);

// Options that a client may haggle over; a number may be any other as well.
enum class Option : std::uint32_t {
  kExportName = 1,
  kAbort = 2,
  kList = 3,
  kInfo = 6,
  kGo = 7,
};

struct OptionHeader {
  Option option;
  std::uint32_t length;  // of the data that follows, up to 2^32 - 1
};

// decode_option_header() is kCorrupt where the magic number is another.
base::Result<OptionHeader> decode_option_header(
    std::span<const std::byte, kOptionHeaderBytes> bytes);

// The data of NBD_OPT_INFO and NBD_OPT_GO.
struct ExportChoice {
  std::string name;
  bool asks_for_block_sizes = false;

  friend bool operator==(const ExportChoice&, const ExportChoice&) = default;
};

// decode_export_choice() is kCorrupt for lengths that do not fit each other.
base::Result<ExportChoice> decode_export_choice(base::ByteView data);

// How an option is answered.
enum class OptionReply : std::uint32_t {
  kAck = 1,
  kServer = 2,
  kInfo = 3,
  kErrorUnsupported = 0x80000001,
  kErrorInvalid = 0x80000003,
  kErrorUnknown = 0x80000006,
  kErrorTooBig = 0x80000009,
};

// What an export says of itself in the handshake: it can flush (NBD_FLAG_SEND_FLUSH) and write
// through (NBD_FLAG_SEND_FUA).
inline constexpr std::uint16_t kTransmissionFlags = 0x0001 | 0x0004 | 0x0008;

// These append an answer to `out`.
void put_option_reply(base::Bytes& out, Option option, OptionReply reply, base::ByteView data = {});
void put_export_info(base::Bytes& out, Option option, std::uint64_t size_bytes);
void put_block_size_info(base::Bytes& out, Option option);
void put_listed_export(base::Bytes& out, std::string_view name);

// export_name_answer() is the answer to NBD_OPT_EXPORT_NAME, which has no other form.
base::Bytes export_name_answer(std::uint64_t size_bytes, ClientFlags flags);

// Requests of the transmission phase; a number may be any other as well.
enum class Command : std::uint16_t { kRead = 0, kWrite = 1, kDisconnect = 2, kFlush = 3 };

struct Request {
  Command command;
  bool write_through = false;    // NBD_CMD_FLAG_FUA
  bool has_other_flags = false;  // which nobody offered
  std::uint64_t cookie = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;

  // lies_within() tells whether all of it does; no sum can overflow.
  [[nodiscard]] bool lies_within(std::uint64_t size_bytes) const {
    return offset <= size_bytes && length <= size_bytes - offset;
  }
};

// decode_request() is kCorrupt where the magic number is another.
base::Result<Request> decode_request(std::span<const std::byte, kRequestBytes> bytes);

// Error numbers of simple replies.
enum class Failure : std::uint32_t { kNone = 0, kIo = 5, kInvalid = 22, kNoSpace = 28 };

inline constexpr std::size_t kSimpleReplyBytes = 16;

// put_simple_reply() writes a reply without its data into the beginning of `out`.
void put_simple_reply(std::span<std::byte, kSimpleReplyBytes> out, std::uint64_t cookie,
                      Failure failure);

}  // namespace transport::nbd
