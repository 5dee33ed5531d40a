// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/vm_row.h"

#include <algorithm>
#include <utility>

#include "keybroker/protocol/uuid.h"
#include "keybroker/store/columns.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr auto kSelect =
    "SELECT tenant_id, status, conf_version, "                                               // 0
    "launch_document, launch_digest, family, protection, execution_policy, "                 // 3
    "previous_document, previous_digest, previous_family, previous_protection, "             // 8
    "previous_execution_policy, previous_until, "                                            // 12
    "root_class, lifetime, origin, fde_mode, cloned_from, clone_pending, region, created, "  // 14
    "epoch, owner_boot, claim_req, lease_until, "                                            // 22
    "a_epoch, a_seq, a_digest, a_req, ek_name, ak_name, "                                    // 26
    "restores, restore_seq, restore_digest, restore_until, seal "                            // 32
    "FROM vm WHERE vm_id = $1";

// optional_fixed() reads a column that may be NULL.
template <std::size_t N>
base::Result<std::optional<std::array<std::byte, N>>> optional_fixed(const Row& row,
                                                                     std::size_t position) {
  if (is_null(row, position)) {
    return std::nullopt;
  }
  TRY_ASSIGN(value, fixed<N>(row, position));
  return std::optional(value);
}

base::Result<Launch> read_launch(const Row& row, std::size_t first) {
  Launch launch;
  TRY_ASSIGN(document, column<base::Bytes>(row, first));
  TRY_ASSIGN(digest, fixed<48>(row, first + 1));
  TRY_ASSIGN(family, word(row, first + 2, protocol::TeeFamily::kNone, protocol::TeeFamily::kTdx));
  TRY_ASSIGN(protection,
             word(row, first + 3, protocol::Protection::kNone, protocol::Protection::kBroker));
  launch = {std::move(document), {digest}, family, protection, std::nullopt};
  if (!is_null(row, first + 4)) {
    TRY_ASSIGN(text, column<base::Bytes>(row, first + 4));
    launch.execution_policy = std::move(text);
  }
  return launch;
}

base::Result<VmStatus> read_status(const Row& row, std::size_t position) {
  TRY_ASSIGN(text, column<std::string>(row, position));
  for (const auto status :
       {VmStatus::kActive, VmStatus::kDisabled, VmStatus::kConverting, VmStatus::kDeleted}) {
    if (text == name(status)) {
      return status;
    }
  }
  return wrong_column();
}

base::Result<void> read_registration(const Row& row, VmRegistration& out) {
  TRY_ASSIGN(tenant, fixed<16>(row, 0));
  TRY_ASSIGN(launch, read_launch(row, 3));
  TRY_ASSIGN(root_class,
             word(row, 14, evidence::RootClass::kProduction, evidence::RootClass::kSimulated));
  TRY_ASSIGN(lifetime,
             word(row, 15, protocol::Lifetime::kEphemeral, protocol::Lifetime::kPersistent));
  TRY_ASSIGN(origin, word(row, 16, Origin::kOwn, Origin::kImported));
  TRY_ASSIGN(fde_mode, column<std::string>(row, 17));
  TRY_ASSIGN(cloned_from, optional_fixed<16>(row, 18));
  TRY_ASSIGN(region, column<std::string>(row, 20));
  out.tenant = tenant;
  out.launch = std::move(launch);
  out.root_class = root_class;
  out.lifetime = lifetime;
  out.origin = origin;
  out.fde_mode = std::move(fde_mode);
  out.cloned_from = cloned_from;
  out.region = std::move(region);
  return {};
}

base::Result<void> read_freshness(const Row& row, VmRecord& out) {
  TRY_ASSIGN(epoch, number(row, 22));
  TRY_ASSIGN(owner, optional_fixed<16>(row, 23));
  TRY_ASSIGN(claim_request, optional_fixed<16>(row, 24));
  TRY_ASSIGN(lease_until, number(row, 25));
  TRY_ASSIGN(anchor_request, optional_fixed<16>(row, 29));
  TRY_ASSIGN(ek_name, column<base::Bytes>(row, 30));
  TRY_ASSIGN(ak_name, column<base::Bytes>(row, 31));
  TRY_ASSIGN(restores, number(row, 32));
  out.epoch = epoch;
  out.owner = owner;
  out.claim_request = claim_request;
  if (lease_until != 0) {
    out.lease_until = crypto::Time(std::chrono::seconds(lease_until));
  }
  out.anchor_request = anchor_request;
  out.ek_name = std::move(ek_name);
  out.ak_name = std::move(ak_name);
  out.restores = restores;
  if (!is_null(row, 27)) {
    TRY_ASSIGN(anchor_epoch, number(row, 26));
    TRY_ASSIGN(sequence, number(row, 27));
    TRY_ASSIGN(digest, fixed<32>(row, 28));
    out.anchor = Anchor{anchor_epoch, {sequence, digest}};
  }
  if (!is_null(row, 33)) {
    TRY_ASSIGN(sequence, number(row, 33));
    TRY_ASSIGN(digest, fixed<32>(row, 34));
    TRY_ASSIGN(until, time_column(row, 35));
    out.restore = AllowedRestore{{sequence, digest}, until};
  }
  return {};
}

}  // namespace

std::string_view name(Origin origin) {
  constexpr std::string_view kNames[] = {"own", "foreign", "imported"};
  return kNames[static_cast<std::size_t>(origin)];
}

std::string_view name(VmStatus status) {
  constexpr std::string_view kNames[] = {"active", "disabled", "converting", "deleted"};
  return kNames[static_cast<std::size_t>(status)];
}

namespace {

constexpr int kLooks = 8;

// A record and the seal that its row has.
struct SealedRecord {
  VmRecord record;
  Sha256Digest seal{};
};

base::Result<SealedRecord> read_vm(Sql& sql, const Uuid& vm_id) {
  TRY_ASSIGN(rows, sql.execute(kSelect, {value_of(vm_id)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound,
                      "VM " + protocol::uuid_text(vm_id) + " is not registered");
  }
  const Row& row = rows[0];
  VmRecord record;
  record.registration.vm_id = vm_id;
  TRY(read_registration(row, record.registration));
  TRY(read_freshness(row, record));
  TRY_ASSIGN(status, read_status(row, 1));
  TRY_ASSIGN(conf_version, number(row, 2));
  TRY_ASSIGN(clone_pending, number(row, 19));
  TRY_ASSIGN(created, time_column(row, 21));
  record.status = status;
  record.conf_version = conf_version;
  record.clone_pending = clone_pending != 0;
  record.created = created;
  if (!is_null(row, 8)) {
    TRY_ASSIGN(previous, read_launch(row, 8));
    TRY_ASSIGN(until, time_column(row, 13));
    record.previous = PreviousLaunch{std::move(previous), until};
  }
  // After the row: policies that were changed in between come with a conf_version that a claim will
  // not find.
  TRY_ASSIGN(policies, load_policies(sql, vm_id));
  record.registration.policies = std::move(policies);
  TRY_ASSIGN(seal, fixed<32>(row, 36));
  return SealedRecord{std::move(record), seal};
}

}  // namespace

base::Result<VmRecord> load_vm(Sql& sql, const RecordSeal& seal, const Uuid& vm_id) {
  // The policies are read after the row. Where another registration came in between, its row is
  // there at the next look; the same row twice is one that nobody of ours has written.
  std::optional<Sha256Digest> last;
  for (int look = 0; look < kLooks; ++look) {
    TRY_ASSIGN(read, read_vm(sql, vm_id));
    if (vmgs::crypto::equal_in_constant_time(read.seal, seal.of(read.record))) {
      return std::move(read.record);
    }
    if (last == read.seal) {
      break;
    }
    last = read.seal;
  }
  return base::fail(ErrorCode::kAuthentication,
                    std::string(kRecordsAltered) + ": the record of VM " +
                        protocol::uuid_text(vm_id) +
                        " is not as a broker with this records.key wrote it");
}

base::Result<VmRecord> held_vm(Sql& sql, const RecordSeal& seal, const Uuid& vm_id) {
  TRY(sql.execute("UPDATE vm SET conf_version = conf_version WHERE vm_id = $1", {value_of(vm_id)}));
  return load_vm(sql, seal, vm_id);
}

base::Result<void> store_vm(Sql& sql, const RecordSeal& seal, const VmRecord& record) {
  const auto& vm = record.registration;
  const auto previous = [&record](auto field) {
    return record.previous ? field(record.previous->launch) : Value();
  };
  TRY(sql.execute(
      "UPDATE vm SET status = $2, conf_version = $3, launch_document = $4, launch_digest = $5, "
      "family = $6, protection = $7, execution_policy = $8, previous_document = $9, "
      "previous_digest = $10, previous_family = $11, previous_protection = $12, "
      "previous_execution_policy = $13, previous_until = $14, region = $15, seal = $16 "
      "WHERE vm_id = $1",
      {value_of(vm.vm_id), std::string(name(record.status)), value_of(record.conf_version),
       vm.launch.document, value_of(vm.launch.digest.bytes), value_of(vm.launch.family),
       value_of(vm.launch.protection), value_of(vm.launch.execution_policy),
       previous([](const Launch& launch) { return value_of(launch.document); }),
       previous([](const Launch& launch) { return value_of(launch.digest.bytes); }),
       previous([](const Launch& launch) { return value_of(launch.family); }),
       previous([](const Launch& launch) { return value_of(launch.protection); }),
       previous([](const Launch& launch) { return value_of(launch.execution_policy); }),
       record.previous ? value_of(record.previous->until) : Value(), vm.region,
       value_of(seal.of(record))}));
  return {};
}

base::Result<std::vector<OwnerPolicy>> load_policies(Sql& sql, const Uuid& vm_id) {
  TRY_ASSIGN(rows, sql.execute("SELECT owner, digest FROM vm_policy WHERE vm_id = $1 "
                               "ORDER BY owner, digest",
                               {value_of(vm_id)}));
  std::vector<OwnerPolicy> policies;
  for (const auto& row : rows) {
    TRY_ASSIGN(owner, fixed<16>(row, 0));
    TRY_ASSIGN(digest, fixed<32>(row, 1));
    policies.push_back({owner, digest});
  }
  return policies;
}

base::Result<void> store_policies(Sql& sql, const VmRegistration& registration) {
  TRY(sql.execute("DELETE FROM vm_policy WHERE vm_id = $1", {value_of(registration.vm_id)}));
  for (const auto& policy : registration.policies) {
    TRY_ASSIGN(rows, sql.execute("INSERT INTO vm_policy (vm_id, owner, digest) "
                                 "SELECT $1, t.tenant_id, p.digest FROM tenant t, policy p "
                                 "WHERE t.tenant_id = $2 AND p.digest = $3 RETURNING owner",
                                 {value_of(registration.vm_id), value_of(policy.owner),
                                  value_of(policy.policy)}));
    if (rows.empty()) {
      return base::fail(ErrorCode::kNotFound,
                        "no policy " + base::to_hex(policy.policy) + ", or no tenant " +
                            protocol::uuid_text(policy.owner) + " that it would be of");
    }
  }
  return {};
}

std::string_view difference(const VmRegistration& a, const VmRegistration& b, Fields among) {
  if (a.tenant != b.tenant) {
    return "tenant";
  }
  if (a.origin != b.origin) {
    return "origin";
  }
  if (a.fde_mode != b.fde_mode) {
    return "FDE mode";
  }
  if (a.lifetime != b.lifetime) {
    return "lifetime";
  }
  if (a.root_class != b.root_class) {
    return "root class";
  }
  if (a.cloned_from != b.cloned_from) {
    return "source of the clone";
  }
  if (a.launch != b.launch) {
    return "launch document";
  }
  if (among == Fields::kAll && a.policies != b.policies) {
    return "policies";
  }
  if (among == Fields::kAll && a.region != b.region) {
    return "region";
  }
  return {};
}

}  // namespace keybroker::store
