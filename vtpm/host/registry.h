// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"
#include "vtpm/host/database.h"

namespace vtpm::host {

// VmRecord is what this host knows about a VM, whatever runs.
struct VmRecord {
  vmgs::format::VmId id;
  std::string name;
  // In its one encoding; it decides about the VM id, protection and lifetime.
  base::Bytes launch_document;

  // The one before a conversion, until the VM has started under the new one; empty otherwise.
  base::Bytes launch_document_before{};

  // Which of the stores in its folder is the VM's (StateFolder::store()), and which was under the
  // launch document before. This is what makes a copy the store: the names of files never change.
  std::uint32_t store = 0;
  std::uint32_t store_before = 0;
  std::int64_t created_at = 0;  // seconds since 1970

  // Commits to its store wait for the disk twice.
  bool strict_durability = false;

  // The TPM's state leaves and enters in the clear where its hypervisor asks for it.
  bool plain_state_blobs = false;

  // A persistent VM had its store made. From then on a store that is not there is missing, and is
  // never made again. Set before a guest can use the TPM.
  bool has_state = false;

  // Its deletion was acknowledged; what is left of it is to be removed.
  bool deleting = false;

  // is_second_store() tells whether there is another store, from before a conversion.
  [[nodiscard]] bool is_second_store() const {
    return !launch_document_before.empty() && store != store_before;
  }

  friend bool operator==(const VmRecord&, const VmRecord&) = default;
};

// Call is a request with an idempotency key.
struct Call {
  std::string key;
  std::string method;
  base::Bytes request;
};

// Registry is the durable list of VMs, and of the answers that were given to calls with a key. What
// a function has acknowledged is on the disk. One thread; one process.
class Registry {
 public:
  // open() makes an empty one if nothing is there, and brings one of an older vtpmd up to date.
  // kCorrupt if it is damaged or something else;
  // kUnavailable if a newer vtpmd wrote it.
  static base::Result<Registry> open(const std::filesystem::path& path);

  // all() gives the VMs by name.
  base::Result<std::vector<VmRecord>> all();

  // insert() is kDenied if the id or the name is taken.
  base::Result<void> insert(const VmRecord& record);

  // These are kNotFound if there is no such VM.
  base::Result<void> note_state(const vmgs::format::VmId& id);
  base::Result<void> note_deleting(const vmgs::format::VmId& id);
  // set_launch() takes both launch documents and both stores from the record.
  base::Result<void> set_launch(const VmRecord& record);
  base::Result<void> set_plain_state_blobs(const vmgs::format::VmId& id, bool plain);
  base::Result<void> erase(const vmgs::format::VmId& id);

  // replay() gives the answer to an earlier call with this key, if there was one. kDenied if that
  // was another call.
  base::Result<std::optional<base::Bytes>> replay(const Call& call);

  // remember() keeps an answer for replay().
  base::Result<void> remember(const Call& call, base::ByteView response, std::int64_t now);

  // forget_calls_before() drops answers that were given before `time`.
  base::Result<void> forget_calls_before(std::int64_t time);

  // together() makes what `changes` does one change: all of it is durable, or none.
  base::Result<void> together(const std::function<base::Result<void>()>& changes);

 private:
  explicit Registry(Database database) : database_(std::move(database)) {}

  base::Result<void> change_one(std::string_view sql, const vmgs::format::VmId& id);
  base::Result<void> run_change(Statement change, const vmgs::format::VmId& id);

  Database database_;
};

}  // namespace vtpm::host
