// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/registry.h"

#include <algorithm>
#include <array>

#include "vmgs/crypto/digest.h"

namespace vtpm::host {

namespace {

using base::ErrorCode;
using vmgs::format::VmId;

// "Strm", so that another program's database is not taken for ours.
constexpr std::int64_t kApplicationId = 0x5374726d;
constexpr std::int64_t kSchemaVersion = 4;

// What leads from each version to the next; the first makes the tables of an empty file. Every step
// is one transaction, and no step that was ever released changes.
constexpr std::array kSteps = {
    R"(
  BEGIN IMMEDIATE;
  CREATE TABLE vm (
    vm_id BLOB NOT NULL PRIMARY KEY CHECK (length(vm_id) = 16),
    name TEXT NOT NULL UNIQUE,
    launch_document BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    strict_durability INTEGER NOT NULL CHECK (strict_durability IN (0, 1)),
    has_state INTEGER NOT NULL CHECK (has_state IN (0, 1)),
    deleting INTEGER NOT NULL CHECK (deleting IN (0, 1))
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE call (
    key TEXT NOT NULL PRIMARY KEY,
    method TEXT NOT NULL,
    request_digest BLOB NOT NULL,
    response BLOB NOT NULL,
    answered_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX call_by_time ON call (answered_at);
  PRAGMA application_id = 0x5374726d;
  PRAGMA user_version = 1;
  COMMIT;
)",
    R"(
  BEGIN IMMEDIATE;
  ALTER TABLE vm ADD COLUMN launch_document_before BLOB NOT NULL DEFAULT x'';
  PRAGMA user_version = 2;
  COMMIT;
)",
    R"(
  BEGIN IMMEDIATE;
  ALTER TABLE vm ADD COLUMN store INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE vm ADD COLUMN store_before INTEGER NOT NULL DEFAULT 0;
  PRAGMA user_version = 3;
  COMMIT;
)",
    R"(
  BEGIN IMMEDIATE;
  ALTER TABLE vm ADD COLUMN plain_state_blobs INTEGER NOT NULL DEFAULT 0;
  PRAGMA user_version = 4;
  COMMIT;
)"};
static_assert(kSteps.size() == kSchemaVersion);

base::Result<bool> is_empty(Database& database) {
  TRY_ASSIGN(count, database.prepare("SELECT count(*) FROM sqlite_schema"));
  TRY(count.step());
  return count.integer(0) == 0;
}

base::Result<void> bring_up_to_date(Database& database, std::int64_t version) {
  for (auto step = version; step < kSchemaVersion; ++step) {
    TRY(database.execute(kSteps.at(static_cast<std::size_t>(step))));
  }
  return {};
}

base::Result<void> set_up(Database& database) {
  TRY_ASSIGN(application, database.pragma("application_id"));
  TRY_ASSIGN(version, database.pragma("user_version"));
  TRY_ASSIGN(empty, is_empty(database));
  if (empty && application == 0 && version == 0) {
    TRY(database.make_durable());
    return bring_up_to_date(database, version);
  }
  if (application != kApplicationId) {
    return base::fail(ErrorCode::kCorrupt, "the registry is some other program's database");
  }
  if (version > kSchemaVersion) {
    return base::fail(ErrorCode::kUnavailable,
                      "the registry has schema " + std::to_string(version) +
                          ", written by a newer vtpmd; this one knows " +
                          std::to_string(kSchemaVersion) + ". Install the newer one again");
  }
  TRY(database.make_durable());
  return bring_up_to_date(database, version);
}

base::Bytes digest_of(const Call& call) {
  const auto digest = vmgs::crypto::sha256(call.request);
  return {digest.begin(), digest.end()};
}

}  // namespace

base::Result<Registry> Registry::open(const std::filesystem::path& path) {
  auto database = Database::open(path);
  if (!database) {
    return base::fail(std::move(database).error().context(path.string()));
  }
  if (auto ready = set_up(*database); !ready) {
    return base::fail(std::move(ready).error().context(path.string()));
  }
  return Registry(*std::move(database));
}

base::Result<std::vector<VmRecord>> Registry::all() {
  TRY_ASSIGN(select, database_.prepare("SELECT vm_id, name, launch_document, created_at, "
                                       "strict_durability, has_state, deleting, "
                                       "launch_document_before, store, store_before, "
                                       "plain_state_blobs FROM vm ORDER BY name"));
  std::vector<VmRecord> records;
  for (;;) {
    TRY_ASSIGN(found, select.step());
    if (!found) {
      return records;
    }
    VmRecord record;
    const auto id = select.blob(0);
    std::copy_n(id.begin(), record.id.bytes.size(), record.id.bytes.begin());
    record.name = select.text(1);
    record.launch_document = select.blob(2);
    record.created_at = select.integer(3);
    record.strict_durability = select.integer(4) != 0;
    record.has_state = select.integer(5) != 0;
    record.deleting = select.integer(6) != 0;
    record.launch_document_before = select.blob(7);
    record.store = static_cast<std::uint32_t>(select.integer(8));
    record.store_before = static_cast<std::uint32_t>(select.integer(9));
    record.plain_state_blobs = select.integer(10) != 0;
    records.push_back(std::move(record));
  }
}

base::Result<void> Registry::insert(const VmRecord& record) {
  TRY_ASSIGN(insert, database_.prepare("INSERT INTO vm VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  insert.bind(1, base::ByteView(record.id.bytes))
      .bind(2, record.name)
      .bind(3, base::ByteView(record.launch_document))
      .bind(4, record.created_at)
      .bind(5, std::int64_t{record.strict_durability})
      .bind(6, std::int64_t{record.has_state})
      .bind(7, std::int64_t{record.deleting})
      .bind(8, base::ByteView(record.launch_document_before))
      .bind(9, std::int64_t{record.store})
      .bind(10, std::int64_t{record.store_before})
      .bind(11, std::int64_t{record.plain_state_blobs});
  return insert.run();
}

base::Result<void> Registry::change_one(std::string_view sql, const VmId& id) {
  TRY_ASSIGN(change, database_.prepare(sql));
  change.bind(1, base::ByteView(id.bytes));
  return run_change(std::move(change), id);
}

base::Result<void> Registry::run_change(Statement change, const VmId& id) {
  TRY_ASSIGN(changed, change.step());
  if (!changed) {
    return base::fail(ErrorCode::kNotFound, "the registry has no VM " + to_string(id));
  }
  // A row was returned; the statement has to run to its end to be committed.
  return change.run();
}

base::Result<void> Registry::note_state(const VmId& id) {
  return change_one("UPDATE vm SET has_state = 1 WHERE vm_id = ? RETURNING vm_id", id);
}

base::Result<void> Registry::note_deleting(const VmId& id) {
  return change_one("UPDATE vm SET deleting = 1 WHERE vm_id = ? RETURNING vm_id", id);
}

base::Result<void> Registry::set_launch(const VmRecord& record) {
  TRY_ASSIGN(change, database_.prepare("UPDATE vm SET launch_document = ?, "
                                       "launch_document_before = ?, store = ?, store_before = ? "
                                       "WHERE vm_id = ? RETURNING vm_id"));
  change.bind(1, base::ByteView(record.launch_document))
      .bind(2, base::ByteView(record.launch_document_before))
      .bind(3, std::int64_t{record.store})
      .bind(4, std::int64_t{record.store_before})
      .bind(5, base::ByteView(record.id.bytes));
  return run_change(std::move(change), record.id);
}

base::Result<void> Registry::set_plain_state_blobs(const VmId& id, bool plain) {
  TRY_ASSIGN(change, database_.prepare("UPDATE vm SET plain_state_blobs = ? WHERE vm_id = ? "
                                       "RETURNING vm_id"));
  change.bind(1, std::int64_t{plain}).bind(2, base::ByteView(id.bytes));
  return run_change(std::move(change), id);
}

base::Result<void> Registry::erase(const VmId& id) {
  return change_one("DELETE FROM vm WHERE vm_id = ? RETURNING vm_id", id);
}

base::Result<std::optional<base::Bytes>> Registry::replay(const Call& call) {
  TRY_ASSIGN(select,
             database_.prepare("SELECT method, request_digest, response FROM call WHERE key = ?"));
  select.bind(1, call.key);
  TRY_ASSIGN(found, select.step());
  if (!found) {
    return std::optional<base::Bytes>();
  }
  if (select.text(0) != call.method || select.blob(1) != digest_of(call)) {
    return base::fail(ErrorCode::kDenied, "idempotency key '" + call.key +
                                              "' was used for another " + select.text(0) +
                                              " call; draw a new key for a new request");
  }
  return std::optional<base::Bytes>(select.blob(2));
}

base::Result<void> Registry::remember(const Call& call, base::ByteView response, std::int64_t now) {
  TRY_ASSIGN(insert, database_.prepare("INSERT INTO call VALUES (?, ?, ?, ?, ?)"));
  const auto digest = digest_of(call);
  insert.bind(1, call.key)
      .bind(2, call.method)
      .bind(3, base::ByteView(digest))
      .bind(4, response)
      .bind(5, now);
  return insert.run();
}

base::Result<void> Registry::forget_calls_before(std::int64_t time) {
  TRY_ASSIGN(erase, database_.prepare("DELETE FROM call WHERE answered_at < ?"));
  return erase.bind(1, time).run();
}

base::Result<void> Registry::together(const std::function<base::Result<void>()>& changes) {
  TRY_ASSIGN(transaction, DatabaseTransaction::begin(database_));
  TRY(changes());
  return transaction.commit();
}

}  // namespace vtpm::host
