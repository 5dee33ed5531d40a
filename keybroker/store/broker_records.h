// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "keybroker/store/audit_log.h"
#include "keybroker/store/record_seal.h"
#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

struct Tenant {
  Uuid tenant_id{};
  std::string name{};
  crypto::Time created{};

  friend bool operator==(const Tenant&, const Tenant&) = default;
};

// M1 of a boot whose evidence was accepted. `epoch_seen` and `conf_version` are those of the record
// that the decision rests on.
struct ClaimRequest {
  Uuid vm_id{};
  BootId boot_id{};
  std::uint64_t epoch_seen = 0;
  std::uint64_t conf_version = 0;
  Sha256Digest request_digest{};  // of the whole request
  Nonce nonce{};
  crypto::Time nonce_expiry{};
  std::optional<crypto::Time> lease_until{};  // of a VM with a strict lease
};

struct Claimed {
  std::uint64_t epoch = 0;  // this boot's
  std::optional<Anchor> anchor{};
  std::uint64_t restores = 0;
  std::optional<StatePoint> restore{};  // allowed besides the anchor, now
  bool repeated = false;                // this request was granted before
};

enum class ClaimRefusal : std::uint8_t {
  kUnknownVm,
  kRaced,  // another boot claimed, or the registration changed: read the record, judge again
  kReplayedNonce,  // the challenge was used by another request
  kDisabled,       // or deleted
  kLeaseRunning,   // the owner's lease has not ended
  kOtherRequest,   // this request id was used for a request of other bytes
};

using ClaimOutcome = std::variant<Claimed, ClaimRefusal>;

enum class AnchorKind : std::uint8_t { kBoot, kClose };

// M2 or M4 of a boot whose MAC was right.
struct AnchorRequest {
  Uuid vm_id{};
  BootId boot_id{};
  std::uint64_t epoch = 0;
  StatePoint state{};
  AnchorKind kind = AnchorKind::kBoot;
  bool used_restore = false;
  Sha256Digest request_digest{};
  base::Bytes ek_name{};  // kBoot only
  base::Bytes ak_name{};
};

struct Anchored {
  std::uint64_t restores = 0;
  bool repeated = false;
  base::Bytes answer{};              // of a repeated one: what keep_answer() was given, if anything
  std::optional<VmRecord> record{};  // of one that is not repeated: as it is with this anchor
};

enum class AnchorRefusal : std::uint8_t {
  kUnknownVm,
  kFenced,        // another boot has claimed since, or the VM is disabled
  kStale,         // the state is no newer than the anchor, and no restore was allowed
  kOtherRequest,  // this request id was used for a request of other bytes
};

using AnchorOutcome = std::variant<Anchored, AnchorRefusal>;

// name() is the refusal as a stable word for logs, such as "raced".
std::string_view name(ClaimRefusal refusal);
std::string_view name(AnchorRefusal refusal);

// Which lines of the log; those of every subject if neither is named.
struct LogQuery {
  std::optional<Subject> subject{};
  std::optional<Uuid> vms_of{};       // all VMs of one tenant
  std::optional<std::string> kind{};  // only these, as in "refused"
  std::optional<AuditRow> before{};   // the last line of the page before
  std::size_t most = 100;
};

// BrokerRecords is what a key broker must not forget, in SQLite or PostgreSQL. What a function
// acknowledged is durable, an acknowledged epoch never goes back, and whatever changes is written
// to the log of its VM or tenant in the same transaction. What decides who gets a key is read only
// under its seal: kAuthentication otherwise (record_seal.h). One thread; several at once, of one
// program or of many, may be over the same database.
//
// Every function may be repeated after kUnavailable, by the same request id: a change that did
// happen is found and not made twice, and is not reported before it is durable. Errors beside those
// of Sql: kNotFound for a VM or tenant that is not on record, kDenied for what the record's rules
// forbid.
class BrokerRecords {
 public:
  // over() brings the tables up to this program's version. kDenied if a newer one has written them,
  // kCorrupt if they are some other program's. `seal` is the same for all over one database.
  static base::Result<BrokerRecords> over(std::unique_ptr<Sql> sql,
                                          std::shared_ptr<const RecordSeal> seal);

  // create_tenant() gives whether it is new; kDenied if the id has another name or is a VM's. It is
  // created at `act.now`.
  base::Result<bool> create_tenant(const Tenant& tenant, const Act& act);
  base::Result<Tenant> tenant(const Uuid& tenant_id);
  base::Result<std::vector<Tenant>> tenants();

  // add_kek() adds the version after the newest, kDenied otherwise; the same again succeeds.
  base::Result<void> add_kek(const Kek& kek, const Act& act);
  base::Result<Kek> kek(const Uuid& tenant, std::uint64_t version);
  base::Result<Kek> newest_kek(const Uuid& tenant);

  // put_policy() keeps a policy's text under its digest, which the caller has computed, for good.
  base::Result<void> put_policy(const Sha256Digest& digest, std::string_view text,
                                crypto::Time now);
  base::Result<std::string> policy(const Sha256Digest& digest);

  // register_vm() records a VM with the first version of its key, and gives whether it is new. The
  // same registration again leaves the key that is there; kDenied, naming the field that differs,
  // for another one, and for an id that is a tenant's. kNotFound for a tenant, owner or policy that
  // is not on record.
  base::Result<bool> register_vm(const VmRegistration& registration, const VmKey& key,
                                 const Act& act);

  // update_vm() puts another registration in the place of version `conf_version`. kDenied, naming
  // the field, for what is immutable and for the launch, which convert() changes, and if the record
  // is of another version by now: read it again.
  base::Result<void> update_vm(const VmRegistration& registration, std::uint64_t conf_version,
                               const Act& act);

  base::Result<VmRecord> vm(const Uuid& vm_id);

  // vms() are a tenant's, ascending, at most `most` of them above `after`.
  base::Result<std::vector<Uuid>> vms(const Uuid& tenant, const std::optional<Uuid>& after,
                                      std::size_t most);

  // vm_key() is one version, newest_vm_key() the newest. add_vm_key() adds the version after the
  // newest; rewrap_vm_key() puts the same key under another KEK version. What is new is under the
  // tenant's newest KEK: kUnavailable if that was replaced meanwhile, here and in register_vm().
  base::Result<VmKey> vm_key(const Uuid& vm_id, std::uint64_t version);
  base::Result<VmKey> newest_vm_key(const Uuid& vm_id);
  base::Result<void> add_vm_key(const Uuid& vm_id, const VmKey& key, const Act& act);
  base::Result<void> rewrap_vm_key(const Uuid& vm_id, const VmKey& key, const Act& act);

  // claim() makes a boot the owner of the VM's next epoch, if the record is still as it was seen;
  // a boot that claims again keeps its epoch. anchor() records the newest state of the owner.
  base::Result<ClaimOutcome> claim(const ClaimRequest& request, const Act& act);
  base::Result<AnchorOutcome> anchor(const AnchorRequest& request, const Act& act);

  // keep_answer() keeps what a granted request was answered, for when it is repeated.
  base::Result<void> keep_answer(const Uuid& vm_id, const RequestId& request_id,
                                 base::ByteView answer);

  // refuse() writes down a refusal: for a VM that nobody registered under the subject of zeros. The
  // same request refused again at once, for the same reason, is one line.
  base::Result<void> refuse(const Uuid& vm_id, std::string_view reason, const Act& act);

  // note() writes down what changes no record, such as that a VM's TPM was certified. The same
  // request's again at once is one line.
  base::Result<void> note(const Uuid& vm_id, std::string_view kind, const Act& act);

  // allow_restore() lets the VM be served once with `state` instead of the newest, until `until`.
  // The caller has verified where `state` comes from: a receipt of this broker, or anchor_at().
  base::Result<void> allow_restore(const Uuid& vm_id, const StatePoint& state, crypto::Time until,
                                   const Act& act);

  // anchor_at() is what had been anchored last at `time`.
  base::Result<Anchor> anchor_at(const Uuid& vm_id, crypto::Time time);

  // accept_receipt() moves the anchor forward to a receipt that the caller has verified, after the
  // database was restored from a backup; also the epoch and the count of restores. False, changing
  // nothing, if the record is as new.
  base::Result<bool> accept_receipt(const Uuid& vm_id, const Anchor& anchor, std::uint64_t restores,
                                    const Act& act);

  // disable_vm() and enable_vm() may be undone by the other. delete_vm() is for good: it forgets
  // the keys and leaves the record and its log.
  base::Result<void> disable_vm(const Uuid& vm_id, const Act& act);
  base::Result<void> enable_vm(const Uuid& vm_id, const Act& act);
  base::Result<void> delete_vm(const Uuid& vm_id, const Act& act);

  // convert() gives a VM another launch; until `until`, or until confirm_conversion(), the one
  // before may have the key as well. cancel_conversion() goes back to it. kDenied if the
  // registration is of another version than `conf_version` by now, if the VM is not active
  // (convert) or not converting (the other two), and if an ordinary VM were to become confidential.
  base::Result<void> convert(const Uuid& vm_id, std::uint64_t conf_version, const Launch& launch,
                             crypto::Time until, const Act& act);
  base::Result<void> confirm_conversion(const Uuid& vm_id, std::uint64_t conf_version,
                                        const Act& act);
  base::Result<void> cancel_conversion(const Uuid& vm_id, std::uint64_t conf_version,
                                       const Act& act);

  // log() gives what was released, refused and changed, the newest first. log_line() is one line.
  base::Result<std::vector<AuditRow>> log(const LogQuery& query);
  base::Result<AuditRow> log_line(const Subject& subject, std::uint64_t sequence);

  // forget_ended() drops all nonces that expired an hour ago and all requests of a week ago, some
  // at a time: how many it dropped.
  base::Result<std::size_t> forget_ended(crypto::Time now);

  // The connection below, for the functions of audit_log.h and back_up_sqlite().
  [[nodiscard]] Sql& sql() { return *sql_; }

  [[nodiscard]] const RecordSeal& seal() const { return *seal_; }

 private:
  BrokerRecords(std::unique_ptr<Sql> sql, std::shared_ptr<const RecordSeal> seal)
      : sql_(std::move(sql)), seal_(std::move(seal)) {}

  std::unique_ptr<Sql> sql_;
  std::shared_ptr<const RecordSeal> seal_;
};

}  // namespace keybroker::store
