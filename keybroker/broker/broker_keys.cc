// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/broker_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace keybroker::broker {

namespace {

constexpr auto kRootLife = std::chrono::days(3652);
constexpr auto kAnswerKeyLife = std::chrono::days(366);
constexpr std::string_view kBeginCertificate = "-----BEGIN CERTIFICATE-----";
constexpr std::size_t kSecretDigits = 64;
constexpr std::string_view kAccepted = " accepted";

auto damaged(const std::string& why) { return base::fail(base::ErrorCode::kCorrupt, why); }

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::Result<base::SecretBytes> to_pem(const crypto::PrivateKey& key,
                                       std::span<const crypto::Certificate> certificates) {
  TRY_ASSIGN(secret, key.to_pem());
  std::string open;
  for (const auto& certificate : certificates) {
    open += certificate.pem();
  }
  base::SecretBytes pem(secret.size() + open.size());
  const auto behind = std::ranges::copy(secret.expose(), pem.fill().begin()).out;
  std::ranges::copy(base::bytes_of(open), behind);
  return pem;
}

base::Result<AnswerKey> from_pem(const base::SecretBytes& pem, std::size_t most_certificates) {
  if (pem.size() > kMaxBrokerKeyFileBytes) {
    return damaged("it has " + std::to_string(pem.size()) + " bytes, at most " +
                   std::to_string(kMaxBrokerKeyFileBytes) + " are allowed");
  }
  const auto text = text_of(pem.expose());
  const auto begin = text.find(kBeginCertificate);
  if (begin == std::string_view::npos) {
    return damaged("it is not a private key and certificates in PEM");
  }
  auto key = crypto::PrivateKey::from_pem(pem.expose().first(begin));
  if (!key) {
    return damaged(key.error().message);
  }
  auto certificates = crypto::decode_pem_certificates(text.substr(begin), most_certificates);
  if (!certificates) {
    return damaged(certificates.error().message);
  }
  return AnswerKey{*std::move(key), *std::move(certificates)};
}

}  // namespace

base::Result<crypto::MessageSigner> AnswerKey::signer() const {
  std::vector<base::Bytes> ders;
  ders.reserve(chain.size());
  for (const auto& certificate : chain) {
    ders.push_back(certificate.der());
  }
  return crypto::MessageSigner::create(key, std::move(ders));
}

base::Result<BrokerRoot> make_broker_root(crypto::Time now) {
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  TRY_ASSIGN(certificate,
             crypto::issue_message_root(key, "Strongroom broker root", now, now + kRootLife));
  return BrokerRoot{std::move(key), std::move(certificate)};
}

base::Result<AnswerKey> make_answer_key(const BrokerRoot& root, crypto::Time now) {
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  const auto until = std::min(now + kAnswerKeyLife, root.certificate.not_after());
  TRY_ASSIGN(certificate, crypto::issue_message_signer(root.certificate, root.key, key.public_key(),
                                                       "Strongroom broker", now, until));
  return AnswerKey{std::move(key), {std::move(certificate), root.certificate}};
}

base::Result<base::SecretBytes> encode(const BrokerRoot& root) {
  return to_pem(root.key, std::span(&root.certificate, 1));
}

base::Result<base::SecretBytes> encode(const AnswerKey& key) { return to_pem(key.key, key.chain); }

base::Result<BrokerRoot> decode_broker_root(const base::SecretBytes& pem) {
  TRY_ASSIGN(read, from_pem(pem, 1));
  const BrokerRoot root{std::move(read.key), read.chain.front()};
  // A root with its own key can vouch for another; the rest is checked there.
  const auto trial = make_answer_key(root, root.certificate.not_before());
  if (!trial) {
    return damaged("it is no root of a broker: " + trial.error().message);
  }
  return root;
}

base::Result<AnswerKey> decode_answer_key(const base::SecretBytes& pem) {
  TRY_ASSIGN(read, from_pem(pem, crypto::kMostMessageChain));
  if (const auto signer = read.signer(); !signer) {
    return damaged(signer.error().message);
  }
  return read;
}

base::SecretBytes encode(const ClusterSecrets& secrets) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::size_t size = 0;
  for (const auto& version : secrets.versions()) {
    size += std::to_string(version.number).size() + 1 + kSecretDigits + 1 +
            (version.accepted_only ? kAccepted.size() : 0);
  }
  base::SecretBytes text(size);
  auto out = text.fill().begin();
  const auto put = [&out](char character) { *out++ = static_cast<std::byte>(character); };
  for (const auto& version : secrets.versions()) {
    std::ranges::for_each(std::to_string(version.number), put);
    put(' ');
    for (const auto byte : version.bytes.expose()) {
      put(kDigits[std::to_integer<std::size_t>(byte) >> 4U]);
      put(kDigits[std::to_integer<std::size_t>(byte) & 0xFU]);
    }
    if (version.accepted_only) {
      std::ranges::for_each(kAccepted, put);
    }
    put('\n');
  }
  return text;
}

base::Result<ClusterSecrets> decode_cluster_secrets(const base::SecretBytes& text) {
  std::vector<ClusterSecrets::Version> versions;
  auto rest = text_of(text.expose());
  while (!rest.empty() && versions.size() <= kMostClusterSecrets) {
    std::uint32_t number = 0;
    const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    const auto used = static_cast<std::size_t>(read.ptr - rest.data());
    const auto line = "line " + std::to_string(versions.size() + 1);
    if (read.ec != std::errc() || rest.size() < used + 1 + kSecretDigits || rest[used] != ' ') {
      return damaged(line + " is not a number, a space and 64 hexadecimal digits");
    }
    auto bytes = base::from_hex(rest.substr(used + 1, kSecretDigits));
    if (!bytes) {
      return damaged(line + ": other than digits");
    }
    const auto secret = base::SecretBytes::taking(*std::move(bytes));
    rest.remove_prefix(used + 1 + kSecretDigits);
    const bool accepted = rest.starts_with(kAccepted);
    rest.remove_prefix(accepted ? kAccepted.size() : 0);
    if (!rest.starts_with('\n')) {
      return damaged(line + " does not end after its digits");
    }
    rest.remove_prefix(1);
    versions.push_back({number, base::Secret<32>::copy_of(secret.expose().first<32>()), accepted});
  }
  auto secrets = ClusterSecrets::with(std::move(versions));
  if (!secrets) {
    return damaged(secrets.error().message);
  }
  const auto again = encode(*secrets);
  if (!std::ranges::equal(again.expose(), text.expose())) {
    return damaged("it is not written as it should be");
  }
  return secrets;
}

}  // namespace keybroker::broker
