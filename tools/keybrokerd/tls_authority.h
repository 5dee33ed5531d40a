// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/private_key.h"
#include "keybroker/protocol/launch_document.h"
#include "transport/tls/context.h"
#include "transport/tls/peer_identity.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// TlsAuthority issues the TLS certificates of a broker and its callers, where they have no other
// authority: ECDSA P-384, TLS only. No VM believes it; what a VM believes stands in its launch
// document. It lies in a folder:
//   ca.pem, ca-key.pem             the authority, for 10 years
//   server.pem, server-key.pem     the broker's own certificate
//   issued                         a line for each caller's certificate: serial, end, role, name
//   revoked.pem                    the revocation list, once there is one
class TlsAuthority {
 public:
  // open() reads it, or makes it where the folder has none. kCorrupt, with the file and what to do,
  // for one that is damaged or incomplete.
  static base::Result<TlsAuthority> open(std::filesystem::path folder, keybroker::crypto::Time now);

  // server() gives the files of a certificate for these DNS names and addresses. It makes a new
  // one, for 90 days, where the one that is there has other names or is in its last third, and
  // signs the revocation list anew in its second half.
  base::Result<transport::tls::CredentialFiles> server(const std::vector<std::string>& names,
                                                       keybroker::crypto::Time now) const;

  // What a caller is to be.
  struct Caller {
    transport::tls::Role role = transport::tls::Role::kAuditor;
    std::optional<keybroker::protocol::Uuid> tenant = std::nullopt;
    std::string name;
    std::chrono::days life{30};
  };

  // revoke() puts a certificate on the revocation list, for good. A server heeds it once it has
  // read its credentials again. The same again changes nothing; kNotFound for a serial number that
  // stands in no line of `issued`.
  base::Result<void> revoke(base::ByteView serial, keybroker::crypto::Time now) const;

  // issue() makes a caller's key and certificate in a new folder: certificate.pem, key.pem, which
  // is closed to others, and ca.pem. kDenied if the folder is there already.
  base::Result<void> issue(const Caller& caller, const std::filesystem::path& folder,
                           keybroker::crypto::Time now) const;

 private:
  TlsAuthority(std::filesystem::path folder, keybroker::crypto::PrivateKey key,
               keybroker::crypto::Certificate certificate)
      : folder_(std::move(folder)), key_(std::move(key)), certificate_(std::move(certificate)) {}

  [[nodiscard]] std::filesystem::path list_file() const { return folder_ / "revoked.pem"; }

  // The programs that write the list and the table do so one after another.
  [[nodiscard]] base::Result<base::Descriptor> lock() const;
  [[nodiscard]] base::Result<std::optional<keybroker::crypto::Crl>> read_list() const;
  base::Result<void> write_list(std::vector<keybroker::crypto::Crl::Entry> revoked,
                                keybroker::crypto::Time now) const;
  base::Result<void> renew_list(keybroker::crypto::Time now) const;
  base::Result<void> note_issued(const keybroker::crypto::Certificate& certificate,
                                 const Caller& caller) const;

  std::filesystem::path folder_;
  keybroker::crypto::PrivateKey key_;
  keybroker::crypto::Certificate certificate_;
};

}  // namespace tools::keybrokerd
