// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/workload_keys.h"

#include <algorithm>
#include <string_view>

#include "keybroker/crypto/private_key.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/random.h"

namespace keybroker::broker {

namespace {

using base::ErrorCode;
using store::WorkloadKeyKind;

// A content key seals once, so that its nonce need not differ.
constexpr vmgs::crypto::AeadNonce kNonce{};

constexpr std::string_view kLabel{"strongroom.workload-key/1\0", 26};

// What binds a key to its place. The context of a VM's state key has 24 bytes and begins otherwise,
// so that neither opens as the other.
base::Bytes context_of(const store::WorkloadKey& key) {
  base::Writer context;
  context.bytes(base::bytes_of(kLabel));
  context.bytes(key.tenant);
  context.u64_be(key.version);
  context.u8(static_cast<std::uint8_t>(key.kind));
  context.bytes(base::bytes_of(key.name));
  return std::move(context).take();
}

base::Result<void> check_material(WorkloadKeyKind kind, const base::SecretBytes& material) {
  if (kind == WorkloadKeyKind::kOct) {
    if (material.size() < kLeastOctBytes || material.size() > kMostOctBytes) {
      return base::fail(
          ErrorCode::kInvalidArgument,
          "a key of kind oct has 32 to 64 bytes, and this one " + std::to_string(material.size()));
    }
    return {};
  }
  if (material.size() > kMostWorkloadKeyBytes) {
    return base::fail(ErrorCode::kInvalidArgument, "the key is larger than 8 KiB");
  }
  const auto key = crypto::PrivateKey::from_pkcs8(material.expose());
  if (!key || key->public_key().is_rsa() != (kind == WorkloadKeyKind::kRsa)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a key of kind " + std::string(name(kind)) +
                          " is a private key of that kind in DER PKCS #8" +
                          (key ? ", and this one is " + key->public_key().describe()
                               : ": " + key.error().message));
  }
  return {};
}

}  // namespace

base::Result<base::SecretBytes> generate_workload_key(WorkloadKeyKind kind) {
  if (kind == WorkloadKeyKind::kOct) {
    base::SecretBytes key(kLeastOctBytes);
    TRY(vmgs::crypto::random_bytes(key.fill()));
    return key;
  }
  constexpr unsigned kRsaBits = 3072;
  TRY_ASSIGN(key, kind == WorkloadKeyKind::kRsa
                      ? crypto::PrivateKey::generate_rsa(kRsaBits)
                      : crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  return key.to_pkcs8();
}

base::Result<std::uint64_t> put_workload_key(Worker& worker, const protocol::Uuid& tenant,
                                             NewWorkloadKey key, const store::Act& act) {
  TRY(check_material(key.kind, key.material));
  auto& records = worker.records;
  store::WorkloadKey record;
  record.tenant = tenant;
  record.name = std::move(key.name);
  record.kind = key.kind;
  record.policy = key.policy;
  record.immutable = key.immutable;
  const auto before = store::workload_key(records, tenant, record.name, std::nullopt);
  if (!before && before.error().code != ErrorCode::kNotFound) {
    return base::fail(before.error());
  }
  record.version = before ? before->version + 1 : 1;
  TRY_ASSIGN(kek, worker.records.newest_kek(tenant));
  TRY_ASSIGN(kek_as_kept, kek_record(kek));
  record.kek_version = kek.version;

  const auto context = context_of(record);
  TRY_ASSIGN(content_key, vmgs::crypto::random_secret<32>());
  base::Bytes sealed(key.material.size());
  TRY_ASSIGN(tag, vmgs::crypto::seal(content_key, kNonce, context, key.material.expose(), sealed));
  sealed.insert(sealed.end(), tag.begin(), tag.end());
  record.sealed = std::move(sealed);
  TRY_ASSIGN(wrapped, worker.key_encryption.wrap(kek_as_kept, context, content_key));
  record.content_key = std::move(wrapped);
  TRY(store::add_workload_key(records, record, act));
  // If this request was made before, nothing was added now.
  return store::version_added_by(records, tenant, record.name, act.request_id);
}

namespace {

auto damaged(const store::WorkloadKey& key, const std::string& why) {
  return base::fail(ErrorCode::kCorrupt, "workload key '" + key.name + "' on record: " + why);
}

base::Result<base::Secret<32>> unwrap_content_key(Worker& worker, const store::WorkloadKey& key) {
  TRY_ASSIGN(kek, worker.records.kek(key.tenant, key.kek_version));
  TRY_ASSIGN(kek_as_kept, kek_record(kek));
  auto content_key = worker.key_encryption.unwrap(kek_as_kept, context_of(key), key.content_key);
  if (!content_key) {
    const auto& error = content_key.error();
    if (error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kNotFound) {
      return base::fail(ErrorCode::kUnavailable, error.message);
    }
    return damaged(key, error.message);
  }
  return content_key;
}

}  // namespace

base::Result<void> rewrap_workload_key(Worker& worker, const store::WorkloadKey& key,
                                       const store::Kek& newest, const store::Act& act) {
  TRY_ASSIGN(content_key, unwrap_content_key(worker, key));
  TRY_ASSIGN(kek_as_kept, kek_record(newest));
  TRY_ASSIGN(wrapped, worker.key_encryption.wrap(kek_as_kept, context_of(key), content_key));
  return store::rewrap_workload_key(worker.records, key, wrapped, newest.version, act);
}

base::Result<base::SecretBytes> open_workload_key(Worker& worker, const store::WorkloadKey& key) {
  TRY_ASSIGN(content_key, unwrap_content_key(worker, key));
  const auto context = context_of(key);
  vmgs::crypto::AeadTag tag{};
  if (key.sealed.size() <= tag.size()) {
    return damaged(key, "it is too short");
  }
  const base::ByteView sealed(key.sealed);
  const auto ciphertext = sealed.first(sealed.size() - tag.size());
  std::ranges::copy(sealed.last(tag.size()), tag.begin());
  base::SecretBytes plain(ciphertext.size());
  if (const auto opened =
          vmgs::crypto::open(content_key, kNonce, context, tag, ciphertext, plain.fill());
      !opened) {
    return damaged(key, opened.error().message);
  }
  return plain;
}

}  // namespace keybroker::broker
