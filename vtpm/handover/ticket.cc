// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/ticket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace vtpm::handover {

namespace {

namespace crypto = keybroker::crypto;
using base::ErrorCode;
using vmgs::format::Ownership;
using vmgs::format::TicketId;

constexpr std::string_view kTicketMagic = "SRTK";
constexpr std::string_view kReleaseMagic = "SRRL";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kMostTicketBytes = 512;
constexpr std::size_t kReleaseBytes = 4 + 4 + 16 + 32;
constexpr std::size_t kClaimBytes = kReleaseBytes + vmgs::format::kOwnershipBytes;

std::filesystem::path beside(std::filesystem::path path, const char* suffix) {
  path += suffix;
  return path;
}

tl::unexpected<base::Error> failed(const std::filesystem::path& path, const char* what) {
  const auto code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
  return base::fail(
      code, path.string() + " cannot be " + what + ": " + std::generic_category().message(errno));
}

base::Result<void> write_all(int file, const std::filesystem::path& path, base::ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return failed(path, "written");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return ::fsync(file) == 0 ? base::Result<void>() : failed(path, "written");
}

base::Result<void> sync_folder_of(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const base::Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open() || ::fsync(opened.number()) != 0) {
    return failed(folder, "written");
  }
  return {};
}

// A file that is there as a whole or not at all.
base::Result<void> publish(const std::filesystem::path& path, mode_t mode, base::ByteView bytes) {
  const auto temporary = beside(path, ".new");
  {
    const base::Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file.is_open() || ::fchmod(file.number(), mode) != 0) {
      return failed(temporary, "made");
    }
    TRY(write_all(file.number(), temporary, bytes));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return failed(path, "made");
  }
  return sync_folder_of(path);
}

// Secrets, too: what was read does not stay.
base::Result<base::SecretBytes> read_all(int file, const std::filesystem::path& path,
                                         std::size_t most) {
  base::SecretBytes bytes(most + 1);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::pread(file, bytes.fill().data() + filled, bytes.size() - filled,
                                static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return failed(path, "read");
    }
    if (got == 0) {
      break;
    }
    filled += static_cast<std::size_t>(got);
  }
  base::SecretBytes read(filled);
  std::copy_n(bytes.expose().begin(), filled, read.fill().begin());
  return read;
}

base::Result<base::SecretBytes> read_file(const std::filesystem::path& path, std::size_t most) {
  const base::Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.is_open()) {
    return failed(path, "read");
  }
  return read_all(file.number(), path, most);
}

struct Release {
  TicketId id{};
  ReleaseSecret secret = ReleaseSecret::zero();
};

base::SecretBytes encode_release(const TicketId& id, const ReleaseSecret& secret) {
  base::Writer head;
  head.bytes(base::bytes_of(kReleaseMagic));
  head.u32_le(kVersion);
  head.bytes(id);
  base::SecretBytes bytes(kReleaseBytes);
  const auto behind = std::copy(head.written().begin(), head.written().end(), bytes.fill().begin());
  std::copy(secret.expose().begin(), secret.expose().end(), behind);
  return bytes;
}

base::Result<Release> decode_release(base::ByteView bytes) {
  base::Reader in(bytes);
  Release release;
  if (bytes.size() == kReleaseBytes) {
    TRY_ASSIGN(magic, in.bytes(kReleaseMagic.size()));
    TRY_ASSIGN(version, in.u32_le());
    TRY_ASSIGN(id, in.bytes(release.id.size()));
    TRY_ASSIGN(secret, in.bytes(release.secret.expose().size()));
    if (std::equal(magic.begin(), magic.end(), base::bytes_of(kReleaseMagic).begin()) &&
        version == kVersion) {
      std::copy(id.begin(), id.end(), release.id.begin());
      std::copy(secret.begin(), secret.end(), release.secret.fill().begin());
      return release;
    }
  }
  return base::fail(ErrorCode::kCorrupt, "this is no claim or release of a ticket");
}

// The store before, as a claim keeps it: zeros where there was none.
base::Bytes encode_before(const std::optional<Ownership>& before) {
  return before ? vmgs::format::encode_ownership(*before)
                : base::Bytes(vmgs::format::kOwnershipBytes);
}

// The claim file, locked. kUnavailable while another process holds it.
base::Result<base::Descriptor> lock_claim(const std::filesystem::path& path, int flags) {
  base::Descriptor file(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600));
  if (!file.is_open()) {
    return failed(path, "opened");
  }
  if (::flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
    return base::fail(ErrorCode::kUnavailable,
                      path.string() + ": another process waits for what is sealed to this ticket");
  }
  return file;
}

}  // namespace

base::Bytes encode_ticket(const Ticket& ticket) {
  base::Writer out;
  out.bytes(base::bytes_of(kTicketMagic));
  out.u32_le(kVersion);
  out.bytes(ticket.id);
  out.bytes(ticket.release_digest);
  out.bytes(ticket.key.spki());
  return std::move(out).take();
}

base::Result<Ticket> decode_ticket(base::ByteView bytes) {
  const auto corrupt = [](const char* what) {
    return base::fail(ErrorCode::kCorrupt, std::string("a migration ticket: ") + what);
  };
  base::Reader in(bytes);
  std::array<std::byte, 32> release_digest{};
  TicketId id{};
  TRY_ASSIGN(magic, in.bytes(kTicketMagic.size()));
  TRY_ASSIGN(version, in.u32_le());
  TRY_ASSIGN(id_bytes, in.bytes(id.size()));
  TRY_ASSIGN(digest_bytes, in.bytes(release_digest.size()));
  if (!std::equal(magic.begin(), magic.end(), base::bytes_of(kTicketMagic).begin()) ||
      version != kVersion) {
    return corrupt("this is none that is known here");
  }
  std::copy(id_bytes.begin(), id_bytes.end(), id.begin());
  std::copy(digest_bytes.begin(), digest_bytes.end(), release_digest.begin());
  if (base::is_all_zero(id) || base::is_all_zero(release_digest)) {
    return corrupt("it has no id, or none to give the state back by");
  }
  TRY_ASSIGN(key, crypto::PublicKey::from_spki(in.rest()));
  if (!crypto::check_transfer_key(key, crypto::TransferAlgorithm::kEcdhP384)) {
    return corrupt("its key is not of P-384");
  }
  Ticket ticket{.id = id, .release_digest = release_digest, .key = std::move(key)};
  // One encoding: what a key may be written as in other ways is none of ours.
  const auto again = encode_ticket(ticket);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    return corrupt("its key is written in another way than ours");
  }
  return ticket;
}

base::Result<Ticket> read_ticket(const std::filesystem::path& path) {
  TRY_ASSIGN(bytes, read_file(path, kMostTicketBytes));
  auto ticket = decode_ticket(bytes.expose());
  if (!ticket) {
    return base::fail(std::move(ticket).error().context(path.string()));
  }
  return ticket;
}

base::Result<Claim> Claim::make(const std::filesystem::path& path,
                                const std::optional<Ownership>& before) {
  if (const auto released = beside(path, ".released"); ::access(released.c_str(), F_OK) == 0) {
    return base::fail(ErrorCode::kDenied,
                      released.string() +
                          " belongs to the host that offered its TPM to the ticket before: move it "
                          "there, or name another ticket");
  }
  const auto claim_path = beside(path, ".claim");
  TRY_ASSIGN(lock, lock_claim(claim_path, O_CREAT));
  TRY_ASSIGN(left, read_all(lock.number(), claim_path, kClaimBytes));
  if (left.size() > 0) {
    return base::fail(ErrorCode::kDenied,
                      claim_path.string() +
                          ": something was offered to an earlier ticket, and may have to be given "
                          "back: say so first (vtpmctl migrate cancel, or --release-ticket), or "
                          "name another ticket");
  }
  TicketId id{};
  TRY(vmgs::crypto::random_bytes(id));
  TRY_ASSIGN(secret, vmgs::crypto::random_secret<32>());
  TRY_ASSIGN(key, crypto::TransferKey::generate(crypto::TransferAlgorithm::kEcdhP384));
  Ticket ticket{
      .id = id, .release_digest = vmgs::crypto::sha256(secret.expose()), .key = key.public_key()};
  // Before anybody can offer anything to the ticket, it can be given back.
  const auto release = encode_release(id, secret);
  const auto store_before = encode_before(before);
  base::SecretBytes claim(kClaimBytes);
  const auto behind =
      std::copy(release.expose().begin(), release.expose().end(), claim.fill().begin());
  std::copy(store_before.begin(), store_before.end(), behind);
  TRY(write_all(lock.number(), claim_path, claim.expose()));
  TRY(sync_folder_of(path));
  TRY(publish(path, 0644, encode_ticket(ticket)));
  return Claim(path, std::move(lock), std::move(ticket), std::move(key));
}

void Claim::arrived() {
  // The ticket first: without its claim nothing is to be offered to it.
  for (const auto& path : {path_, beside(path_, ".claim")}) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      base::log(base::LogLevel::kWarning, failed(path, "removed").value().message);
    }
  }
}

base::Result<void> release(const std::filesystem::path& path,
                           const std::function<base::Result<std::optional<Ownership>>()>& now) {
  const auto claim_path = beside(path, ".claim");
  TRY_ASSIGN(lock, lock_claim(claim_path, 0));
  TRY_ASSIGN(claim, read_all(lock.number(), claim_path, kClaimBytes));
  if (claim.size() != kClaimBytes) {
    return base::fail(ErrorCode::kCorrupt, claim_path.string() + ": this is no claim of a ticket");
  }
  const auto released = claim.expose().first(kReleaseBytes);
  TRY(decode_release(released));
  TRY_ASSIGN(store_now, now());
  const auto before = claim.expose().subspan(kReleaseBytes);
  const auto encoded = encode_before(store_now);
  if (!std::equal(before.begin(), before.end(), encoded.begin(), encoded.end())) {
    // As arrived() would have done.
    ::unlink(path.c_str());
    ::unlink(claim_path.c_str());
    return base::fail(ErrorCode::kDenied,
                      "the TPM has arrived here by this ticket: it is started here, and its state "
                      "is not given back");
  }
  TRY(publish(beside(path, ".released"), 0600, released));
  ::unlink(path.c_str());
  ::unlink(claim_path.c_str());
  return {};
}

base::Result<ReleaseSecret> read_release(const std::filesystem::path& path) {
  const auto released = beside(path, ".released");
  TRY_ASSIGN(bytes, read_file(released, kReleaseBytes));
  auto release = decode_release(bytes.expose());
  if (!release) {
    return base::fail(std::move(release).error().context(released.string()));
  }
  return std::move(release->secret);
}

}  // namespace vtpm::handover
