// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include "keybroker/authority/certificate_records.h"
#include "keybroker/store/sql.h"

namespace keybroker::store {

// CertificateDatabase keeps an authority's records in an SQLite file of their own, or beside a
// broker's, each change durable when it is acknowledged. One thread. Errors: kUnavailable if
// another process has it locked, kCorrupt if it is damaged or some other program's, kDenied if its
// form is an older or a newer one, else kIo.
class CertificateDatabase final : public authority::CertificateRecords {
 public:
  // open() makes an empty one if nothing is there.
  static base::Result<CertificateDatabase> open(const std::filesystem::path& path);

  // beside_broker() uses the tables that BrokerRecords::over() has made in the same database.
  static CertificateDatabase beside_broker(std::unique_ptr<Sql> sql) {
    return CertificateDatabase(std::move(sql));
  }

  base::Result<void> add(const authority::CertificateRecord& record) override;
  base::Result<std::vector<authority::CertificateRecord>> of_vm(
      const protocol::Uuid& vm_id) override;
  base::Result<void> revoke(base::ByteView serial, crypto::Time when) override;
  base::Result<std::vector<crypto::Crl::Entry>> revoked(evidence::AkClass ak_class,
                                                        crypto::Time now) override;
  base::Result<void> register_ek(const protocol::Uuid& vm_id, base::ByteView ek) override;
  base::Result<void> forget_ek(const protocol::Uuid& vm_id) override;
  base::Result<base::Bytes> ek_of(const protocol::Uuid& vm_id) override;
  // last_crl_number() is what next_crl_number() gave last, 0 if it never gave any; has_issued()
  // tells whether a certificate of the class is on record.
  base::Result<std::uint64_t> last_crl_number(evidence::AkClass ak_class);
  base::Result<bool> has_issued(evidence::AkClass ak_class);

  // has_certified() tells whether there are a good certificate of a VM's AK and one of its RSA EK.
  base::Result<bool> has_certified(const protocol::Uuid& vm_id, crypto::Time now);

  base::Result<std::vector<protocol::Uuid>> vms(crypto::Time now) override;
  base::Result<void> forget_ended(crypto::Time time) override;
  base::Result<std::uint64_t> next_crl_number(evidence::AkClass ak_class) override;

 private:
  explicit CertificateDatabase(std::unique_ptr<Sql> sql) : sql_(std::move(sql)) {}

  base::Result<void> set_up();

  std::unique_ptr<Sql> sql_;
};

}  // namespace keybroker::store
