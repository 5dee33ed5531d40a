// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/tls_authority.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <system_error>

#include "keybroker/crypto/der.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/protocol/uuid.h"
#include "tools/cli/stream.h"
#include "vmgs/crypto/random.h"
#include "vmgs/storage/private_file.h"
#include "vmgs/storage/system_error.h"

namespace tools::keybrokerd {

namespace {

namespace fs = std::filesystem;
namespace crypto = keybroker::crypto;
using base::ErrorCode;

constexpr auto kAuthorityLife = std::chrono::days(3652);
constexpr auto kServerLife = std::chrono::days(90);
// A caller's clock may be a little behind.
constexpr auto kClockSkew = std::chrono::minutes(5);
constexpr std::uint8_t kSequence = 0x30;
constexpr auto kDnsName = std::byte{0x82};    // [2] of GeneralName
constexpr auto kIpAddress = std::byte{0x87};  // [7]
constexpr const char* kSubjectAltName = "2.5.29.17";
constexpr const char* kExtendedKeyUsage = "2.5.29.37";
constexpr const char* kServerAuth = "1.3.6.1.5.5.7.3.1";
constexpr const char* kClientAuth = "1.3.6.1.5.5.7.3.2";
constexpr std::size_t kMaxKeyBytes = 8 * 1024;

const crypto::DistinguishedName& authority_name() {
  static const crypto::DistinguishedName name = {{"O", "Strongroom"}, {"CN", "Key broker TLS CA"}};
  return name;
}

base::Result<crypto::CertificateSpec> spec_of(crypto::Time now, crypto::Time until) {
  std::array<std::byte, 16> serial{};
  TRY(vmgs::crypto::random_bytes(serial));
  serial[0] = (serial[0] & std::byte{0x3F}) | std::byte{0x40};
  crypto::CertificateSpec spec;
  spec.serial = base::copy_of(serial);
  spec.issuer = authority_name();
  spec.not_before = now - kClockSkew;
  spec.not_after = until;
  spec.key_identifiers = true;
  return spec;
}

crypto::Extension purpose(const char* oid) {
  return {kExtendedKeyUsage, false,
          crypto::encode_der_constructed(kSequence, {crypto::encode_der_oid(oid)})};
}

// A GeneralName of a context tag is its value with that tag in front.
base::Bytes tagged(base::Bytes value, std::byte tag) {
  value.front() = tag;
  return value;
}

template <typename Address>
base::Bytes address_name(const Address& address) {
  const auto bytes = address.to_bytes();
  return tagged(crypto::encode_der_octets(std::as_bytes(std::span(bytes))), kIpAddress);
}

base::Bytes general_name(const std::string& name) {
  boost::system::error_code no_address;
  const auto address = boost::asio::ip::make_address(name, no_address);
  if (no_address) {
    return tagged(crypto::encode_der_ia5(name), kDnsName);
  }
  return address.is_v4() ? address_name(address.to_v4()) : address_name(address.to_v6());
}

base::Result<base::Bytes> alternative_names(const std::vector<std::string>& names) {
  base::Bytes content;
  for (const auto& name : names) {
    if (name.empty() || name.size() > 253) {
      return base::fail(ErrorCode::kInvalidArgument,
                        "'" + name + "' is no name that a server could have");
    }
    const auto encoded = general_name(name);
    content.insert(content.end(), encoded.begin(), encoded.end());
  }
  return crypto::encode_der_constructed(kSequence, {content});
}

base::Result<void> make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), S_IRWXU) != 0) {
    return base::fail(vmgs::storage::system_error(errno, "cannot make " + folder.string()));
  }
  return {};
}

base::Result<crypto::PrivateKey> read_key(const fs::path& file) {
  TRY_ASSIGN(pem, vmgs::storage::read_private_file(file, vmgs::storage::OtherReaders::kNone,
                                                   kMaxKeyBytes));
  auto key = crypto::PrivateKey::from_pem(pem.expose());
  if (!key) {
    return base::fail(std::move(key).error().context(file.string()));
  }
  return key;
}

base::Result<crypto::Certificate> read_certificate(const fs::path& file) {
  TRY_ASSIGN(read, cli::read_input(file.string(), crypto::kMaxPemBytes));
  const auto bytes = read.expose();
  auto certificates = crypto::decode_pem_certificates(
      {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, 1);
  if (!certificates) {
    return base::fail(std::move(certificates).error().context(file.string()));
  }
  return std::move(certificates->front());
}

base::Result<void> write_certificate(const fs::path& file, const crypto::Certificate& certificate) {
  return cli::write_file(file, base::bytes_of(certificate.pem()));
}

base::Result<crypto::Certificate> make_authority(const fs::path& folder,
                                                 const crypto::PrivateKey& key, crypto::Time now) {
  TRY_ASSIGN(spec, spec_of(now, now + kAuthorityLife));
  spec.subject = authority_name();
  spec.authority = crypto::AuthorityConstraints{0, true};
  TRY_ASSIGN(certificate, crypto::issue(spec, key.public_key(), key));
  TRY(write_certificate(folder / "ca.pem", certificate));
  return certificate;
}

}  // namespace

base::Result<TlsAuthority> TlsAuthority::open(fs::path folder, crypto::Time now) {
  std::error_code error;
  if (!fs::exists(folder, error)) {
    TRY(make_folder(folder));
  }
  const auto key_file = folder / "ca-key.pem";
  auto key = read_key(key_file);
  if (!key && key.error().code == ErrorCode::kNotFound) {
    if (fs::exists(folder / "ca.pem", error)) {
      return base::fail(ErrorCode::kCorrupt,
                        key_file.string() +
                            " is not there, and its certificate is. Restore it from a backup, or "
                            "move the folder away to begin with a new authority: callers then need "
                            "new certificates");
    }
    TRY_ASSIGN(drawn, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
    TRY_ASSIGN(pem, drawn.to_pem());
    TRY(vmgs::storage::create_private_file(key_file, pem.expose()));
    key = std::move(drawn);
  }
  if (!key) {
    return base::fail(std::move(key).error());
  }
  auto certificate = read_certificate(folder / "ca.pem");
  if (!certificate && certificate.error().code == ErrorCode::kNotFound) {
    certificate = make_authority(folder, *key, now);
  }
  if (!certificate) {
    return base::fail(std::move(certificate).error());
  }
  if (!certificate->public_key() || !(*certificate->public_key() == key->public_key())) {
    return base::fail(ErrorCode::kCorrupt, key_file.string() + " is not the key of ca.pem");
  }
  return TlsAuthority(std::move(folder), *std::move(key), *std::move(certificate));
}

base::Result<transport::tls::CredentialFiles> TlsAuthority::server(
    const std::vector<std::string>& names, crypto::Time now) const {
  TRY_ASSIGN(wanted, alternative_names(names));
  const auto file = folder_ / "server.pem";
  const auto key_file = folder_ / "server-key.pem";
  TRY(renew_list(now));
  std::error_code none;
  const transport::tls::CredentialFiles files{
      .certificate = file,
      .key = key_file,
      .authorities = folder_ / "ca.pem",
      .revoked = fs::exists(list_file(), none) ? list_file() : fs::path()};
  if (const auto found = read_certificate(file)) {
    TRY_ASSIGN(has, found->extension(kSubjectAltName));
    const auto key = read_key(key_file);
    if (has && *has == wanted && key && found->public_key() &&
        *found->public_key() == key->public_key() && now < found->not_after() - kServerLife / 3 &&
        verify_issued(*found, key_.public_key())) {
      return files;
    }
  }
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  TRY_ASSIGN(spec, spec_of(now, std::min(now + kServerLife, certificate_.not_after())));
  spec.subject = {{"O", "Strongroom"}, {"CN", "Key broker"}};
  spec.end_entity = true;
  spec.extensions = {{kSubjectAltName, false, wanted}, purpose(kServerAuth)};
  TRY_ASSIGN(certificate, crypto::issue(spec, key.public_key(), key_));
  TRY_ASSIGN(pem, key.to_pem());
  std::error_code ignored;
  fs::remove(key_file, ignored);
  TRY(vmgs::storage::create_private_file(key_file, pem.expose()));
  TRY(write_certificate(file, certificate));
  return files;
}

base::Result<void> TlsAuthority::issue(const Caller& caller, const fs::path& folder,
                                       crypto::Time now) const {
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  TRY_ASSIGN(
      spec,
      spec_of(now, std::min(now + std::chrono::duration_cast<std::chrono::seconds>(caller.life),
                            certificate_.not_after())));
  if (caller.tenant) {
    spec.subject.emplace_back("O", keybroker::protocol::uuid_text(*caller.tenant));
  }
  spec.subject.emplace_back("OU", std::string(transport::tls::name(caller.role)));
  spec.subject.emplace_back("CN", caller.name);
  spec.end_entity = true;
  spec.extensions = {purpose(kClientAuth)};
  TRY_ASSIGN(certificate, crypto::issue(spec, key.public_key(), key_));
  TRY_ASSIGN(pem, key.to_pem());
  TRY(make_folder(folder));
  // Before anybody has it: one that stands in no line could not be revoked.
  TRY(note_issued(certificate, caller));
  TRY(vmgs::storage::create_private_file(folder / "key.pem", pem.expose()));
  TRY(write_certificate(folder / "certificate.pem", certificate));
  return write_certificate(folder / "ca.pem", certificate_);
}

}  // namespace tools::keybrokerd
