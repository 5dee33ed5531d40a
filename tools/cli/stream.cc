// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "vmgs/base/descriptor.h"
#include "vmgs/storage/folder.h"
#include "vmgs/storage/private_file.h"
#include "vmgs/storage/system_error.h"

namespace tools::cli {

namespace {

using ::vmgs::storage::system_error;

// Reads to the end, in pieces that are never moved: a buffer that grows would leave copies of a
// secret behind.
base::Result<base::SecretBytes> read_all(int descriptor, std::size_t most_bytes,
                                         const std::string& name) {
  constexpr std::size_t kMostPieceBytes = std::size_t{1} << 16;
  const std::size_t piece_bytes = std::min(most_bytes + 1, kMostPieceBytes);
  std::vector<base::SecretBytes> pieces;
  std::size_t done = 0;
  for (;;) {
    const std::size_t used = done % piece_bytes;
    if (used == 0) {
      pieces.emplace_back(piece_bytes);
    }
    const auto got = ::read(descriptor, pieces.back().fill().data() + used, piece_bytes - used);
    if (got == 0) {
      break;
    }
    if (got < 0 && errno != EINTR) {
      return base::fail(system_error(errno, "cannot read " + name));
    }
    done += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    if (done > most_bytes) {
      return base::fail(base::ErrorCode::kInvalidArgument, name + " has more than the " +
                                                               std::to_string(most_bytes) +
                                                               " bytes that there is room for");
    }
  }
  base::SecretBytes content(done);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto at = content.fill().subspan(i * piece_bytes);
    std::ranges::copy(pieces[i].expose().first(std::min(at.size(), piece_bytes)), at.begin());
  }
  return content;
}

// The N of "fd:N".
std::optional<int> descriptor_of(const std::string& from) {
  constexpr std::string_view kPrefix = "fd:";
  int number = -1;
  if (!from.starts_with(kPrefix)) {
    return std::nullopt;
  }
  const auto* const end = from.data() + from.size();
  const auto [stop, error] = std::from_chars(from.data() + kPrefix.size(), end, number);
  return error == std::errc{} && stop == end && number >= 0 ? std::optional(number) : std::nullopt;
}

base::Result<base::SecretBytes> read_key_bytes(const std::string& from) {
  constexpr auto kMost = ::vmgs::volume::kMostKeyFileBytes;
  if (from == "-") {
    return read_all(STDIN_FILENO, kMost, "stdin");
  }
  if (const auto descriptor = descriptor_of(from)) {
    return read_all(*descriptor, kMost, "descriptor " + std::to_string(*descriptor));
  }
  return ::vmgs::storage::read_private_file(from, ::vmgs::storage::OtherReaders::kNone, kMost);
}

}  // namespace

base::Result<void> hold_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0) {
      continue;
    }
    // Open the wrong way round, so that using it is the error it was before. The lowest free number
    // is this one, since those below it are open.
    const int held = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (held != stream) {
      return base::fail(base::ErrorCode::kIo,
                        "a standard stream is closed and /dev/null does not open in its place");
    }
  }
  return {};
}

base::Result<base::SecretBytes> read_input(const std::string& from, std::size_t most_bytes) {
  if (from == "-") {
    return read_all(STDIN_FILENO, most_bytes, "stdin");
  }
  const base::Descriptor file(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.is_open()) {
    return base::fail(system_error(errno, "cannot open " + from));
  }
  return read_all(file.number(), most_bytes, from);
}

base::Result<::vmgs::volume::DatastoreKey> read_key(const std::string& from) {
  TRY_ASSIGN(content, read_key_bytes(from));
  auto key = ::vmgs::volume::parse_datastore_key(content.expose());
  if (!key) {
    return base::fail(std::move(key).error().context("key " + from));
  }
  return key;
}

base::Result<void> write_file(const std::filesystem::path& file, base::ByteView bytes,
                              Privacy privacy) {
  std::error_code error;
  if (file.has_parent_path()) {
    std::filesystem::create_directories(file.parent_path(), error);
  }
  auto unfinished = file;
  unfinished += ".unfinished";
  constexpr mode_t kOwners = S_IRUSR | S_IWUSR;
  const mode_t mode =
      privacy == Privacy::kPrivate ? kOwners : kOwners | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
  const base::Descriptor out(
      ::open(unfinished.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode));
  // One that was left behind has the mode of then.
  if (!out.is_open() || (privacy == Privacy::kPrivate && ::fchmod(out.number(), kOwners) != 0)) {
    return base::fail(system_error(errno, "cannot write " + unfinished.string()));
  }
  while (!bytes.empty()) {
    const auto wrote = ::write(out.number(), bytes.data(), bytes.size());
    if (wrote < 0 && errno != EINTR) {
      return base::fail(system_error(errno, "cannot write " + unfinished.string()));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(wrote, 0)));
  }
  // Before it has its name: else the name may outlive a crash, and the content not.
  if (::fsync(out.number()) != 0) {
    return base::fail(system_error(errno, "cannot write " + unfinished.string()));
  }
  std::filesystem::rename(unfinished, file, error);
  if (error) {
    return base::fail(base::ErrorCode::kIo, file.string() + ": " + error.message());
  }
  return ::vmgs::storage::sync_folder_of(file);
}

}  // namespace tools::cli
