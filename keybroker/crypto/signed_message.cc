// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/signed_message.h"

#include <algorithm>
#include <utility>

#include "keybroker/crypto/chain.h"
#include "keybroker/crypto/der.h"
#include "keybroker/crypto/issue.h"
#include "keybroker/crypto/signature.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/random.h"

namespace keybroker::crypto {

namespace {

constexpr std::size_t kNumberBytes = 48;
constexpr std::size_t kContextBytes = 48;
const std::string kKeyUsageOid = "2.5.29.15";
const std::string kExtendedKeyUsageOid = "2.5.29.37";

auto invalid(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "signed message: " + why);
}

auto refused(const std::string& why) {
  return base::fail(base::ErrorCode::kAuthentication, "signed message: " + why);
}

// Without a zero inside, the label ends where the bytes say; with contexts of one size, or none for
// this label, no two messages are the same bytes.
base::Result<base::Bytes> bytes_to_sign(std::string_view label, base::ByteView context,
                                        base::ByteView body) {
  if (label.empty() || label.find('\0') != std::string_view::npos) {
    return invalid("a label is text without zero bytes");
  }
  if (!context.empty() && context.size() != kContextBytes) {
    return invalid("a context is a SHA-384 digest");
  }
  base::Writer bytes;
  bytes.bytes(base::bytes_of(label));
  bytes.u8(0);
  bytes.bytes(context);
  bytes.bytes(body);
  return std::move(bytes).take();
}

base::Result<std::vector<Certificate>> decode_chain(const std::vector<base::Bytes>& chain) {
  if (chain.size() < kLeastMessageChain || chain.size() > kMostMessageChain) {
    return refused("a chain has 2 to 4 certificates, not " + std::to_string(chain.size()));
  }
  std::vector<Certificate> certificates;
  for (const auto& der : chain) {
    TRY_ASSIGN(certificate, Certificate::decode(der));
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

// A leaf without a key usage may sign by RFC 5280, and not here: an AK's or a server's certificate
// must never do for an answer.
base::Result<void> check_leaf(const Certificate& leaf) {
  if (!leaf.public_key() || leaf.public_key()->curve() != Curve::kP384) {
    return refused("'" + leaf.subject() + "' has no key of P-384");
  }
  TRY_ASSIGN(usage, leaf.extension(kKeyUsageOid));
  if (leaf.is_ca() || !usage || !leaf.may_sign()) {
    return refused("the key usage of '" + leaf.subject() + "' is not to sign");
  }
  if (!leaf.has_purpose(std::string(kMessageSigningOid))) {
    return refused("the certificate of '" + leaf.subject() +
                   "' was not issued for signing messages");
  }
  return {};
}

base::Result<void> check_strength(const std::vector<Certificate>& chain) {
  for (const auto& certificate : chain) {
    const auto algorithm = certificate.signature_algorithm();
    if (algorithm.scheme == SignatureAlgorithm::Scheme::kOther || !algorithm.hash ||
        *algorithm.hash == Hash::kSha1) {
      return refused("'" + certificate.subject() + "' is signed with " + describe(algorithm));
    }
  }
  return {};
}

// check_chain() is all but the pin.
base::Result<void> check_chain(const std::vector<Certificate>& chain, std::optional<Time> now) {
  const auto& leaf = chain.front();
  TRY(check_leaf(leaf));
  TRY(check_strength(chain));
  const auto between = std::span(chain).subspan(1, chain.size() - 2);
  const auto verdict = verify_path(leaf, between, chain.back(), now.value_or(leaf.not_before()));
  if (verdict.path != PathFault::kNone) {
    return refused("the chain does not hold: " + verdict.path_detail);
  }
  if (now && verdict.time != TimeFault::kNone) {
    return refused("the chain is not valid at this time: " + verdict.time_detail);
  }
  return {};
}

base::Result<CertificateSpec> spec_of(const std::string& issuer, const std::string& subject,
                                      Time not_before, Time not_after) {
  // 126 random bits (CA/Browser Forum Baseline Requirements, 7.1, wants 64) in always 16 bytes.
  std::array<std::byte, 16> serial{};
  TRY(vmgs::crypto::random_bytes(serial));
  serial[0] = (serial[0] & std::byte{0x3F}) | std::byte{0x40};
  CertificateSpec spec;
  spec.serial = base::copy_of(serial);
  spec.issuer = {{"O", "Strongroom"}, {"CN", issuer}};
  spec.subject = {{"O", "Strongroom"}, {"CN", subject}};
  spec.not_before = not_before;
  spec.not_after = not_after;
  spec.key_identifiers = true;
  return spec;
}

base::Result<void> check_p384(const PublicKey& key) {
  if (key.curve() != Curve::kP384) {
    return invalid("its keys are of ECDSA P-384, not of " + key.describe());
  }
  return {};
}

}  // namespace

base::Result<MessageSigner> MessageSigner::create(PrivateKey key, std::vector<base::Bytes> chain) {
  auto certificates = decode_chain(chain);
  if (!certificates) {
    return invalid(certificates.error().message);
  }
  if (auto checked = check_chain(*certificates, std::nullopt); !checked) {
    return invalid(checked.error().message);
  }
  // A file has a key's public half beside the private one, and only a signature tells whether the
  // two belong together.
  const auto trial = base::bytes_of("a trial");
  TRY_ASSIGN(signature, sign_p384(key, trial));
  const auto& certified = *certificates->front().public_key();
  if (!verify_ecdsa(certified, Hash::kSha384, trial, signature.numbers())) {
    return invalid("the key is not that of '" + certificates->front().subject() + "'");
  }
  return MessageSigner(std::move(key), std::move(chain), certificates->back().fingerprint());
}

base::Result<SignedMessage> MessageSigner::sign(std::string_view label, base::ByteView context,
                                                base::ByteView body) const {
  TRY_ASSIGN(bytes, bytes_to_sign(label, context, body));
  TRY_ASSIGN(signature, sign_p384(key_, bytes));
  SignedMessage message{.body = base::copy_of(body), .signature = {}, .chain = chain_};
  std::ranges::copy(signature.r, message.signature.begin());
  std::ranges::copy(signature.s, message.signature.begin() + kNumberBytes);
  return message;
}

base::Result<base::ByteView> verify_signed_message(std::string_view label, base::ByteView context,
                                                   const SignedMessage& message,
                                                   std::span<const Fingerprint> pinned_roots,
                                                   std::optional<Time> now) {
  TRY_ASSIGN(bytes, bytes_to_sign(label, context, message.body));
  TRY_ASSIGN(chain, decode_chain(message.chain));
  if (std::ranges::find(pinned_roots, chain.back().fingerprint()) == pinned_roots.end()) {
    return refused("its root '" + chain.back().subject() + "' (SHA-256 " +
                   base::to_hex(chain.back().fingerprint()) + ") is none of those pinned");
  }
  TRY(check_chain(chain, now));
  const base::ByteView signature(message.signature);
  if (!verify_ecdsa(*chain.front().public_key(), Hash::kSha384, bytes,
                    {signature.first(kNumberBytes), signature.last(kNumberBytes)})) {
    return refused("the signature of '" + chain.front().subject() +
                   "' does not verify: altered, or the answer to something else");
  }
  return base::ByteView(message.body);
}

base::Result<Certificate> issue_message_root(const PrivateKey& key, const std::string& name,
                                             Time not_before, Time not_after) {
  TRY(check_p384(key.public_key()));
  TRY_ASSIGN(spec, spec_of(name, name, not_before, not_after));
  spec.authority = AuthorityConstraints{.path_length = 1, .signs_lists = true};
  return issue(spec, key.public_key(), key);
}

base::Result<Certificate> issue_message_signer(const Certificate& root, const PrivateKey& root_key,
                                               const PublicKey& signer, const std::string& name,
                                               Time not_before, Time not_after) {
  TRY(check_p384(signer));
  TRY(check_p384(root_key.public_key()));
  TRY_ASSIGN(spec, spec_of(root.subject_common_name(), name, not_before, not_after));
  spec.end_entity = true;
  spec.extensions = {
      {kExtendedKeyUsageOid, true,
       encode_der_constructed(0x30, {encode_der_oid(std::string(kMessageSigningOid))})}};
  TRY_ASSIGN(certificate, issue(spec, signer, root_key));
  if (auto held = check_chain({certificate, root}, std::nullopt); !held) {
    return invalid(held.error().message);
  }
  return certificate;
}

}  // namespace keybroker::crypto
