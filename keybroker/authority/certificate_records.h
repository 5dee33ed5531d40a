// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/time.h"
#include "keybroker/evidence/ak_statement.h"

namespace keybroker::authority {

using evidence::AkClass;
using evidence::AkStatement;

// Which key of a VM's TPM a certificate is for.
enum class CertifiedKey : std::uint8_t { kAk, kRsaEk, kEccEk };

// name() is "ak", "rsa-ek" or "ecc-ek"; parse_certified_key() reads it.
std::string_view name(CertifiedKey key);
std::optional<CertifiedKey> parse_certified_key(std::string_view word);

// One certificate that was issued.
struct CertificateRecord {
  base::Bytes serial;  // big-endian without leading zeros, never again
  CertifiedKey certified = CertifiedKey::kAk;
  AkStatement statement;  // of an EK: what was said of its TPM's AK at the same time
  crypto::Time not_after;
  base::Bytes certificate;  // DER
  std::optional<crypto::Time> revoked{};

  // Neither revoked nor ended.
  [[nodiscard]] bool is_good(crypto::Time now) const { return !revoked && now <= not_after; }

  friend bool operator==(const CertificateRecord&, const CertificateRecord&) = default;
};

// CertificateRecords is what an authority must not forget. What a function acknowledged is durable.
// One owner.
class CertificateRecords {
 public:
  virtual ~CertificateRecords() = default;

  // add() is kDenied if there is a certificate with this serial number.
  virtual base::Result<void> add(const CertificateRecord& record) = 0;

  // of_vm() gives all that was issued for a VM, the newest last.
  virtual base::Result<std::vector<CertificateRecord>> of_vm(const protocol::Uuid& vm_id) = 0;

  // revoke() marks one. Marking it again changes nothing. kNotFound for a serial number that was
  // never issued.
  virtual base::Result<void> revoke(base::ByteView serial, crypto::Time when) = 0;

  // revoked() gives those of a class that are revoked and have not ended by `now`.
  virtual base::Result<std::vector<crypto::Crl::Entry>> revoked(AkClass ak_class,
                                                                crypto::Time now) = 0;

  // register_ek() keeps the endorsement key (TPMT_PUBLIC) that the TPM of a VM is known by. kDenied
  // if another one is registered; forget_ek() makes room for it, as a TPM with new seeds needs.
  virtual base::Result<void> register_ek(const protocol::Uuid& vm_id, base::ByteView ek) = 0;
  virtual base::Result<void> forget_ek(const protocol::Uuid& vm_id) = 0;

  // ek_of() is kNotFound if none is registered.
  virtual base::Result<base::Bytes> ek_of(const protocol::Uuid& vm_id) = 0;

  // vms() are those that something good was issued for by `now`, or whose EK is registered.
  virtual base::Result<std::vector<protocol::Uuid>> vms(crypto::Time now) = 0;

  // forget_ended() drops what had ended before `time`.
  virtual base::Result<void> forget_ended(crypto::Time time) = 0;

  // next_crl_number() gives a number of a class, each time a larger one.
  virtual base::Result<std::uint64_t> next_crl_number(AkClass ak_class) = 0;
};

}  // namespace keybroker::authority
