// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "keybroker/crypto/issue.h"
#include "keybroker/protocol/uuid.h"
#include "tools/cli/pem.h"
#include "tools/cli/stream.h"
#include "tools/keybrokerd/tls_authority.h"
#include "vmgs/storage/system_error.h"

// Which certificates of callers a TlsAuthority has given out, and taken back.
namespace tools::keybrokerd {

namespace {

namespace crypto = keybroker::crypto;
using base::ErrorCode;

constexpr std::string_view kLabel = "X509 CRL";
constexpr auto kListLife = std::chrono::days(30);
constexpr auto kClockSkew = std::chrono::minutes(5);
constexpr std::size_t kMostListBytes = 8 * 1024 * 1024;
constexpr std::size_t kMostTableBytes = 64 * 1024 * 1024;

}  // namespace

base::Result<base::Descriptor> TlsAuthority::lock() const {
  const auto file = folder_ / "lock";
  base::Descriptor lock(::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!lock.is_open() || ::flock(lock.number(), LOCK_EX) != 0) {
    return base::fail(vmgs::storage::system_error(errno, "cannot lock " + file.string()));
  }
  return lock;
}

base::Result<std::optional<crypto::Crl>> TlsAuthority::read_list() const {
  const auto read = cli::read_input(list_file().string(), kMostListBytes);
  if (!read) {
    if (read.error().code == ErrorCode::kNotFound) {
      return std::optional<crypto::Crl>();
    }
    return base::fail(base::Error(read.error()));
  }
  const auto bytes = read->expose();
  const auto der =
      cli::decode_pem(kLabel, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  auto list = der ? crypto::Crl::decode_own(*der)
                  : base::Result<crypto::Crl>(base::fail(base::Error(der.error())));
  if (!list || !list->verify(key_.public_key())) {
    return base::fail(ErrorCode::kCorrupt,
                      list_file().string() +
                          " is damaged, and says who may no longer call. Restore it from a backup");
  }
  return std::optional(*std::move(list));
}

base::Result<void> TlsAuthority::write_list(std::vector<crypto::Crl::Entry> revoked,
                                            crypto::Time now) const {
  crypto::CrlSpec spec;
  spec.issuer = {{"O", "Strongroom"}, {"CN", "Key broker TLS CA"}};
  spec.this_update = now - kClockSkew;
  spec.next_update = now + kListLife;
  // Numbers only have to grow (RFC 5280, 5.2.3).
  spec.number = static_cast<std::uint64_t>(now.time_since_epoch().count());
  spec.revoked = std::move(revoked);
  TRY_ASSIGN(list, crypto::issue_crl(spec, key_));
  return cli::write_file(list_file(), base::bytes_of(cli::encode_pem(kLabel, list.der())));
}

base::Result<void> TlsAuthority::renew_list(crypto::Time now) const {
  TRY_ASSIGN(alone, lock());
  TRY_ASSIGN(list, read_list());
  if (!list || now < list->next_update() - kListLife / 2) {
    return {};
  }
  return write_list(list->entries(), now);
}

base::Result<void> TlsAuthority::note_issued(const crypto::Certificate& certificate,
                                             const Caller& caller) const {
  TRY_ASSIGN(alone, lock());
  const auto file = folder_ / "issued";
  const auto before = cli::read_input(file.string(), kMostTableBytes);
  if (!before && before.error().code != ErrorCode::kNotFound) {
    return base::fail(base::Error(before.error()));
  }
  std::ostringstream table;
  if (before) {
    const auto lines = before->expose();
    table.write(reinterpret_cast<const char*>(lines.data()),
                static_cast<std::streamsize>(lines.size()));
  }
  table << base::to_hex(certificate.serial()) << ' ' << crypto::to_text(certificate.not_after())
        << ' ' << transport::tls::name(caller.role) << ' '
        << (caller.tenant ? keybroker::protocol::uuid_text(*caller.tenant) : "-") << ' '
        << caller.name << '\n';
  // What is not in it cannot be taken back.
  return cli::write_file(file, base::bytes_of(table.str()));
}

base::Result<void> TlsAuthority::revoke(base::ByteView serial, crypto::Time now) const {
  TRY_ASSIGN(alone, lock());
  const auto wanted = base::to_hex(serial) + " ";
  std::ifstream table(folder_ / "issued");
  std::string line;
  bool found = false;
  while (!found && std::getline(table, line)) {
    found = line.starts_with(wanted);
  }
  if (!found) {
    return base::fail(ErrorCode::kNotFound,
                      "this authority has issued no certificate of serial "
                      "number " +
                          wanted + "to a caller: " + (folder_ / "issued").string() +
                          " has them all");
  }
  TRY_ASSIGN(list, read_list());
  auto revoked = list ? list->entries() : std::vector<crypto::Crl::Entry>();
  const auto is_it = [serial](const auto& entry) {
    return std::ranges::equal(entry.serial, serial);
  };
  if (std::ranges::any_of(revoked, is_it)) {
    return {};
  }
  revoked.push_back({base::copy_of(serial), now});
  return write_list(std::move(revoked), now);
}

}  // namespace tools::keybrokerd
