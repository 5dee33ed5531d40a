// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/ticket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "vmgs/base/cursor.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"
#include "vtpm/boot/incoming_store.h"
#include "vtpm/handover/durable_file.h"

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
constexpr std::size_t kMostReleasesBytes = 1024 * kReleaseBytes;
constexpr std::size_t kClaimBytes = kReleaseBytes + vmgs::format::kOwnershipBytes;
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kMostClaimBytes = kClaimBytes + 4096 + kDigestBytes;
constexpr std::size_t kSealingSecretAt = 4 + 4 + 16 + 32 + 16;

std::filesystem::path beside(std::filesystem::path path, std::string_view suffix) {
  path += suffix;
  return path;
}

std::filesystem::path beside(std::filesystem::path path, std::string_view suffix,
                             const TicketId& id) {
  path += suffix;
  path += "." + base::to_hex(id);
  return path;
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

base::Result<std::vector<Release>> read_releases(const std::filesystem::path& path) {
  TRY_ASSIGN(bytes, read_file(path, kMostReleasesBytes));
  std::vector<Release> releases;
  auto left = bytes.expose();
  do {
    auto release = decode_release(left.first(std::min(left.size(), kReleaseBytes)));
    if (!release) {
      return base::fail(std::move(release).error().context(path.string()));
    }
    releases.push_back(*std::move(release));
    left = left.subspan(kReleaseBytes);
  } while (!left.empty());
  return releases;
}

// What lies in PATH.released gets names of its own, and makes place for the next.
base::Result<void> set_aside(const std::filesystem::path& path, std::string_view suffix,
                             const std::vector<Release>& releases) {
  for (const auto& release : releases) {
    const auto aside = beside(path, suffix, release.id);
    if (::access(aside.c_str(), F_OK) != 0) {
      TRY(publish(aside, 0600, encode_release(release.id, release.secret).expose()));
    }
  }
  remove_file(beside(path, ".released"));
  return sync_folder_of(path);
}

base::Result<void> set_release_aside(const std::filesystem::path& path) {
  const auto found = read_releases(beside(path, ".released"));
  if (!found) {
    return found.error().code == ErrorCode::kNotFound
               ? base::Result<void>()
               : base::fail(found.error().code,
                            found.error().message + "; move it to another place, and try again");
  }
  return set_aside(path, ".released", *found);
}

// The store before, as a claim keeps it: zeros where there was none.
base::Bytes encode_before(const std::optional<Ownership>& before) {
  return before ? vmgs::format::encode_ownership(*before)
                : base::Bytes(vmgs::format::kOwnershipBytes);
}

// What a claim file says. One that was torn by a power cut is none: its ticket was never published.
struct ClaimFile {
  Release release;
  base::Bytes before;
  std::optional<std::filesystem::path> store;  // that the state may lie in
};

std::optional<ClaimFile> decode_claim(base::ByteView bytes) {
  if (bytes.size() < kClaimBytes) {
    return std::nullopt;
  }
  auto release = decode_release(bytes.first(kReleaseBytes));
  if (!release) {
    return std::nullopt;
  }
  ClaimFile claim{
      .release = *std::move(release),
      .before = base::copy_of(bytes.subspan(kReleaseBytes, vmgs::format::kOwnershipBytes)),
      .store = std::nullopt};
  // Nothing is stored before this is whole.
  const auto rest = bytes.subspan(kClaimBytes);
  if (rest.size() > kDigestBytes) {
    const auto path = rest.first(rest.size() - kDigestBytes);
    const auto digest = vmgs::crypto::sha256(path);
    if (std::equal(digest.begin(), digest.end(), rest.last(kDigestBytes).begin())) {
      claim.store = std::string(reinterpret_cast<const char*>(path.data()), path.size());
    }
  }
  return claim;
}

std::filesystem::path absolute_of(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::absolute(path, ignored).lexically_normal();
}

// Nothing but the ticket, as another may have been put in its place.
void remove_ticket(const std::filesystem::path& path, const TicketId& id) {
  const auto found = read_ticket(path);
  if (!found || found->id == id) {
    remove_file(path);
  }
}

void remove_claim(const std::filesystem::path& path, const TicketId& id,
                  const std::optional<std::filesystem::path>& store) {
  // The ticket first: without its claim nothing is to be offered to it.
  remove_ticket(path, id);
  remove_file(beside(path, ".claim"));
  if (store) {
    remove_file(boot::arriving_marker(*store));
  }
  if (const auto synced = sync_folder_of(path); !synced) {
    base::log(base::LogLevel::kWarning, synced.error().message);
  }
}

// A store that is not there proves that nothing has arrived in it only where its folder is seen to
// be that in which it was to be made.
base::Result<void> expect_was_never_made(const ClaimFile& claim) {
  const auto marker = read_file(boot::arriving_marker(*claim.store), claim.release.id.size());
  if (marker && std::equal(marker->expose().begin(), marker->expose().end(),
                           claim.release.id.begin(), claim.release.id.end())) {
    return {};
  }
  return base::fail(ErrorCode::kDenied,
                    "the TPM was about to arrive in " + claim.store->string() +
                        ", which is not there: it may have arrived. Bring that store back (is its "
                        "file system mounted?), and try again");
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

base::SecretBytes encode_ticket(const Ticket& ticket) {
  base::Writer out;
  out.bytes(base::bytes_of(kTicketMagic));
  out.u32_le(kVersion);
  out.bytes(ticket.id);
  out.bytes(ticket.release_digest);
  out.bytes(ticket.vm_id.value_or(vmgs::format::VmId()).bytes);
  out.bytes(base::Bytes(ticket.sealing_secret.expose().size()));
  out.bytes(ticket.key.spki());
  auto bytes = base::SecretBytes::taking(std::move(out).take());
  const auto secret = ticket.sealing_secret.expose();
  std::copy(secret.begin(), secret.end(), bytes.fill().begin() + kSealingSecretAt);
  return bytes;
}

base::Result<Ticket> decode_ticket(base::ByteView bytes) {
  const auto corrupt = [](const char* what) {
    return base::fail(ErrorCode::kCorrupt, std::string("a migration ticket: ") + what);
  };
  base::Reader in(bytes);
  std::array<std::byte, 32> release_digest{};
  TicketId id{};
  vmgs::format::VmId vm_id;
  auto secret = base::Secret<32>::zero();
  TRY_ASSIGN(magic, in.bytes(kTicketMagic.size()));
  TRY_ASSIGN(version, in.u32_le());
  TRY_ASSIGN(id_bytes, in.bytes(id.size()));
  TRY_ASSIGN(digest_bytes, in.bytes(release_digest.size()));
  TRY_ASSIGN(vm_id_bytes, in.bytes(vm_id.bytes.size()));
  TRY_ASSIGN(secret_bytes, in.bytes(secret.expose().size()));
  if (!std::equal(magic.begin(), magic.end(), base::bytes_of(kTicketMagic).begin()) ||
      version != kVersion) {
    return corrupt("this is none that is known here");
  }
  std::copy(id_bytes.begin(), id_bytes.end(), id.begin());
  std::copy(digest_bytes.begin(), digest_bytes.end(), release_digest.begin());
  std::copy(vm_id_bytes.begin(), vm_id_bytes.end(), vm_id.bytes.begin());
  std::copy(secret_bytes.begin(), secret_bytes.end(), secret.fill().begin());
  if (base::is_all_zero(id) || base::is_all_zero(release_digest) || secret.is_all_zero()) {
    return corrupt("it has no id, no secret, or none to give the state back by");
  }
  TRY_ASSIGN(key, crypto::PublicKey::from_spki(in.rest()));
  if (!crypto::check_transfer_key(key, crypto::TransferAlgorithm::kEcdhP384)) {
    return corrupt("its key is not of P-384");
  }
  Ticket ticket{.id = id,
                .release_digest = release_digest,
                .vm_id = vm_id == vmgs::format::VmId() ? std::nullopt : std::optional(vm_id),
                .sealing_secret = std::move(secret),
                .key = std::move(key)};
  // One encoding: what a key may be written as in other ways is none of ours.
  const auto again = encode_ticket(ticket);
  if (!std::equal(again.expose().begin(), again.expose().end(), bytes.begin(), bytes.end())) {
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

void remove_used_ticket(const std::filesystem::path& path, const TicketId& id) {
  remove_ticket(path, id);
  if (const auto synced = sync_folder_of(path); !synced) {
    base::log(base::LogLevel::kWarning, synced.error().message);
  }
}

base::Result<Claim> Claim::make(const std::filesystem::path& path,
                                const std::optional<Ownership>& before,
                                const std::optional<vmgs::format::VmId>& vm_id) {
  const auto claim_path = beside(path, ".claim");
  TRY_ASSIGN(lock, lock_claim(claim_path, O_CREAT));
  TRY_ASSIGN(left, read_all(lock.number(), claim_path, kMostClaimBytes));
  if (decode_claim(left.expose())) {
    return base::fail(ErrorCode::kDenied,
                      claim_path.string() +
                          ": something may have been offered to an earlier ticket, and have to be "
                          "given back: say so first (vtpmctl migrate cancel, or --release-ticket), "
                          "or name another ticket");
  }
  TRY(set_release_aside(path));
  TicketId id{};
  TRY(vmgs::crypto::random_bytes(id));
  TRY_ASSIGN(secret, vmgs::crypto::random_secret<32>());
  TRY_ASSIGN(sealing_secret, vmgs::crypto::random_secret<32>());
  TRY_ASSIGN(key, crypto::TransferKey::generate(crypto::TransferAlgorithm::kEcdhP384));
  Ticket ticket{.id = id,
                .release_digest = vmgs::crypto::sha256(secret.expose()),
                .vm_id = vm_id,
                .sealing_secret = std::move(sealing_secret),
                .key = key.public_key()};
  // Before anybody can offer anything to the ticket, it can be given back.
  const auto release = encode_release(id, secret);
  const auto store_before = encode_before(before);
  base::SecretBytes claim(kClaimBytes);
  const auto behind =
      std::copy(release.expose().begin(), release.expose().end(), claim.fill().begin());
  std::copy(store_before.begin(), store_before.end(), behind);
  TRY(write_from(lock.number(), claim_path, 0, claim.expose()));
  TRY(sync_folder_of(path));
  TRY(publish(path, 0600, encode_ticket(ticket).expose()));
  return Claim(path, std::move(lock), std::move(ticket), std::move(key));
}

base::Result<void> Claim::arriving(const std::filesystem::path& store) {
  const auto in = absolute_of(store);
  if (store_ == in) {
    return {};
  }
  std::error_code ignored;
  if (!std::filesystem::exists(in, ignored)) {
    TRY(publish(boot::arriving_marker(in), 0600, ticket_.id));
  }
  base::Writer mark;
  mark.bytes(base::bytes_of(in.native()));
  mark.bytes(vmgs::crypto::sha256(base::bytes_of(in.native())));
  TRY(write_from(lock_.number(), beside(path_, ".claim"), kClaimBytes, mark.written()));
  store_ = in;
  return {};
}

void Claim::arrived() { remove_claim(path_, ticket_.id, store_); }

base::Result<std::optional<std::filesystem::path>> release(
    const std::filesystem::path& path, const std::filesystem::path& store,
    const std::function<base::Result<std::optional<Ownership>>()>& now) {
  const auto claim_path = beside(path, ".claim");
  TRY_ASSIGN(lock, lock_claim(claim_path, 0));
  TRY_ASSIGN(bytes, read_all(lock.number(), claim_path, kMostClaimBytes));
  const auto claim = decode_claim(bytes.expose());
  if (!claim) {
    remove_file(claim_path);
    return std::optional<std::filesystem::path>();
  }
  if (claim->store && *claim->store != absolute_of(store)) {
    return base::fail(ErrorCode::kDenied, "the TPM was about to arrive in " +
                                              claim->store->string() +
                                              ", and may lie there: name that store");
  }
  TRY_ASSIGN(store_now, now());
  if (store_now && store_now->ticket == claim->release.id) {
    remove_claim(path, claim->release.id, claim->store);
    return base::fail(ErrorCode::kDenied,
                      "a TPM has arrived here by this ticket: it is started here, and its state is "
                      "not given back");
  }
  // Where no store was noted, none was tried, whatever one says by now.
  if (claim->store && claim->before != encode_before(store_now)) {
    return base::fail(ErrorCode::kDenied,
                      std::string(store_now ? "another store is in the place of the one"
                                            : "the store is not there") +
                          " that this ticket was made for, and the TPM may have arrived in that: "
                          "bring it back, and try again");
  }
  if (claim->store && !store_now) {
    TRY(expect_was_never_made(*claim));
  }
  TRY(set_release_aside(path));
  const auto released = beside(path, ".released");
  TRY(publish(released, 0600, bytes.expose().first(kReleaseBytes)));
  remove_claim(path, claim->release.id, claim->store);
  return std::optional(released);
}

void settle_claim(const std::filesystem::path& path, const TicketId& arrived_by) {
  const auto claim_path = beside(path, ".claim");
  const auto lock = lock_claim(claim_path, 0);
  const auto bytes = lock ? read_all(lock->number(), claim_path, kMostClaimBytes)
                          : base::Result<base::SecretBytes>(base::fail(lock.error()));
  const auto claim = bytes ? decode_claim(bytes->expose()) : std::nullopt;
  if (claim && claim->release.id == arrived_by) {
    remove_claim(path, arrived_by, claim->store);
  }
}

base::Result<ReleaseSecret> read_release(const std::filesystem::path& path, const TicketId& id) {
  base::Error none{ErrorCode::kNotFound,
                   path.string() + ".released has nothing for the ticket " + base::to_hex(id)};
  for (const auto& file :
       {beside(path, ".released"), beside(path, ".released", id), beside(path, ".returned", id)}) {
    auto releases = read_releases(file);
    if (!releases && releases.error().code != ErrorCode::kNotFound) {
      none = std::move(releases).error();
    }
    if (!releases) {
      continue;
    }
    const auto found = std::ranges::find(*releases, id, &Release::id);
    if (found != releases->end()) {
      return std::move(found->secret);
    }
  }
  return base::fail(std::move(none));
}

void set_used_release_aside(const std::filesystem::path& path, const TicketId& id) {
  const auto found = read_releases(beside(path, ".released"));
  if (!found || std::ranges::find(*found, id, &Release::id) == found->end()) {
    return;
  }
  if (const auto set = set_aside(path, ".returned", *found); !set) {
    base::log(base::LogLevel::kWarning, set.error().message);
  }
}

}  // namespace vtpm::handover
