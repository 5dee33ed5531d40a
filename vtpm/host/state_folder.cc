// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "vmgs/base/log.h"

namespace vtpm::host {

namespace {

using base::ErrorCode;
namespace fs = std::filesystem;

tl::unexpected<base::Error> fail_io(const std::string& what, const fs::path& path, int error) {
  return base::fail(ErrorCode::kIo, "cannot " + what + " " + path.string() + ": " +
                                        std::generic_category().message(error));
}

// Stores are for nobody else. Sockets have modes of their own; to reach one, folders are passed.
constexpr mode_t kStateMode = S_IRWXU;
constexpr mode_t kRuntimeMode = S_IRWXU | S_IXGRP | S_IXOTH;

base::Result<void> make_folder(const fs::path& path, mode_t mode) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (mkdir(path.c_str(), S_IRWXU) != 0) {
    return errno == EEXIST ? base::Result<void>() : fail_io("make the folder", path, errno);
  }
  if (chmod(path.c_str(), mode) != 0) {
    return fail_io("set the mode of", path, errno);
  }
  return {};
}

// In a folder that was there before, nobody else may put things in the place of ours.
base::Result<void> expect_ours(const fs::path& path, mode_t forbidden) {
  struct stat found {};

  if (stat(path.c_str(), &found) != 0) {
    return fail_io("look at the folder", path, errno);
  }
  if (found.st_uid != geteuid() && found.st_uid != 0) {
    return base::fail(ErrorCode::kDenied, "the folder " + path.string() + " belongs to user " +
                                              std::to_string(found.st_uid) +
                                              "; give it to the user that vtpmd runs as");
  }
  if ((found.st_mode & forbidden) != 0) {
    return base::fail(ErrorCode::kDenied, "others may write in the folder " + path.string() +
                                              "; take that from them: chmod go-w");
  }
  return {};
}

// Names of sockets are shorter than other paths.
base::Result<void> expect_short(const fs::path& runtime, const fs::path& socket) {
  constexpr auto kMaxSocketName = sizeof(sockaddr_un::sun_path) - 1;
  const auto length = socket.native().size();
  if (length > kMaxSocketName) {
    return base::fail(ErrorCode::kInvalidArgument, "the runtime folder " + runtime.string() +
                                                       " has a name that is " +
                                                       std::to_string(length - kMaxSocketName) +
                                                       " bytes too long for the sockets in it");
  }
  return {};
}

base::Result<void> sync_folder(const fs::path& path) {
  const base::Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || fsync(folder.number()) != 0) {
    return fail_io("sync the folder", path, errno);
  }
  return {};
}

std::string stem(std::uint32_t number) {
  return number == 0 ? "vm" : "vm-" + std::to_string(number);
}

// Whose number a file's name has: a store's, a key's, or that of one which is being made, a store
// as NAME.creating and a key as .NAME.XXXXXX. Nothing for any other file.
std::optional<std::uint32_t> number_of(std::string_view name) {
  constexpr std::string_view kCreating = ".creating";
  constexpr std::size_t kRandomEnd = 7;  // of a key that is being made
  if (name.starts_with('.') && name.size() > kRandomEnd && name[name.size() - kRandomEnd] == '.' &&
      name.substr(0, name.size() - kRandomEnd).ends_with(".key")) {
    name = name.substr(1, name.size() - 1 - kRandomEnd);
  } else if (name.ends_with(".vmgs.creating")) {
    name.remove_suffix(kCreating.size());
  }
  const auto dot = name.find('.');
  if (dot == std::string_view::npos ||
      (name.substr(dot) != ".vmgs" && name.substr(dot) != ".key")) {
    return std::nullopt;
  }
  name = name.substr(0, dot);
  if (name == "vm") {
    return 0;
  }
  std::uint32_t number = 0;
  const auto* const end = name.data() + name.size();
  constexpr std::string_view kPrefix = "vm-";
  if (!name.starts_with(kPrefix) ||
      std::from_chars(name.data() + kPrefix.size(), end, number).ptr != end || number == 0 ||
      name != stem(number)) {
    return std::nullopt;
  }
  return number;
}

base::Result<base::Descriptor> claim(const fs::path& folder, const char* name) {
  const auto path = folder / name;
  base::Descriptor lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!lock.is_open()) {
    return fail_io("open", path, errno);
  }
  if (flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return base::fail(ErrorCode::kUnavailable,
                        "another vtpmd works in " + folder.string() + "; end it first");
    }
    return fail_io("lock", path, errno);
  }
  return lock;
}

// Whatever happens, the old content is there or the new one.
base::Result<void> keep_file(const fs::path& file, base::ByteView content) {
  auto unfinished = file;
  unfinished += ".new";
  const base::Descriptor out(
      open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!out.is_open()) {
    return fail_io("make", unfinished, errno);
  }
  // A file takes so little at once, or the disk is full.
  errno = ENOSPC;
  if (write(out.number(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      fsync(out.number()) != 0) {
    return fail_io("write", unfinished, errno);
  }
  if (rename(unfinished.c_str(), file.c_str()) != 0) {
    return fail_io("rename", unfinished, errno);
  }
  return sync_folder(file.parent_path());
}

// Nothing of one that is not there; a byte more than `most_bytes` of one that is longer.
base::Result<base::Bytes> read_file(const fs::path& file, std::size_t most_bytes) {
  const base::Descriptor in(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.is_open()) {
    return errno == ENOENT ? base::Result<base::Bytes>(base::Bytes())
                           : fail_io("open", file, errno);
  }
  base::Bytes content(most_bytes + 1);
  const auto size = read(in.number(), content.data(), content.size());
  if (size < 0) {
    return fail_io("read", file, errno);
  }
  content.resize(static_cast<std::size_t>(size));
  return content;
}

// Where handover/ticket.h has the id of a ticket, in tickets and in what gives back.
constexpr std::size_t kTicketIdAt = 8;
constexpr std::size_t kTicketIdBytes = 16;

base::ByteView ticket_id(base::ByteView bytes) {
  return bytes.subspan(kTicketIdAt, kTicketIdBytes);
}

constexpr std::string_view kReleased = "ticket.released";

// The rest is for the instance to see; here is whether somebody has taken another file for it, or
// one that was cut short.
bool begins_with(std::string_view magic, base::ByteView bytes) {
  const auto begin = base::bytes_of(magic);
  return bytes.size() >= kTicketIdAt + kTicketIdBytes &&
         std::equal(begin.begin(), begin.end(), bytes.begin());
}

bool are_releases(base::ByteView bytes) {
  for (auto left = bytes; !left.empty(); left = left.subspan(StateFolder::kReleaseBytes)) {
    if (left.size() < StateFolder::kReleaseBytes || !begins_with("SRRL", left)) {
      return false;
    }
  }
  return bytes.size() <= StateFolder::kMaxReleasesBytes;
}

// What gives back what was offered to a ticket of this host, and not one that is being written.
bool is_of_release(const fs::path& file) {
  const auto name = file.filename().string();
  constexpr std::size_t kIdDigits = 2 * kTicketIdBytes;
  return name == kReleased || (name.size() == kReleased.size() + 1 + kIdDigits &&
                               name.starts_with(std::string(kReleased) + "."));
}

// Nothing of a folder that is not there.
base::Result<std::vector<fs::path>> content_of(const fs::path& folder) {
  std::vector<fs::path> content;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::end(entry);
       entry.increment(error)) {
    content.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return fail_io("look into", folder, error.value());
  }
  return content;
}

// Of nothing, no file.
base::Result<void> keep_or_remove_file(const fs::path& file, base::ByteView content) {
  if (!content.empty()) {
    return keep_file(file, content);
  }
  return unlink(file.c_str()) == 0 || errno == ENOENT ? base::Result<void>()
                                                      : fail_io("remove", file, errno);
}

}  // namespace

StateFolder::StateFolder(fs::path state, fs::path runtime)
    : state_(std::move(state)), runtime_(std::move(runtime)) {}

fs::path StateFolder::vm(const VmId& id) const { return state_ / "vms" / to_string(id); }

fs::path StateFolder::sockets(const VmId& id) const { return runtime_ / "vms" / to_string(id); }

base::Result<StateFolder::Lock> StateFolder::lock() const {
  TRY(expect_short(runtime_, control_socket(VmId{})));
  TRY(make_folder(state_, kStateMode));
  TRY(expect_ours(state_, S_IWGRP | S_IWOTH));
  TRY(make_folder(runtime_, kRuntimeMode));
  TRY(expect_ours(runtime_, S_IWOTH));
  TRY(make_folder(state_ / "vms", kStateMode));
  TRY(expect_ours(state_ / "vms", S_IWGRP | S_IWOTH));
  TRY(make_folder(runtime_ / "vms", kRuntimeMode));
  TRY(expect_ours(runtime_ / "vms", S_IWOTH));
  // Two names, for somebody may have both folders in one place.
  TRY_ASSIGN(state, claim(state_, "lock"));
  TRY_ASSIGN(runtime, claim(runtime_, "runtime.lock"));
  return Lock{std::move(state), std::move(runtime)};
}

base::Result<void> StateFolder::prepare(const VmId& id) const {
  TRY(make_folder(vm(id), kStateMode));
  TRY(make_folder(sockets(id), kRuntimeMode));
  return sync_folder(state_ / "vms");
}

base::Result<void> StateFolder::remove(const VmId& id) const {
  std::vector<fs::path> removed = {sockets(id)};
  TRY_ASSIGN(content, content_of(vm(id)));
  const auto kept = std::ranges::partition(content, std::not_fn(is_of_release));
  removed.insert(removed.end(), content.begin(), kept.begin());
  if (kept.empty()) {
    removed.push_back(vm(id));
  }
  for (const auto& each : removed) {
    std::error_code error;
    fs::remove_all(each, error);
    if (error) {
      return fail_io("remove", each, error.value());
    }
  }
  return sync_folder(kept.empty() ? state_ / "vms" : vm(id));
}

fs::path StateFolder::receipt_file(const VmId& id) const { return vm(id) / "receipt"; }

base::Result<void> StateFolder::keep_receipt(const VmId& id, base::ByteView receipt) const {
  if (receipt.size() > kMaxReceiptBytes) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a receipt of " + std::to_string(receipt.size()) +
                          " bytes is longer than any that a broker gives");
  }
  return keep_file(receipt_file(id), receipt);
}

base::Result<base::Bytes> StateFolder::receipt(const VmId& id) const {
  const auto file = receipt_file(id);
  TRY_ASSIGN(content, read_file(file, kMaxReceiptBytes));
  if (content.size() > kMaxReceiptBytes) {
    return base::fail(ErrorCode::kIo, file.string() + " is longer than any receipt");
  }
  return content;
}

fs::path StateFolder::variables_file(const VmId& id) const { return vm(id) / "variables"; }

base::Result<void> StateFolder::keep_variables(const VmId& id, base::ByteView image) const {
  return keep_or_remove_file(variables_file(id), image);
}

std::optional<fs::path> StateFolder::variables(const VmId& id) const {
  auto file = variables_file(id);
  std::error_code ignored;
  return fs::exists(file, ignored) ? std::optional(std::move(file)) : std::nullopt;
}

base::Result<bool> StateFolder::has_variables(const VmId& id, base::ByteView image) const {
  TRY_ASSIGN(kept, read_file(variables_file(id), image.size()));
  return std::equal(kept.begin(), kept.end(), image.begin(), image.end());
}

base::Result<void> StateFolder::keep_ticket(const VmId& id, base::ByteView ticket) const {
  if (!ticket.empty() && (ticket.size() > kMaxTicketBytes || !begins_with("SRTK", ticket))) {
    return base::fail(ErrorCode::kInvalidArgument, "this is not a migration ticket");
  }
  return keep_or_remove_file(this->ticket(id), ticket);
}

base::Result<void> StateFolder::keep_returned(const VmId& id, base::ByteView releases) const {
  if (releases.empty() || !are_releases(releases)) {
    return base::fail(ErrorCode::kInvalidArgument, "this is not what gives a TPM back");
  }
  TRY_ASSIGN(left_by, read_ticket(id));
  for (auto left = releases; !left.empty(); left = left.subspan(kReleaseBytes)) {
    const auto release = left.first(kReleaseBytes);
    TRY(keep_file(vm(id) / ("ticket.returned." + base::to_hex(ticket_id(release))), release));
    if (begins_with("SRTK", left_by) &&
        std::ranges::equal(ticket_id(left_by), ticket_id(release))) {
      TRY(keep_ticket(id, {}));
    }
  }
  return {};
}

base::Result<base::Bytes> StateFolder::read_ticket(const VmId& id) const {
  return read_file(ticket(id), kMaxTicketBytes);
}

base::Result<base::Bytes> StateFolder::read_releases(const VmId& id) const {
  TRY_ASSIGN(files, content_of(vm(id)));
  std::erase_if(files, std::not_fn(is_of_release));
  std::vector<std::pair<fs::file_time_type, base::Bytes>> found;
  for (const auto& file : files) {
    std::error_code ignored;
    TRY_ASSIGN(release, read_file(file, kReleaseBytes));
    if (release.size() == kReleaseBytes && begins_with("SRRL", release)) {
      found.emplace_back(fs::last_write_time(file, ignored), std::move(release));
    } else if (!release.empty()) {
      base::log(base::LogLevel::kWarning, file.string() + " gives no TPM back, as it should");
    }
  }
  std::ranges::sort(found, std::greater(), &decltype(found)::value_type::first);
  base::Bytes all;
  for (const auto& [when, release] : found) {
    if (all.size() < kMaxReleasesBytes) {
      all.insert(all.end(), release.begin(), release.end());
    }
  }
  return all;
}

bool StateFolder::has_claim(const VmId& id) const {
  auto claim = ticket(id);
  claim += ".claim";

  struct stat found {};

  return stat(claim.c_str(), &found) == 0 && found.st_size > 0;
}

fs::path StateFolder::store(const VmId& id, std::uint32_t number) const {
  return vm(id) / (stem(number) + ".vmgs");
}

fs::path StateFolder::key(const VmId& id, std::uint32_t number) const {
  return vm(id) / (stem(number) + ".key");
}

base::Result<bool> StateFolder::has_store(const VmId& id, std::uint32_t number) const {
  struct stat found {};

  if (stat(store(id, number).c_str(), &found) == 0) {
    return true;
  }
  if (errno == ENOENT) {
    return false;
  }
  return fail_io("look for", store(id, number), errno);
}

base::Result<void> StateFolder::remove_stores_but(const VmId& id,
                                                  std::span<const std::uint32_t> kept) const {
  const auto folder = vm(id);
  std::error_code error;
  bool removed = false;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::end(entry);
       entry.increment(error)) {
    const auto number = number_of(entry->path().filename().string());
    if (!number || std::ranges::find(kept, *number) != kept.end()) {
      continue;
    }
    if (unlink(entry->path().c_str()) != 0 && errno != ENOENT) {
      return fail_io("remove", entry->path(), errno);
    }
    removed = true;
  }
  if (error) {
    return fail_io("look into", folder, error.value());
  }
  return removed ? sync_folder(folder) : base::Result<void>();
}

}  // namespace vtpm::host
