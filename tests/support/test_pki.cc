// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_pki.h"

#include <openssl/pem.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "keybroker/crypto/der.h"
#include "vmgs/base/bytes.h"

namespace tests::support {

namespace {

namespace fs = std::filesystem;
using namespace keybroker::crypto;

constexpr auto kServerPurpose = "1.3.6.1.5.5.7.3.1";
constexpr auto kClientPurpose = "1.3.6.1.5.5.7.3.2";

template <typename T>
T must(base::Result<T> made) {
  if (!made) {
    std::fprintf(stderr, "test certificates: %s\n", made.error().message.c_str());
    std::abort();
  }
  return *std::move(made);
}

Time now() {
  return std::chrono::time_point_cast<Time::duration>(std::chrono::system_clock::now());
}

void write(const fs::path& file, base::ByteView bytes, bool is_secret) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  if (is_secret) {
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  }
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

base::Bytes tagged(std::uint8_t tag, base::ByteView content) {
  base::Bytes value = {std::byte{tag}, static_cast<std::byte>(content.size())};
  value.insert(value.end(), content.begin(), content.end());
  return value;
}

// RFC 5280, 4.2.1.6: GeneralName is dNSName [2] or iPAddress [7].
base::Bytes alternative_names(const TestPki::Leaf& leaf) {
  base::Bytes names;
  const auto add = [&](const base::Bytes& each) {
    names.insert(names.end(), each.begin(), each.end());
  };
  for (const auto& name : leaf.dns_names) {
    add(tagged(0x82, base::bytes_of(name)));
  }
  if (leaf.loopback_address) {
    add(tagged(0x87, std::array{std::byte{127}, std::byte{0}, std::byte{0}, std::byte{1}}));
    std::array<std::byte, 16> v6{};
    v6.back() = std::byte{1};
    add(tagged(0x87, v6));
  }
  return tagged(0x30, names);
}

}  // namespace

TestPki::TestPki(fs::path folder, std::string name)
    : folder_(std::move(folder)),
      name_(std::move(name)),
      key_(must(PrivateKey::generate_ec(Curve::kP256))) {
  CertificateSpec root{.serial = {std::byte{1}},
                       .subject = {{"CN", name_ + " root"}},
                       .issuer = {{"CN", name_ + " root"}},
                       .not_before = now() - std::chrono::hours(1),
                       .not_after = now() + std::chrono::hours(1),
                       .authority = AuthorityConstraints{.path_length = {}, .signs_lists = true},
                       .key_identifiers = true};
  const auto certificate = must(keybroker::crypto::issue(root, key_.public_key(), key_));
  write(authorities(), base::bytes_of(certificate.pem()), false);
}

fs::path TestPki::authorities() const { return folder_ / (name_ + "-ca.pem"); }

TestPki::Files TestPki::issue(const std::string& file, const Leaf& leaf) {
  CertificateSpec spec{.serial = {static_cast<std::byte>(++issued_)},
                       .subject = leaf.subject,
                       .issuer = {{"CN", name_ + " root"}},
                       .not_before = now() + leaf.begins,
                       .not_after = now() + leaf.ends,
                       .end_entity = true,
                       .key_identifiers = true};
  const auto* const purpose = leaf.for_clients ? kClientPurpose : kServerPurpose;
  spec.extensions.push_back(
      {"2.5.29.37", false, encode_der_constructed(0x30, {encode_der_oid(purpose)})});
  if (!leaf.dns_names.empty() || leaf.loopback_address) {
    spec.extensions.push_back({"2.5.29.17", false, alternative_names(leaf)});
  }
  const auto key = must(PrivateKey::generate_ec(Curve::kP256));
  const auto certificate = must(keybroker::crypto::issue(spec, key.public_key(), key_));
  Files files{folder_ / (file + ".pem"), folder_ / (file + ".key"), spec.serial};
  write(files.certificate, base::bytes_of(certificate.pem()), false);
  write(files.key, must(key.to_pem()).expose(), true);
  return files;
}

TestPki::Files TestPki::service(const std::string& file) {
  return issue(file,
               {.subject = {{"CN", file}}, .dns_names = {"localhost"}, .loopback_address = true});
}

TestPki::Files TestPki::caller(const std::string& file, DistinguishedName subject) {
  return issue(file, {.subject = std::move(subject), .for_clients = true});
}

fs::path TestPki::revoke(const std::vector<base::Bytes>& serials) {
  CrlSpec spec{.issuer = {{"CN", name_ + " root"}},
               .this_update = now() - std::chrono::minutes(1),
               .next_update = now() + std::chrono::hours(1)};
  for (const auto& serial : serials) {
    spec.revoked.push_back({serial, now() - std::chrono::minutes(1)});
  }
  const auto list = must(issue_crl(spec, key_));
  auto file = folder_ / (name_ + "-ca.crl");
  FILE* out = std::fopen(file.c_str(), "w");
  PEM_write(out, PEM_STRING_X509_CRL, "", reinterpret_cast<const unsigned char*>(list.der().data()),
            static_cast<long>(list.der().size()));
  std::fclose(out);
  return file;
}

}  // namespace tests::support
