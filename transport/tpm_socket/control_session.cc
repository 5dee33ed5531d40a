// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_session.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "vmgs/base/log.h"

namespace transport::tpm_socket {

namespace {

// One that a request uses, and another that shows that there were too many.
constexpr std::size_t kMaxHeldDescriptors = 2;

constexpr std::uint32_t kInitDeleteVolatile = 1;
constexpr std::uint32_t kStateDecrypted = 1;
constexpr std::uint32_t kStateEncrypted = 2;

constexpr std::uint32_t kTypePermanent = 1;
constexpr std::uint32_t kTypeVolatile = 2;
constexpr std::uint32_t kTypeSaveState = 3;  // of a TPM 1.2

template <typename... Visitors>
struct Visitor : Visitors... {
  using Visitors::operator()...;
};

template <typename... Visitors>
Visitor(Visitors...) -> Visitor<Visitors...>;

base::SecretBytes answer(base::Bytes bytes) { return base::SecretBytes::taking(std::move(bytes)); }

base::SecretBytes answer(ControlResult result) { return answer(plain_answer(result)); }

ControlResult refused(ControlCode code, const base::Error& error, ControlResult result) {
  base::log(base::LogLevel::kInfo, std::string(name(code)) + " refused: " + error.message);
  return result;
}

template <typename T>
ControlResult outcome_of(ControlCode code, const base::Result<T>& done) {
  return done ? ControlResult::kSuccess : refused(code, done.error(), result_of(done.error()));
}

// A locality is all that these requests bring, so what is wrong with them is the locality.
ControlResult locality_result(ControlCode code, const base::Result<void>& done) {
  if (!done && done.error().code == base::ErrorCode::kInvalidArgument) {
    return refused(code, done.error(), ControlResult::kBadLocality);
  }
  return outcome_of(code, done);
}

// What is wrong with a state that is there, libtpms says in its own words, and swtpm passes them
// on.
ControlResult init_result(const base::Result<void>& done) {
  constexpr auto kCode = ControlCode::kInit;
  if (!done && (done.error().code == base::ErrorCode::kAuthentication ||
                done.error().code == base::ErrorCode::kCorrupt)) {
    return refused(kCode, done.error(), ControlResult::kTpmFailure);
  }
  return outcome_of(kCode, done);
}

// What a blob needs and does not find is a key.
ControlResult state_blob_result(const base::Result<void>& done) {
  constexpr auto kCode = ControlCode::kSetStateBlob;
  if (!done && done.error().code == base::ErrorCode::kNotFound) {
    return refused(kCode, done.error(), ControlResult::kKeyNotFound);
  }
  if (!done && done.error().code == base::ErrorCode::kInvalidArgument) {
    return refused(kCode, done.error(), ControlResult::kBadKeyProperty);
  }
  return outcome_of(kCode, done);
}

std::optional<StateBlob> state_blob_of(std::uint32_t type) {
  switch (type) {
    case kTypePermanent:
      return StateBlob::kPermanent;
    case kTypeVolatile:
      return StateBlob::kVolatile;
    default:
      return std::nullopt;
  }
}

}  // namespace

ControlSession::ControlSession(ControlHandler& handler, AtRest before)
    : handler_(handler),
      buffer_(std::move(before.unused)),
      padding_owed_(static_cast<std::size_t>(before.padding_owed)),
      may_be_padding_(buffer_.size() <= padding_owed_),
      owns_data_channel_(before.owns_data_channel) {}

std::optional<ControlSession::AtRest> ControlSession::at_rest() const {
  if (following_ || !descriptors_.empty() || shut_down_) {
    return std::nullopt;
  }
  base::SecretBytes kept(unused().size());
  std::copy(unused().begin(), unused().end(), kept.fill().begin());
  return AtRest{.owns_data_channel = owns_data_channel_,
                .padding_owed = padding_owed_,
                .unused = std::move(kept)};
}

void ControlSession::take(base::ByteView bytes, std::vector<base::Descriptor> descriptors) {
  const bool is_data_only =
      following_ && following_->received + unused().size() + bytes.size() <= following_->length;
  base::SecretBytes joined(unused().size() + bytes.size());
  const auto behind = std::copy(unused().begin(), unused().end(), joined.fill().begin());
  std::copy(bytes.begin(), bytes.end(), behind);
  buffer_ = std::move(joined);
  used_ = 0;
  // Data may go on for long: kept, they could become all that a process may have.
  if (is_data_only) {
    return;
  }
  std::move(descriptors.begin(), descriptors.end(), std::back_inserter(descriptors_));
  descriptors_.resize(std::min(descriptors_.size(), kMaxHeldDescriptors));
}

void ControlSession::use_up(std::size_t bytes) {
  used_ += bytes;
  if (unused().empty()) {
    buffer_ = base::SecretBytes();
    used_ = 0;
  }
}

bool ControlSession::waits_for_rest() const {
  return following_.has_value() || (!unused().empty() && !may_be_padding_);
}

std::optional<base::SecretBytes> ControlSession::next_answer() {
  if (following_) {
    return receive_following();
  }
  const auto padding = skip_late_padding(unused(), padding_owed_);
  may_be_padding_ = !padding && unused().size() <= padding_owed_;
  if (!padding) {
    return std::nullopt;
  }
  const auto decoded = decode_control_request(unused().subspan(*padding));
  if (!decoded) {
    return std::nullopt;
  }
  use_up(*padding + decoded->used);
  padding_owed_ = decoded->padding_owed;
  auto outcome = carry_out(decoded->request);
  descriptors_.clear();
  if (auto* done = std::get_if<base::SecretBytes>(&outcome)) {
    return std::move(*done);
  }
  following_ = std::get<Following>(std::move(outcome));
  return receive_following();
}

std::optional<base::SecretBytes> ControlSession::receive_following() {
  const std::size_t count = std::min(unused().size(), following_->length - following_->received);
  const auto piece = unused().first(count);
  if (auto* hashing = std::get_if<Hashing>(&following_->data); hashing && hashing->so_far) {
    hashing->so_far = handler_.hash_data(piece);
  } else if (auto* keeping = std::get_if<Keeping>(&following_->data)) {
    std::copy(piece.begin(), piece.end(),
              keeping->blob.fill().subspan(following_->received).begin());
  }
  following_->received += count;
  use_up(count);
  if (following_->received < following_->length) {
    return std::nullopt;
  }
  Following whole = *std::exchange(following_, std::nullopt);
  return finish(std::move(whole));
}

base::SecretBytes ControlSession::finish(Following following) {
  return std::visit(Visitor{[](Hashing& hashing) {
                              return answer(outcome_of(ControlCode::kHashData, hashing.so_far));
                            },
                            [this](Keeping& keeping) {
                              return answer(state_blob_result(handler_.set_state_blob(
                                  keeping.which, keeping.blob.expose(), keeping.under_file_key)));
                            },
                            [](PassingOver& refusal) { return answer(refusal.result); }},
                    following.data);
}

ControlSession::Outcome ControlSession::carry_out(const ControlRequest& request) {
  return std::visit(
      Visitor{[this](const PlainRequest& plain_request) { return plain(plain_request.code); },
              [this](const InitRequest& init) -> Outcome {
                const bool delete_volatile = (init.flags & kInitDeleteVolatile) != 0;
                return answer(init_result(handler_.init(delete_volatile)));
              },
              [this](const LocalityRequest& locality) -> Outcome {
                const auto done = locality.code == ControlCode::kSetLocality
                                      ? handler_.set_locality(locality.locality)
                                      : handler_.reset_established(locality.locality);
                return answer(locality_result(locality.code, done));
              },
              [](const HashDataRequest& hash) -> Outcome {
                return Following{Hashing{}, hash.length};
              },
              [this](const GetStateBlobRequest& get) { return get_state_blob(get); },
              [this](const SetStateBlobRequest& set) { return set_state_blob(set); },
              [this](const SetBufferSizeRequest& set) -> Outcome {
                const auto sizes = handler_.buffer_sizes(set.size);
                return sizes ? answer(buffer_size_answer(*sizes))
                             : answer(outcome_of(ControlCode::kSetBufferSize, sizes));
              },
              [this](const GetInfoRequest& get) -> Outcome {
                const auto text = handler_.info(get.flags);
                return text ? answer(info_answer(*text, get.offset))
                            : answer(outcome_of(ControlCode::kGetInfo, text));
              },
              [this](const LockStorageRequest& lock) -> Outcome {
                return answer(
                    outcome_of(ControlCode::kLockStorage, handler_.lock_storage(lock.retries)));
              },
              [](const UnknownRequest&) -> Outcome { return answer(ControlResult::kBadOrdinal); }},
      request);
}

ControlSession::Outcome ControlSession::plain(ControlCode code) {
  switch (code) {
    case ControlCode::kGetCapability:
      return answer(capability_answer(handler_.offers_state_blobs()
                                          ? kAllCapabilities
                                          : kAllCapabilities & ~kStateBlobCapabilities));
    case ControlCode::kShutdown:
      shut_down_ = true;
      return answer(outcome_of(code, handler_.shutdown()));
    case ControlCode::kGetTpmEstablished:
      return answer(established_answer(handler_.established()));
    case ControlCode::kHashStart:
      return answer(outcome_of(code, handler_.hash_start()));
    case ControlCode::kHashEnd:
      return answer(outcome_of(code, handler_.hash_end()));
    case ControlCode::kCancelTpmCommand:
      return answer(outcome_of(code, handler_.cancel()));
    case ControlCode::kStoreVolatile:
      return answer(outcome_of(code, handler_.store_volatile()));
    case ControlCode::kStop:
      return answer(outcome_of(code, handler_.stop()));
    case ControlCode::kGetConfig:
      return answer(config_answer(handler_.keys_in_use()));
    case ControlCode::kSetDataFd:
      return set_data_channel();
    default:
      return answer(ControlResult::kBadOrdinal);
  }
}

ControlSession::Outcome ControlSession::set_data_channel() {
  if (descriptors_.size() != 1) {
    return answer(ControlResult::kBadParameter);
  }
  const auto done = handler_.set_data_channel(std::move(descriptors_.front()));
  owns_data_channel_ = owns_data_channel_ || done;
  return answer(outcome_of(ControlCode::kSetDataFd, done));
}

ControlSession::Outcome ControlSession::get_state_blob(const GetStateBlobRequest& request) {
  const auto which = state_blob_of(request.type);
  if (!which && request.type == kTypeSaveState) {
    handler_.state_is_taken();
    return answer(no_state_blob_answer(ControlResult::kRetry));
  }
  if (!which) {
    return answer(no_state_blob_answer(ControlResult::kBadParameter));
  }
  const auto blob = handler_.state_blob(*which, (request.flags & kStateDecrypted) != 0);
  if (!blob) {
    return answer(no_state_blob_answer(outcome_of(ControlCode::kGetStateBlob, blob)));
  }
  return state_blob_answer(*blob, request.offset);
}

ControlSession::Outcome ControlSession::set_state_blob(const SetStateBlobRequest& request) {
  // What is refused for its header is refused after its data, or that would be taken for requests.
  const auto which = state_blob_of(request.type);
  if (!which) {
    const bool no_state = request.type == kTypeSaveState && request.length == 0;
    return Following{PassingOver{no_state ? ControlResult::kSuccess : ControlResult::kBadParameter},
                     request.length};
  }
  if (request.length > kMaxStateBlobBytes) {
    return Following{PassingOver{ControlResult::kSize}, request.length};
  }
  return Following{
      Keeping{*which, base::SecretBytes(request.length), (request.flags & kStateEncrypted) != 0},
      request.length};
}

}  // namespace transport::tpm_socket
