// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/capped_keys.h"

#include <string>

#include "keybroker/protocol/uuid.h"

namespace keybroker::hsm {

namespace {

KekStatus busy(const Uuid& tenant) {
  return {KekState::kBusy,
          "callers of this kind wait for the token of tenant " + protocol::uuid_text(tenant) +
              " already: it is slow, or hangs",
          "see to the token; others go on"};
}

tl::unexpected<base::Error> sent_away(const Uuid& tenant) {
  const auto status = busy(tenant);
  return base::fail(base::ErrorCode::kUnavailable,
                    std::string(name(status.state)) + ": " + status.finding + "; " + status.remedy);
}

}  // namespace

// One who is in a tenant's token, if there was room.
class CappedKeys::Caller {
 public:
  Caller(CappedKeys& of, const Uuid& tenant) : of_(of), tenant_(tenant) {
    const std::lock_guard lock(of_.mutex_);
    auto& callers = of_.callers_[tenant_];
    is_in_ = callers < of_.most_callers_;
    callers += is_in_ ? 1 : 0;
  }

  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  ~Caller() {
    if (is_in_) {
      const std::lock_guard lock(of_.mutex_);
      --of_.callers_[tenant_];
    }
  }

  [[nodiscard]] bool is_in() const { return is_in_; }

 private:
  CappedKeys& of_;
  const Uuid tenant_;
  bool is_in_ = false;
};

base::Result<KekRecord> CappedKeys::make(const Uuid& tenant, std::string_view label) {
  const Caller caller(*this, tenant);
  if (!caller.is_in()) {
    return sent_away(tenant);
  }
  return keys_.make(tenant, label);
}

base::Result<base::Bytes> CappedKeys::wrap(const KekRecord& record, base::ByteView context,
                                           const base::Secret<32>& secret) {
  if (record.provider == Provider::kSoftware) {
    return keys_.wrap(record, context, secret);
  }
  const Caller caller(*this, record.tenant);
  if (!caller.is_in()) {
    return sent_away(record.tenant);
  }
  return keys_.wrap(record, context, secret);
}

base::Result<base::Secret<32>> CappedKeys::unwrap(const KekRecord& record, base::ByteView context,
                                                  base::ByteView wrapped) {
  if (record.provider == Provider::kSoftware) {
    return keys_.unwrap(record, context, wrapped);
  }
  const Caller caller(*this, record.tenant);
  if (!caller.is_in()) {
    return sent_away(record.tenant);
  }
  return keys_.unwrap(record, context, wrapped);
}

KekStatus CappedKeys::status(const KekRecord& record) {
  if (record.provider == Provider::kSoftware) {
    return keys_.status(record);
  }
  const Caller caller(*this, record.tenant);
  return caller.is_in() ? keys_.status(record) : busy(record.tenant);
}

}  // namespace keybroker::hsm
