// SPDX-License-Identifier: Apache-2.0
#include "transport/nbd/session.h"

#include <algorithm>
#include <utility>

namespace transport::nbd {

using base::ErrorCode;
using base::SecretBytes;

namespace {

using Answer = std::optional<SecretBytes>;

bool is_our_name(std::string_view name) { return name.empty() || name == kExportName; }

SecretBytes simple_reply(const Request& request, Failure failure) {
  SecretBytes reply(kSimpleReplyBytes);
  put_simple_reply(reply.fill().first<kSimpleReplyBytes>(), request.cookie, failure);
  return reply;
}

}  // namespace

void Session::take(base::ByteView bytes) {
  SecretBytes joined(unused().size() + bytes.size());
  const auto behind = std::copy(unused().begin(), unused().end(), joined.fill().begin());
  std::copy(bytes.begin(), bytes.end(), behind);
  buffer_ = std::move(joined);
  used_ = 0;
}

base::Result<SecretBytes> Session::at_rest() const {
  if (is_negotiating() || over_) {
    return base::fail(ErrorCode::kUnavailable,
                      "a client of the UEFI variables is just coming or going");
  }
  if (following_ && following_->kept.size() == 0) {
    return base::fail(ErrorCode::kUnavailable,
                      "a client of the UEFI variables is in the middle of a wrong request");
  }
  base::Bytes rest;
  base::ByteView kept;
  if (following_) {
    rest.assign(request_.begin(), request_.end());
    kept = following_->kept.expose().first(following_->filled);
  }
  SecretBytes whole(rest.size() + kept.size() + unused().size());
  auto at = std::copy(rest.begin(), rest.end(), whole.fill().begin());
  at = std::copy(kept.begin(), kept.end(), at);
  std::copy(unused().begin(), unused().end(), at);
  return whole;
}

template <std::size_t N>
std::optional<std::span<const std::byte, N>> Session::next() {
  if (unused().size() < N) {
    return std::nullopt;
  }
  const auto found = unused().first<N>();
  used_ += N;
  return found;
}

base::Result<Answer> Session::next_answer() {
  while (!over_) {
    const auto unused_before = unused().size();
    const bool was_following = following_.has_value();
    TRY_ASSIGN(answer, step());
    if (answer) {
      return Answer(std::move(answer));
    }
    if (unused().size() == unused_before && following_.has_value() == was_following) {
      return Answer();
    }
  }
  return Answer();
}

// One message, or what there is of the data behind it.
base::Result<Answer> Session::step() {
  if (following_) {
    if (!receive_following()) {
      return Answer();
    }
    const Following whole = *std::exchange(following_, std::nullopt);
    if (const auto* header = std::get_if<OptionHeader>(&whole.message)) {
      return answer_option(*header, whole.kept.expose());
    }
    const auto& request = std::get<Request>(whole.message);
    return Answer(simple_reply(request, write(request, whole.kept.expose())));
  }
  switch (phase_) {
    case Phase::kFlags:
      if (const auto bytes = next<kClientFlagsBytes>()) {
        TRY_ASSIGN(flags, decode_client_flags(*bytes));
        flags_ = flags;
        phase_ = Phase::kOptions;
      }
      return Answer();
    case Phase::kOptions:
      if (const auto bytes = next<kOptionHeaderBytes>()) {
        TRY_ASSIGN(header, decode_option_header(*bytes));
        TRY(begin_option(header));
      }
      return Answer();
    case Phase::kTransmission:
      if (const auto bytes = next<kRequestBytes>()) {
        std::copy(bytes->begin(), bytes->end(), request_.begin());
        TRY_ASSIGN(request, decode_request(*bytes));
        return begin_request(request);
      }
      return Answer();
  }
  return Answer();
}

bool Session::receive_following() {
  const auto count =
      static_cast<std::size_t>(std::min<std::uint64_t>(unused().size(), following_->left));
  if (following_->kept.size() > 0) {
    const auto piece = unused().first(count);
    std::copy(piece.begin(), piece.end(),
              following_->kept.fill().begin() + static_cast<std::ptrdiff_t>(following_->filled));
    following_->filled += count;
  }
  used_ += count;
  following_->left -= count;
  return following_->left == 0;
}

base::Result<void> Session::begin_option(const OptionHeader& header) {
  const bool is_too_big = header.length > kMaxOptionBytes;
  // It cannot be refused but by a hang-up.
  if (is_too_big && header.option == Option::kExportName) {
    return base::fail(ErrorCode::kCorrupt, "the name of an export is longer than any");
  }
  following_ = Following{.message = header,
                         .left = header.length,
                         .kept = SecretBytes(is_too_big ? 0 : header.length)};
  return {};
}

base::Result<Answer> Session::answer_option(const OptionHeader& header, base::ByteView data) {
  const auto option = header.option;
  base::Bytes out;
  if (data.size() != header.length) {
    put_option_reply(out, option, OptionReply::kErrorTooBig);
    return Answer(SecretBytes::taking(std::move(out)));
  }
  switch (option) {
    case Option::kExportName:
      if (!is_our_name({reinterpret_cast<const char*>(data.data()), data.size()})) {
        return base::fail(ErrorCode::kCorrupt, "the client wants an export that there is not");
      }
      phase_ = Phase::kTransmission;
      out = export_name_answer(export_.size_bytes(), flags_);
      break;
    case Option::kAbort:
      over_ = true;
      put_option_reply(out, option, OptionReply::kAck);
      break;
    case Option::kList:
      if (data.empty()) {
        put_listed_export(out, kExportName);
        put_option_reply(out, option, OptionReply::kAck);
      } else {
        put_option_reply(out, option, OptionReply::kErrorInvalid);
      }
      break;
    case Option::kInfo:
    case Option::kGo:
      out = answer_choice(option, data);
      break;
    default:
      put_option_reply(out, option, OptionReply::kErrorUnsupported);
  }
  return Answer(SecretBytes::taking(std::move(out)));
}

base::Bytes Session::answer_choice(Option option, base::ByteView data) {
  base::Bytes out;
  const auto choice = decode_export_choice(data);
  if (!choice) {
    put_option_reply(out, option, OptionReply::kErrorInvalid);
    return out;
  }
  if (!is_our_name(choice->name)) {
    put_option_reply(out, option, OptionReply::kErrorUnknown);
    return out;
  }
  put_export_info(out, option, export_.size_bytes());
  if (choice->asks_for_block_sizes) {
    put_block_size_info(out, option);
  }
  put_option_reply(out, option, OptionReply::kAck);
  if (option == Option::kGo) {
    phase_ = Phase::kTransmission;
  }
  return out;
}

Answer Session::begin_request(const Request& request) {
  switch (request.command) {
    case Command::kDisconnect:
      over_ = true;
      return std::nullopt;
    case Command::kWrite: {
      // What cannot be written still comes, and has to be passed over.
      const bool is_good = !request.has_other_flags && request.lies_within(export_.size_bytes()) &&
                           request.length <= kMaxTransferBytes;
      following_ = Following{.message = request,
                             .left = request.length,
                             .kept = SecretBytes(is_good ? request.length : 0)};
      return std::nullopt;
    }
    case Command::kRead:
      return read(request);
    case Command::kFlush:
      return simple_reply(request, request.has_other_flags ? Failure::kInvalid : flush());
  }
  return simple_reply(request, Failure::kInvalid);
}

SecretBytes Session::read(const Request& request) {
  if (request.has_other_flags || !request.lies_within(export_.size_bytes()) ||
      request.length > kMaxTransferBytes) {
    return simple_reply(request, Failure::kInvalid);
  }
  SecretBytes reply(kSimpleReplyBytes + request.length);
  if (!export_.read(request.offset, reply.fill().subspan(kSimpleReplyBytes))) {
    return simple_reply(request, Failure::kIo);
  }
  put_simple_reply(reply.fill().first<kSimpleReplyBytes>(), request.cookie, Failure::kNone);
  return reply;
}

Failure Session::write(const Request& request, base::ByteView data) {
  if (request.has_other_flags || request.length > kMaxTransferBytes) {
    return Failure::kInvalid;
  }
  if (!request.lies_within(export_.size_bytes())) {
    return Failure::kNoSpace;
  }
  if (!export_.write(request.offset, data)) {
    return Failure::kIo;
  }
  return request.write_through ? flush() : Failure::kNone;
}

Failure Session::flush() { return export_.flush() ? Failure::kNone : Failure::kIo; }

}  // namespace transport::nbd
