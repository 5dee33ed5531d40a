// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/hand_over.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

namespace vtpm::handover {

namespace {

using base::ErrorCode;
using strongroom::instance::v1::Succession;

Deadline at_once() { return std::chrono::steady_clock::now(); }

// What came in place of `wanted`, as an error.
tl::unexpected<base::Error> other_than_expected(const std::optional<Parcel>& received) {
  if (!received) {
    return base::fail(ErrorCode::kUnavailable, "the other instance has died");
  }
  if (received->message.has_called_off()) {
    return base::fail(ErrorCode::kUnavailable, received->message.called_off().reason());
  }
  return base::fail(ErrorCode::kCorrupt, "the other instance says something out of turn");
}

base::Result<void> send_and_hear(int socket, const Parcel& parcel, Deadline deadline) {
  std::vector<int> numbers;
  for (const auto& descriptor : parcel.descriptors) {
    numbers.push_back(descriptor.number());
  }
  TRY(send_parcel(socket, parcel.message, parcel.secrets.expose(), numbers, deadline));
  TRY_ASSIGN(answer, receive_parcel(socket, deadline));
  if (!answer || !answer->message.has_serving()) {
    return other_than_expected(answer);
  }
  return {};
}

}  // namespace

base::Result<Decision> Decision::make() {
  base::Descriptor event(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.is_open()) {
    return base::fail(ErrorCode::kIo, "eventfd: " + std::generic_category().message(errno));
  }
  return Decision(std::move(event));
}

base::Result<base::Descriptor> Decision::share() const {
  base::Descriptor shared(::fcntl(event_.number(), F_DUPFD_CLOEXEC, 0));
  if (!shared.is_open()) {
    return base::fail(ErrorCode::kIo, "eventfd: " + std::generic_category().message(errno));
  }
  return shared;
}

bool Decision::take() const {
  eventfd_t value = 0;
  while (::eventfd_read(event_.number(), &value) != 0) {
    if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

base::Result<void> give(int socket, Estate estate, Deadline deadline) {
  TRY_ASSIGN(decision, Decision::make());
  TRY_ASSIGN(shared, decision.share());
  estate.decision = std::move(shared);
  auto heard = send_and_hear(socket, pack(std::move(estate)), deadline);
  if (heard || !decision.take()) {
    return {};
  }
  return heard;
}

base::Result<void> announce(int socket, Deadline deadline) {
  Succession message;
  message.mutable_here();
  return send_parcel(socket, message, {}, {}, deadline);
}

base::Result<void> announced(int socket, Deadline deadline) {
  TRY_ASSIGN(received, receive_parcel(socket, deadline));
  if (!received || !received->message.has_here()) {
    return other_than_expected(received);
  }
  return {};
}

base::Result<Estate> await(int socket, Deadline deadline) {
  TRY_ASSIGN(received, receive_parcel(socket, deadline));
  if (!received || !received->message.has_estate()) {
    return other_than_expected(received);
  }
  return unpack(*std::move(received));
}

bool claim(int socket, const Decision& decision) {
  if (!decision.take()) {
    return false;
  }
  Succession message;
  message.mutable_serving();
  // If the instance before is gone, there is nobody to tell.
  (void)send_parcel(socket, message, {}, {}, at_once());
  return true;
}

void decline(int socket, const std::string& reason) {
  Succession message;
  message.mutable_called_off()->set_reason(reason);
  (void)send_parcel(socket, message, {}, {}, at_once());
}

}  // namespace vtpm::handover
