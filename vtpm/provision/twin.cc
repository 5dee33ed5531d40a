// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/twin.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vtpm/provision/keys.h"
#include "vtpm/provision/tpm_life.h"

namespace vtpm::provision {

namespace {

// A Name of ours: the number of SHA-256 and its digest.
constexpr std::size_t kNameBytes = 2 + 32;

// What a twin writes first.
constexpr std::byte kHasNames{0};
constexpr std::byte kHasNone{1};

constexpr std::size_t kMostAnswerBytes = 4096;

base::Error system_error(const char* what) {
  return {base::ErrorCode::kUnavailable,
          std::string(what) + ": " + std::generic_category().message(errno)};
}

base::Result<std::vector<base::Bytes>> names_of(ESYS_CONTEXT* esys,
                                                std::span<const KeyPlace> places) {
  std::vector<base::Bytes> names;
  for (const auto& place : places) {
    TRY_ASSIGN(key, primary_key(esys, place));
    names.push_back(std::move(key.name));
  }
  return names;
}

base::Bytes encode(const base::Result<TwinNames>& names) {
  base::Writer out;
  if (!names) {
    out.bytes(std::array{kHasNone});
    out.bytes(base::bytes_of(names.error().message));
    return std::move(out).take();
  }
  out.bytes(std::array{kHasNames});
  for (const auto& group : {names->attestation, names->endorsement}) {
    for (const auto& name : group) {
      out.bytes(name);
    }
  }
  return std::move(out).take();
}

base::Result<std::vector<base::Bytes>> take_names(base::Reader& in, std::size_t count) {
  std::vector<base::Bytes> names;
  for (std::size_t i = 0; i < count; ++i) {
    TRY_ASSIGN(name, in.bytes(kNameBytes));
    names.push_back(base::copy_of(name));
  }
  return names;
}

base::Result<TwinNames> decode(base::ByteView answer) {
  base::Reader in(answer);
  const auto first = in.bytes(1);
  if (!first) {
    return base::fail(base::ErrorCode::kUnavailable, "the TPM's twin ended without a word");
  }
  if (first->front() != kHasNames) {
    const auto said = in.rest();
    return base::fail(
        base::ErrorCode::kUnavailable,
        "the TPM's twin: " + std::string(reinterpret_cast<const char*>(said.data()), said.size()));
  }
  TwinNames names;
  TRY_ASSIGN(attestation, take_names(in, attestation_places().size()));
  TRY_ASSIGN(endorsement, take_names(in, endorsement_places().size()));
  TRY(in.expect_end());
  names.attestation = std::move(attestation);
  names.endorsement = std::move(endorsement);
  return names;
}

// The child keeps nothing of the parent's open, least of all the lock of its store: it would hold
// that beyond the parent's death.
[[noreturn]] void be_the_twin(base::ByteView permanent_state, int answer) {
  constexpr int kAnswer = STDERR_FILENO + 1;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (answer != kAnswer) {
    ::dup2(answer, kAnswer);
  }
  ::close_range(kAnswer + 1, ~0U, 0);
  const auto bytes = encode(twin_names(permanent_state));
  const bool whole = ::write(kAnswer, bytes.data(), bytes.size()) ==
                     static_cast<ssize_t>(bytes.size());  // far below a pipe's atomic size
  ::_exit(whole ? 0 : 1);
}

}  // namespace

base::Result<TwinNames> twin_names(base::ByteView permanent_state) {
  TRY_ASSIGN(life, TpmLife::begin(permanent_state));
  ESYS_CONTEXT* const esys = life->esys();
  TRY(checked(Esys_ClearControl(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                ESYS_TR_NONE, TPM2_NO),
              "allowing the twin to be cleared"));
  TRY(checked(Esys_Clear(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
              "clearing the twin"));
  TRY_ASSIGN(attestation, names_of(esys, attestation_places()));
  TRY_ASSIGN(endorsement, names_of(esys, endorsement_places()));
  return TwinNames{.attestation = std::move(attestation), .endorsement = std::move(endorsement)};
}

base::Result<Twin> Twin::start(base::ByteView permanent_state) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return base::fail(system_error("a pipe for the TPM's twin"));
  }
  base::Descriptor read_end(ends[0]);
  const base::Descriptor write_end(ends[1]);
  const pid_t process = ::fork();
  if (process < 0) {
    return base::fail(system_error("a process for the TPM's twin"));
  }
  if (process == 0) {
    be_the_twin(permanent_state, write_end.number());
  }
  return Twin(process, std::move(read_end));
}

Twin::Twin(Twin&& other) noexcept
    : process_(std::exchange(other.process_, -1)), answer_(std::move(other.answer_)) {}

Twin& Twin::operator=(Twin&& other) noexcept {
  std::swap(process_, other.process_);
  std::swap(answer_, other.answer_);
  return *this;
}

Twin::~Twin() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

base::Result<TwinNames> Twin::names() {
  base::Bytes answer;
  std::array<std::byte, 512> piece{};
  for (;;) {
    const ssize_t got = ::read(answer_.number(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && errno == EAGAIN) {
      // Whoever waits for the descriptor may have made it one that does not wait itself.
      pollfd readable{.fd = answer_.number(), .events = POLLIN, .revents = 0};
      ::poll(&readable, 1, -1);
      continue;
    }
    if (got < 0) {
      return base::fail(system_error("listening to the TPM's twin"));
    }
    if (got == 0 || answer.size() > kMostAnswerBytes) {
      break;
    }
    answer.insert(answer.end(), piece.begin(), piece.begin() + got);
  }
  return decode(answer);
}

}  // namespace vtpm::provision
