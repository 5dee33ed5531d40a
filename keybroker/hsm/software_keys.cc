// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/software_keys.h"

#include <string>
#include <utility>

#include "keybroker/hsm/software_record.h"
#include "keybroker/hsm/wrapped_key.h"
#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/random.h"

namespace keybroker::hsm {

using base::ErrorCode;
using base::Result;

Result<SoftwareKeys> SoftwareKeys::create(std::vector<MasterKey> master_keys) {
  if (master_keys.empty()) {
    return base::fail(ErrorCode::kInvalidArgument, "software keys need a master key");
  }
  Keys keys;
  for (auto& key : master_keys) {
    const auto named = "master key " + std::to_string(key.version);
    if (key.version == 0) {
      return base::fail(ErrorCode::kInvalidArgument, "the versions of master keys begin at 1");
    }
    if (key.bytes.is_all_zero()) {
      return base::fail(ErrorCode::kInvalidArgument, named + " is all zeros");
    }
    if (!keys.emplace(key.version, std::move(key.bytes)).second) {
      return base::fail(ErrorCode::kInvalidArgument, named + " is given twice");
    }
  }
  return SoftwareKeys(std::move(keys));
}

Result<KekRecord> SoftwareKeys::make(const Uuid& tenant, std::string_view label) {
  TRY(check_label(label));
  TRY_ASSIGN(key, vmgs::crypto::random_secret<32>());
  return seal_record(tenant, key);
}

Result<base::Bytes> SoftwareKeys::wrap(const KekRecord& record, base::ByteView context,
                                       const base::Secret<32>& secret) {
  TRY_ASSIGN(key, open_record(record));
  WrappedKey wrapped;
  TRY(vmgs::crypto::random_bytes(wrapped.nonce));
  TRY_ASSIGN(tag,
             vmgs::crypto::seal(key, wrapped.nonce, wrapped_key_context(record.tenant, context),
                                secret.expose(), wrapped.ciphertext));
  wrapped.tag = tag;
  return encode(wrapped);
}

Result<base::Secret<32>> SoftwareKeys::unwrap(const KekRecord& record, base::ByteView context,
                                              base::ByteView wrapped_bytes) {
  TRY_ASSIGN(wrapped, decode_wrapped_key(wrapped_bytes));
  TRY_ASSIGN(key, open_record(record));
  auto secret = base::Secret<32>::filled_by([&](std::span<std::byte, 32> out) {
    return vmgs::crypto::open(key, wrapped.nonce, wrapped_key_context(record.tenant, context),
                              wrapped.tag, wrapped.ciphertext, out);
  });
  if (!secret) {
    return base::fail(std::move(secret).error().context("a wrapped key under a software key"));
  }
  return secret;
}

KekStatus SoftwareKeys::status(const KekRecord& record) {
  const auto key = open_record(record);
  if (key) {
    return {};
  }
  return {.state = KekState::kKeyAbsent,
          .finding = key.error().message,
          .remedy = "give the broker every master key it ever used, or restore the record"};
}

Result<KekRecord> SoftwareKeys::renewed(const KekRecord& record) const {
  TRY_ASSIGN(key, open_record(record));
  // open_record() has decoded the content, and its first byte is the version.
  if (record.content.front() == std::byte{master_keys_.rbegin()->first}) {
    return record;
  }
  return seal_record(record.tenant, key);
}

Result<base::Secret<32>> SoftwareKeys::open_record(const KekRecord& record) const {
  if (record.provider != Provider::kSoftware || record.version != kSoftwareRecordVersion) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "this is no record of a software key of form 1: was it written by a newer "
                      "broker?");
  }
  TRY_ASSIGN(sealed, decode_software_record(record.content));
  const auto master = master_keys_.find(sealed.master_version);
  const auto named = "master key " + std::to_string(sealed.master_version);
  if (master == master_keys_.end()) {
    return base::fail(ErrorCode::kNotFound,
                      "the software key lies under " + named + ", which the broker was not given");
  }
  const auto context = software_record_context(sealed.master_version, record.tenant);
  auto key = base::Secret<32>::filled_by([&](std::span<std::byte, 32> out) {
    return vmgs::crypto::open(master->second, sealed.nonce, context, sealed.tag, sealed.ciphertext,
                              out);
  });
  if (!key) {
    // Not kAuthentication, which is about the wrapped bytes: here no key was had to try them with.
    return base::fail(ErrorCode::kDenied,
                      "the record of a software key does not open under " + named +
                          " for this tenant: it is altered, another tenant's, or the master key is "
                          "another one");
  }
  return key;
}

Result<KekRecord> SoftwareKeys::seal_record(const Uuid& tenant, const base::Secret<32>& key) const {
  const auto& [version, master] = *master_keys_.rbegin();
  SoftwareRecord sealed{.master_version = version};
  TRY(vmgs::crypto::random_bytes(sealed.nonce));
  TRY_ASSIGN(tag, vmgs::crypto::seal(master, sealed.nonce, software_record_context(version, tenant),
                                     key.expose(), sealed.ciphertext));
  sealed.tag = tag;
  return KekRecord{tenant, Provider::kSoftware, kSoftwareRecordVersion, encode(sealed)};
}

}  // namespace keybroker::hsm
