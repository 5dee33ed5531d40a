// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/worker.h"

#include "keybroker/hsm/software_record.h"
#include "keybroker/hsm/token_keys.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/base/cursor.h"

namespace keybroker::broker {

namespace {

using base::ErrorCode;

constexpr std::string_view kSoftware = "software";
constexpr std::string_view kPkcs11 = "pkcs11";

}  // namespace

base::Result<hsm::KekRecord> kek_record(const store::Kek& kek) {
  if (kek.provider == kSoftware) {
    return hsm::KekRecord{kek.tenant, hsm::Provider::kSoftware, hsm::kSoftwareRecordVersion,
                          kek.wrapped};
  }
  if (kek.provider == kPkcs11) {
    return hsm::KekRecord{kek.tenant, hsm::Provider::kToken, hsm::kTokenRecordVersion,
                          base::copy_of(base::bytes_of(kek.uri))};
  }
  return base::fail(ErrorCode::kCorrupt, "tenant " + protocol::uuid_text(kek.tenant) +
                                             " has a key of the unknown provider '" + kek.provider +
                                             "'");
}

store::Kek kek_of(const hsm::KekRecord& record, std::uint64_t version) {
  store::Kek kek{record.tenant, version, std::string(kSoftware), {}, {}};
  if (record.provider == hsm::Provider::kToken) {
    kek.provider = kPkcs11;
    kek.uri = {reinterpret_cast<const char*>(record.content.data()), record.content.size()};
  } else {
    kek.wrapped = record.content;
  }
  return kek;
}

base::Bytes wrapping_context(const protocol::Uuid& vm_id, std::uint64_t key_version) {
  base::Writer context;
  context.bytes(vm_id);
  context.u64_be(key_version);
  return std::move(context).take();
}

base::Result<base::Secret<32>> unwrap_vm_key(Worker& worker, const protocol::Uuid& vm_id,
                                             const store::VmKey& key, const store::Kek& kek) {
  TRY_ASSIGN(record, kek_record(kek));
  auto unwrapped =
      worker.key_encryption.unwrap(record, wrapping_context(vm_id, key.version), key.wrapped);
  if (unwrapped) {
    return unwrapped;
  }
  const auto code = unwrapped.error().code;
  if (code == ErrorCode::kUnavailable || code == ErrorCode::kNotFound) {
    const auto status = worker.key_encryption.status(record);
    return base::fail(ErrorCode::kUnavailable,
                      std::string(hsm::name(status.state)) + ": " + unwrapped.error().message +
                          (status.remedy.empty() ? "" : ". " + status.remedy));
  }
  return base::fail(ErrorCode::kCorrupt,
                    "the key of VM " + protocol::uuid_text(vm_id) +
                        " on record does not open: " + unwrapped.error().message);
}

}  // namespace keybroker::broker
