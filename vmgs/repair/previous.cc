// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/previous.h"

#include "vmgs/format/file_table.h"
#include "vmgs/repair/packaging.h"
#include "vmgs/repair/window.h"
#include "vmgs/volume/headers.h"

namespace vmgs::repair {

namespace {

using volume::Generation;

struct Both {
  Generation older;
  std::uint32_t newest_sequence;
};

base::Result<Both> read_both(Window& store, format::HeaderSpacing spacing,
                             const volume::DatastoreKey* key) {
  TRY_ASSIGN(slots, volume::read_header_slots(store, spacing));
  TRY_ASSIGN(order, volume::order_headers(slots));
  if (!order.older) {
    return base::fail(base::ErrorCode::kNotFound,
                      "only one header is valid, so nothing leads to an older state; `vmgs "
                      "salvage` looks for one");
  }
  TRY_ASSIGN(older, Generation::read(store, *order.older, *slots[*order.older].header));
  if (!older.table()) {
    return base::fail(older.table().error());
  }
  if (older.header().encrypted && key != nullptr) {
    TRY_ASSIGN(unlocking, older.unlock(store, *key));
    if (unlocking != volume::Unlocking::kOpened) {
      return base::fail(base::ErrorCode::kAuthentication,
                        "the key does not open the older state: it was sealed under another one, "
                        "or its tables are overwritten");
    }
  }
  return Both{std::move(older), slots[order.newest].header->sequence};
}

}  // namespace

base::Result<Generation> previous_generation(storage::BlockDevice& whole, const Patient& patient,
                                             const volume::DatastoreKey* key) {
  TRY_ASSIGN(packaging, find_packaging(whole, patient));
  Window store(whole, packaging.store_bytes);
  TRY_ASSIGN(both, read_both(store, packaging.spacing, key));
  return std::move(both.older);
}

base::Result<Step> restore_previous(storage::BlockDevice& whole, const Patient& patient,
                                    const volume::DatastoreKey* key) {
  storage::Overlay work(whole);
  TRY_ASSIGN(packaging, find_packaging(work, patient));
  Window store(work, packaging.store_bytes);
  TRY_ASSIGN(both, read_both(store, packaging.spacing, key));
  const auto& older = both.older;
  if (older.header().encrypted && !older.unlocked()) {
    return base::fail(base::ErrorCode::kDenied,
                      "the store is encrypted: its key (--key) is needed to tell whether the older "
                      "state is whole");
  }
  if (format::find_overlap(*older.table()) || !older.file_table_digest_holds()) {
    return base::fail(base::ErrorCode::kDenied, "the tables of the older state are damaged");
  }
  const auto failing = older.failing_files(store);
  if (!failing.empty()) {
    return base::fail(base::ErrorCode::kDenied, "the older state is not whole any more (" +
                                                    failing.front().error.message +
                                                    "): read single files out of it instead");
  }
  auto header = older.header();
  header.sequence = both.newest_sequence + 1;
  TRY(volume::write_header(store, packaging.spacing, older.slot(), header));
  TRY(store.flush());
  return Step{"previous", "header slot " + std::to_string(older.slot()),
              "make the state before the newest the newest, and the other way round",
              work.take_operations()};
}

}  // namespace vmgs::repair
