// SPDX-License-Identifier: Apache-2.0
#include "transport/nbd/protocol.h"

#include <algorithm>

#include "vmgs/base/cursor.h"

namespace transport::nbd {

namespace {

using base::ErrorCode;

constexpr std::uint64_t kInitMagic = 0x4e42444d41474943;    // NBDMAGIC
constexpr std::uint64_t kOptionMagic = 0x49484156454f5054;  // IHAVEOPT
constexpr std::uint64_t kOptionReplyMagic = 0x0003e889045565a9;
constexpr std::uint32_t kRequestMagic = 0x25609513;
constexpr std::uint32_t kSimpleReplyMagic = 0x67446698;

constexpr std::uint16_t kFixedNewstyle = 1;
constexpr std::uint16_t kNoZeroes = 2;

constexpr std::uint16_t kInfoExport = 0;
constexpr std::uint16_t kInfoBlockSize = 3;

constexpr std::uint16_t kWriteThrough = 1;

constexpr std::size_t kZeroesOfExportName = 124;

// Any byte can be written; a block of the store is what costs the same as a byte of it.
constexpr std::uint32_t kSmallestBlockBytes = 1;
constexpr std::uint32_t kPreferredBlockBytes = 4096;

struct OptionHeaderLayout {
  base::U64Be magic;
  base::U32Be option;
  base::U32Be length;
};

static_assert(sizeof(OptionHeaderLayout) == kOptionHeaderBytes);

struct RequestLayout {
  base::U32Be magic;
  base::U16Be flags;
  base::U16Be command;
  base::U64Be cookie;
  base::U64Be offset;
  base::U32Be length;
};

static_assert(sizeof(RequestLayout) == kRequestBytes);

struct SimpleReplyLayout {
  base::U32Be magic;
  base::U32Be error;
  base::U64Be cookie;
};

static_assert(sizeof(SimpleReplyLayout) == kSimpleReplyBytes);

}  // namespace

base::Bytes greeting() {
  base::Writer writer;
  writer.u64_be(kInitMagic);
  writer.u64_be(kOptionMagic);
  writer.u16_be(kFixedNewstyle | kNoZeroes);
  return std::move(writer).take();
}

base::Result<ClientFlags> decode_client_flags(std::span<const std::byte, kClientFlagsBytes> bytes) {
  const auto flags = base::load<base::U32Be>(bytes).value();
  if ((flags & ~std::uint32_t{kFixedNewstyle | kNoZeroes}) != 0) {
    return base::fail(ErrorCode::kCorrupt, "the client has flags that no specification knows");
  }
  if ((flags & kFixedNewstyle) == 0) {
    return base::fail(ErrorCode::kCorrupt,
                      "the client does not speak the fixed newstyle handshake");
  }
  return ClientFlags{.no_zeroes = (flags & kNoZeroes) != 0};
}

base::Result<OptionHeader> decode_option_header(
    std::span<const std::byte, kOptionHeaderBytes> bytes) {
  const auto raw = base::load<OptionHeaderLayout>(bytes);
  if (raw.magic.value() != kOptionMagic) {
    return base::fail(ErrorCode::kCorrupt, "an option does not begin as options do");
  }
  return OptionHeader{.option = static_cast<Option>(raw.option.value()),
                      .length = raw.length.value()};
}

base::Result<ExportChoice> decode_export_choice(base::ByteView data) {
  base::Reader reader(data);
  TRY_ASSIGN(name_bytes, reader.u32_be());
  TRY_ASSIGN(name, reader.bytes(name_bytes));
  TRY_ASSIGN(requests, reader.u16_be());
  ExportChoice choice;
  choice.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  for (std::uint16_t i = 0; i < requests; ++i) {
    TRY_ASSIGN(request, reader.u16_be());
    choice.asks_for_block_sizes = choice.asks_for_block_sizes || request == kInfoBlockSize;
  }
  TRY(reader.expect_end());
  return choice;
}

void put_option_reply(base::Bytes& out, Option option, OptionReply reply, base::ByteView data) {
  base::Writer writer;
  writer.u64_be(kOptionReplyMagic);
  writer.u32_be(static_cast<std::uint32_t>(option));
  writer.u32_be(static_cast<std::uint32_t>(reply));
  writer.u32_be(static_cast<std::uint32_t>(data.size()));
  writer.bytes(data);
  out.insert(out.end(), writer.written().begin(), writer.written().end());
}

void put_export_info(base::Bytes& out, Option option, std::uint64_t size_bytes) {
  base::Writer info;
  info.u16_be(kInfoExport);
  info.u64_be(size_bytes);
  info.u16_be(kTransmissionFlags);
  put_option_reply(out, option, OptionReply::kInfo, info.written());
}

void put_block_size_info(base::Bytes& out, Option option) {
  base::Writer info;
  info.u16_be(kInfoBlockSize);
  info.u32_be(kSmallestBlockBytes);
  info.u32_be(kPreferredBlockBytes);
  info.u32_be(kMaxTransferBytes);
  put_option_reply(out, option, OptionReply::kInfo, info.written());
}

void put_listed_export(base::Bytes& out, std::string_view name) {
  base::Writer listed;
  listed.u32_be(static_cast<std::uint32_t>(name.size()));
  listed.bytes(base::bytes_of(name));
  put_option_reply(out, Option::kList, OptionReply::kServer, listed.written());
}

base::Bytes export_name_answer(std::uint64_t size_bytes, ClientFlags flags) {
  base::Writer writer;
  writer.u64_be(size_bytes);
  writer.u16_be(kTransmissionFlags);
  auto answer = std::move(writer).take();
  if (!flags.no_zeroes) {
    answer.resize(answer.size() + kZeroesOfExportName);
  }
  return answer;
}

base::Result<Request> decode_request(std::span<const std::byte, kRequestBytes> bytes) {
  const auto raw = base::load<RequestLayout>(bytes);
  if (raw.magic.value() != kRequestMagic) {
    return base::fail(ErrorCode::kCorrupt, "a request does not begin as requests do");
  }
  return Request{.command = static_cast<Command>(raw.command.value()),
                 .write_through = (raw.flags.value() & kWriteThrough) != 0,
                 .has_other_flags = (raw.flags.value() & ~kWriteThrough) != 0,
                 .cookie = raw.cookie.value(),
                 .offset = raw.offset.value(),
                 .length = raw.length.value()};
}

void put_simple_reply(std::span<std::byte, kSimpleReplyBytes> out, std::uint64_t cookie,
                      Failure failure) {
  SimpleReplyLayout reply;
  reply.magic = kSimpleReplyMagic;
  reply.error = static_cast<std::uint32_t>(failure);
  reply.cookie = cookie;
  base::store(reply, out);
}

}  // namespace transport::nbd
