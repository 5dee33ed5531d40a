// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/simulator_session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "transport/tpm_socket/command_frame.h"
#include "vmgs/base/cursor.h"
#include "vmgs/base/log.h"

namespace transport::tpm_socket {

namespace {

constexpr std::uint32_t kDone = 0;
constexpr std::uint32_t kFailed = 1;

constexpr std::uint32_t kServerVersion = 1;

// What a client learns of this end as it shakes hands.
constexpr std::uint32_t kPlatformAvailable = 0x01;
constexpr std::uint32_t kInRawMode = 0x04;
constexpr std::uint32_t kSupportsPhysicalPresence = 0x08;
constexpr std::uint32_t kNoNvControl = 0x40;

// Where tag and size end, there is the code of a command or response.
constexpr std::size_t kCodeBegin = 6;
constexpr std::size_t kCodeBytes = 4;

base::SecretBytes word(std::uint32_t value) {
  base::Writer out;
  out.u32_be(value);
  return base::SecretBytes::taking(std::move(out).take());
}

base::SecretBytes outcome(const base::Result<void>& done) {
  if (!done) {
    base::log(base::LogLevel::kInfo,
              "a request of the simulator protocol failed: " + done.error().message);
  }
  return word(done ? kDone : kFailed);
}

}  // namespace

void SimulatorSizes::Largest::note(base::ByteView message) {
  if (message.size() <= bytes || message.size() < kCodeBegin + kCodeBytes) {
    return;
  }
  bytes = message.size();
  code = base::copy_of(message.subspan(kCodeBegin, kCodeBytes));
}

void SimulatorSizes::note_command(base::ByteView command) {
  const std::lock_guard lock(mutex_);
  command_.note(command);
}

void SimulatorSizes::note_response(base::ByteView response) {
  const std::lock_guard lock(mutex_);
  response_.note(response);
}

base::Bytes SimulatorSizes::take() {
  const std::lock_guard lock(mutex_);
  base::Writer out;
  for (auto* largest : {&command_, &response_}) {
    largest->code.resize(kCodeBytes);
    out.u32_le(static_cast<std::uint32_t>(largest->bytes));
    out.bytes(largest->code);
    *largest = Largest();
  }
  return std::move(out).take();
}

SimulatorSession::~SimulatorSession() {
  if (cancel_on_) {
    handler_.set_cancel(false);
  }
}

void SimulatorSession::take(base::ByteView bytes) {
  base::SecretBytes joined(unused().size() + bytes.size());
  const auto behind = std::copy(unused().begin(), unused().end(), joined.fill().begin());
  std::copy(bytes.begin(), bytes.end(), behind);
  buffer_ = std::move(joined);
  used_ = 0;
}

base::Result<std::optional<base::SecretBytes>> SimulatorSession::next_answer() {
  if (over_) {
    return std::nullopt;
  }
  TRY_ASSIGN(request, decode_simulator_request(port_, unused()));
  if (!request) {
    return std::nullopt;
  }
  const auto data =
      buffer_.fill().subspan(used_ + request->data_begin, request->data_end - request->data_begin);
  auto answer = carry_out(*request, data);
  used_ += request->used;
  if (unused().empty()) {
    buffer_ = base::SecretBytes();
    used_ = 0;
  }
  return answer;
}

base::SecretBytes SimulatorSession::leave() {
  over_ = true;
  return {};
}

base::SecretBytes SimulatorSession::carry_out(const SimulatorRequest& request,
                                              std::span<std::byte> data) {
  const auto code = static_cast<SimulatorCode>(request.code);
  if (code == SimulatorCode::kSessionEnd) {
    return leave();
  }
  if (code == SimulatorCode::kStop) {
    handler_.stop();
    return leave();
  }
  return port_ == SimulatorPort::kCommands ? of_commands(request, data) : of_platform(code);
}

base::SecretBytes SimulatorSession::of_commands(const SimulatorRequest& request,
                                                std::span<std::byte> data) {
  switch (static_cast<SimulatorCode>(request.code)) {
    case SimulatorCode::kHashStart:
      return outcome(handler_.hash_start());
    case SimulatorCode::kHashData:
      return outcome(handler_.hash_data(data));
    case SimulatorCode::kHashEnd:
      return outcome(handler_.hash_end());
    case SimulatorCode::kSendCommand:
      return run(data, request.locality);
    case SimulatorCode::kRemoteHandshake:
      return shake_hands(request.value);
    case SimulatorCode::kSetAlternativeResult:
      return word(kDone);  // for a TPM behind another system's interface, which this is not
    default:
      // The body of what we do not know would be taken for requests.
      return leave();
  }
}

base::SecretBytes SimulatorSession::of_platform(SimulatorCode code) {
  switch (code) {
    case SimulatorCode::kPowerOn:
      return outcome(handler_.power_on());
    case SimulatorCode::kPowerOff:
      return outcome(handler_.power_off());
    case SimulatorCode::kReset:
      return outcome(handler_.reset());
    case SimulatorCode::kRestart:
      return outcome(handler_.restart());
    case SimulatorCode::kPhysicalPresenceOn:
    case SimulatorCode::kPhysicalPresenceOff:
      handler_.set_physical_presence(code == SimulatorCode::kPhysicalPresenceOn);
      return word(kDone);
    case SimulatorCode::kCancelOn:
    case SimulatorCode::kCancelOff:
      cancel_on_ = code == SimulatorCode::kCancelOn;
      handler_.set_cancel(cancel_on_);
      return word(kDone);
    case SimulatorCode::kNvOn:        // it always is
    case SimulatorCode::kKeyCacheOn:  // a cache of keys would only make tests quicker
    case SimulatorCode::kKeyCacheOff:
      return word(kDone);
    case SimulatorCode::kNvOff:
      return outcome(base::fail(base::ErrorCode::kUnavailable,
                                "this TPM's NV memory cannot be made unavailable"));
    case SimulatorCode::kTestFailureMode:
      return outcome(handler_.test_failure_mode());
    case SimulatorCode::kGetCommandResponseSizes: {
      const auto sizes = sizes_.take();
      base::Writer out;
      out.u32_be(static_cast<std::uint32_t>(sizes.size()));
      out.bytes(sizes);
      out.u32_be(kDone);
      return base::SecretBytes::taking(std::move(out).take());
    }
    default:
      over_ = true;
      return word(kFailed);
  }
}

base::SecretBytes SimulatorSession::run(std::span<std::byte> command, std::uint8_t locality) {
  sizes_.note_command(command);
  // The TPM takes no more, and finds by the size field that there was.
  const auto response = base::SecretBytes::taking(
      handler_.run(command.first(std::min(command.size(), kMaxCommandBytes)), locality));
  sizes_.note_response(response.expose());
  base::Writer out;
  out.u32_be(static_cast<std::uint32_t>(response.size()));
  out.bytes(response.expose());
  out.u32_be(kDone);
  return base::SecretBytes::taking(std::move(out).take());
}

base::SecretBytes SimulatorSession::shake_hands(std::uint32_t client_version) {
  if (client_version == 0) {
    return leave();
  }
  base::Writer out;
  out.u32_be(kServerVersion);
  out.u32_be(kPlatformAvailable | kInRawMode | kSupportsPhysicalPresence | kNoNvControl);
  out.u32_be(kDone);
  return base::SecretBytes::taking(std::move(out).take());
}

}  // namespace transport::tpm_socket
