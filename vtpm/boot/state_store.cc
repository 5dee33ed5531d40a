// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/state_store.h"

#include <unistd.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "vmgs/base/log.h"
#include "vmgs/crypto/random.h"
#include "vmgs/format/file_id.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/storage/file.h"
#include "vmgs/volume/state_digest.h"
#include "vtpm/boot/new_vm_id.h"

namespace vtpm::boot {

namespace {

using base::ErrorCode;
using engine::BlobKind;
using vmgs::format::FileId;
using vmgs::format::Record;
using vmgs::format::SeedProtection;
using vmgs::format::VmId;
using vmgs::storage::Access;
using vmgs::storage::Container;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;

// VM_UNIQUE_ID: the GUID, `ported`, three bytes of padding.
constexpr std::size_t kVmUniqueIdBytes = 20;

base::Bytes vm_unique_id(const VmId& id) {
  base::Bytes content(kVmUniqueIdBytes);
  const auto guid = vmgs::format::guid_bytes(id);
  std::copy(guid.begin(), guid.end(), content.begin());
  return content;
}

// What the system forbids says nothing about whose store it is.
base::Error refused_by_system(base::Error error) {
  if (error.code == ErrorCode::kDenied) {
    error.code = ErrorCode::kIo;
  }
  return error;
}

// Another process that makes the same store holds the lock of its half-made file; without a lock
// it is what a crash left.
base::Result<void> remove_leftover(const std::filesystem::path& path) {
  const auto leftover = vmgs::storage::FileDevice::open(path, Access::kReadWrite);
  if (!leftover) {
    return leftover.error().code == ErrorCode::kNotFound
               ? base::Result<void>()
               : base::Result<void>(base::fail(refused_by_system(leftover.error())));
  }
  ::unlink(path.c_str());
  return {};
}

base::Result<Record> record_of(const Volume& volume, const VmId& vm_id) {
  Record record;
  record.vm_id = vm_id;
  if (!volume.contains(FileId::kRecord)) {
    return record;
  }
  TRY_ASSIGN(content, volume.read(FileId::kRecord));
  auto decoded = vmgs::format::decode_record(content.expose());
  if (!decoded) {
    return base::fail(std::move(decoded).error().context(describe(FileId::kRecord)));
  }
  if (decoded->vm_id != vm_id) {
    return base::fail(ErrorCode::kDenied, "RECORD (49) is of VM " + to_string(decoded->vm_id) +
                                              ", and this is VM " + to_string(vm_id));
  }
  return *decoded;
}

base::Result<Container> open_locked(const StoreSettings& settings) {
  auto container = vmgs::storage::open_container(
      settings.path, {.access = Access::kReadWrite, .spacing = settings.spacing});
  if (!container) {
    return base::fail(refused_by_system(std::move(container).error()));
  }
  return container;
}

tl::unexpected<base::Error> no_tpm_state() {
  return base::fail(ErrorCode::kNotFound,
                    "the store opens but holds no TPM state: it is never made anew, since every "
                    "secret sealed to the old TPM would be lost. Put the right store back, or "
                    "delete this one to begin a new VM");
}

// A store with nothing in it that says whose it is. What its TPM is, is said before that.
base::Error without_vm_id(Volume& volume) {
  if (!volume.contains(FileId::kTpmNvram)) {
    return no_tpm_state().value();
  }
  const auto content = volume.read(FileId::kTpmNvram);
  if (!content) {
    return content.error();
  }
  const auto state = vmgs::format::decode_tpm_state(content->expose());
  if (!state) {
    return base::Error(state.error()).context(describe(FileId::kTpmNvram));
  }
  return {ErrorCode::kCorrupt, "the store holds the TPM of VM " + to_string(state->vm_id) +
                                   ", but no VM_UNIQUE_ID (7), which every store of ours has: "
                                   "bring back an unaltered copy of it"};
}

vmgs::format::SeedProtection seed_protection(const Protector& protector) {
  using keybroker::protocol::Protection;
  switch (protector.mode()) {
    case Protection::kNone:
      return vmgs::format::SeedProtection::kNone;
    case Protection::kHost:
      return vmgs::format::SeedProtection::kHost;
    case Protection::kHardware:
    case Protection::kBroker:
      break;
  }
  return vmgs::format::SeedProtection::kTee;
}

// Of a store that a witness knows, what is missing from it was taken out, if somebody wrote it who
// is no instance; that comes first, as nothing may be made in its place.
base::Result<void> expect_unedited(const Volume& volume) {
  if (volume.edited_without_key()) {
    return base::fail(ErrorCode::kDenied,
                      "somebody without the key has changed the store: what lies in it is not what "
                      "an instance has put there. Nothing of the VM is lost that its newest copy "
                      "has: bring that back, and find out who writes to this one");
  }
  if (volume.edited()) {
    return base::fail(
        ErrorCode::kDenied,
        "another program than an instance has written the store, so that nothing says "
        "where its state comes from: bring back a copy from before that");
  }
  return {};
}

base::Result<void> expect_tpm_state(state::VolumeNvStore& blobs) {
  TRY_ASSIGN(permanent, blobs.load(BlobKind::kPermanent));
  if (!permanent) {
    return no_tpm_state();
  }
  return {};
}

void log_findings(const Volume& volume) {
  for (const auto& finding : volume.findings()) {
    base::log(finding.severity == vmgs::volume::Severity::kNote ? base::LogLevel::kInfo
                                                                : base::LogLevel::kWarning,
              finding.where + ": " + finding.message);
  }
}

}  // namespace

base::Result<std::unique_ptr<StateStore>> StateStore::open(StoreSettings settings,
                                                           Protector& protector, Witness* witness) {
  std::unique_ptr<StateStore> store(new StateStore(std::move(settings), protector, witness));
  TRY(store->draw_boot_id());
  TRY(store->open_container());
  return store;
}

base::Result<std::unique_ptr<StateStore>> StateStore::create(StoreSettings settings,
                                                             Protector& protector,
                                                             base::ByteView permanent_state,
                                                             Witness* witness) {
  std::unique_ptr<StateStore> store(new StateStore(std::move(settings), protector, witness));
  TRY(store->draw_boot_id());
  TRY(store->make(permanent_state));
  return store;
}

base::Result<void> StateStore::draw_boot_id() {
  if (settings_.boot_id) {
    boot_id_ = *settings_.boot_id;
    return {};
  }
  return vmgs::crypto::random_bytes(boot_id_);
}

base::Result<void> StateStore::open_container() {
  TRY_ASSIGN(container, open_locked(settings_));
  return open_in(std::move(container), std::nullopt);
}

base::Result<void> StateStore::open_in(Container container,
                                       std::optional<std::uint64_t> expected_header_sequence) {
  TRY_ASSIGN(volume, Volume::open(*container.device, container.spacing));
  TRY(protector_.expect_fits(volume));
  TRY(protector_.unlock(volume));
  if (expected_header_sequence && volume.current().header().sequence != *expected_header_sequence) {
    return base::fail(ErrorCode::kCorrupt,
                      "the store does not hold what was committed to it last: look at the disk");
  }
  container_ = std::move(container);
  volume_ = std::move(volume);
  log_findings(*volume_);

  // All is chosen and read before anything is written.
  if (witness_ != nullptr) {
    TRY(expect_unedited(*volume_));
  }
  TRY(find_vm_id());
  TRY_ASSIGN(taken_back, find_ownership());
  state::VolumeNvStore found(*volume_, vm_id_, seed_protection(protector_), std::nullopt);
  TRY(expect_tpm_state(found));
  weaker_ = found.is_weaker();
  imported_ = found.is_imported();
  TRY_ASSIGN(record, record_of_boot());
  TRY(volume_->recover());
  const auto record_bytes = record ? vmgs::format::encode_record(*record) : base::Bytes();
  Transaction rotation;
  if (record) {
    rotation.put(FileId::kRecord, record_bytes);
  }
  TRY_ASSIGN(rotated, protector_.rotate(*volume_, std::move(rotation)));
  if (rotated) {
    record.reset();
  }
  blobs_.emplace(*volume_, vm_id_, seed_protection(protector_), std::move(record),
                 settings_.barriers);
  blobs_->note_past(imported_, found.seeds());
  return taken_back ? settle(blobs_->store_ownership(ownership_)) : note_last();
}

base::Result<void> StateStore::find_vm_id() {
  if (settings_.vm_id) {
    vm_id_ = *settings_.vm_id;
    return {};
  }
  if (!volume_->contains(FileId::kVmUniqueId)) {
    return base::fail(without_vm_id(*volume_));
  }
  TRY_ASSIGN(content, volume_->read(FileId::kVmUniqueId));
  constexpr std::size_t kGuidBytes = 16;
  if (content.size() < kGuidBytes) {
    return base::fail(ErrorCode::kCorrupt, "VM_UNIQUE_ID (7) is too short for an id");
  }
  vm_id_ = vmgs::format::vm_id_of_guid(content.expose().first<kGuidBytes>());
  return {};
}

// The record of this boot: that of the last one with the new boot id, or what the witness makes of
// it. A plaintext store has none.
base::Result<std::optional<Record>> StateStore::record_of_boot() {
  if (!volume_->encrypted()) {
    return std::optional<Record>();
  }
  TRY_ASSIGN(record, record_of(*volume_, vm_id_));
  if (witness_ == nullptr) {
    record.boot_id = boot_id_;
    return std::optional<Record>(std::move(record));
  }
  TRY_ASSIGN(digest, vmgs::volume::state_digest(vm_id_, *volume_));
  const vmgs::format::Anchor opened{
      .epoch = record.epoch, .sequence = volume_->commit_sequence(), .digest = digest};
  TRY_ASSIGN(admitted, last_ ? witness_->admit_again(*last_, opened, record)
                             : witness_->admit(opened, std::move(record)));
  return std::optional<Record>(std::move(admitted));
}

base::Result<vmgs::format::Anchor> StateStore::state() const {
  TRY(expect_open());
  TRY_ASSIGN(digest, vmgs::volume::state_digest(vm_id_, *volume_));
  return vmgs::format::Anchor{.epoch = 0, .sequence = volume_->commit_sequence(), .digest = digest};
}

void StateStore::carry(const Record& record) {
  if (blobs_) {
    blobs_->carry(record);
  }
}

base::Result<void> StateStore::commit_record() {
  TRY(open_anew_after_failure());
  TRY(expect_owned());
  return settle(blobs_->commit_record());
}

base::Result<void> StateStore::make(base::ByteView permanent_state) {
  if (settings_.vm_id) {
    vm_id_ = *settings_.vm_id;
  } else {
    TRY_ASSIGN(drawn, new_vm_id());
    vm_id_ = drawn;
  }
  // No key is drawn, and no file made for it, where there is no place for a store.
  std::optional<Container> blank;
  if (std::error_code ignored; std::filesystem::exists(settings_.path, ignored)) {
    TRY_ASSIGN(found, blank_container());
    blank = std::move(found);
  }
  TRY_ASSIGN(beginning, protector_.make());
  const bool imported = settings_.arrival ? settings_.arrival->imported : settings_.imported;
  const auto seeds = settings_.arrival ? settings_.arrival->seeds : SeedProtection::kUnknown;
  const auto nvram = state::encode_first_state(vm_id_, std::max(seeds, seed_protection(protector_)),
                                               permanent_state, imported);
  const auto unique_id = vm_unique_id(vm_id_);
  Record record;
  record.vm_id = vm_id_;
  record.boot_id = boot_id_;
  if (witness_ != nullptr) {
    record = witness_->begin(std::move(record));
  }
  const auto record_bytes = vmgs::format::encode_record(record);
  const auto sealed_keys = std::move(beginning.sealed_keys);
  const auto key_protector = std::move(beginning.key_protector);

  Transaction first;
  first.put(FileId::kTpmNvram, nvram.expose());
  first.put(FileId::kVmUniqueId, unique_id, vmgs::volume::Protection::kPlaintext);
  if (beginning.key) {
    first.put(FileId::kRecord, record_bytes);
  }
  const auto ownership_bytes =
      arrival_ ? vmgs::format::encode_ownership(arrival_->ownership) : base::Bytes();
  if (arrival_) {
    ownership_ = arrival_->ownership;
    first.put(vmgs::format::kOwnershipFile, ownership_bytes);
  }
  if (sealed_keys) {
    first.put(FileId::kSealedKeys, *sealed_keys, vmgs::volume::Protection::kPlaintext);
  }
  if (key_protector) {
    first.put(FileId::kKeyProtector, *key_protector, vmgs::volume::Protection::kPlaintext);
  }
  TRY(blank ? make_in_place(*std::move(blank), std::move(beginning), first)
            : make_new_file(std::move(beginning), first));
  blobs_.emplace(*volume_, vm_id_, seed_protection(protector_), std::nullopt, settings_.barriers);
  blobs_->note_past(imported, seeds);
  imported_ = imported;
  weaker_ = blobs_->is_weaker();
  arrival_.reset();
  return note_last();
}

// A block device, or a file laid out beforehand: only a blank one is taken.
base::Result<Container> StateStore::blank_container() const {
  TRY_ASSIGN(container, open_locked(settings_));
  TRY_ASSIGN(is_blank, Volume::is_blank(*container.device));
  if (!is_blank) {
    return base::fail(ErrorCode::kDenied,
                      settings_.path.string() + " holds something already; nothing was changed");
  }
  return container;
}

base::Result<void> StateStore::make_in_place(Container container, Protector::Beginning beginning,
                                             const Transaction& first) {
  TRY_ASSIGN(volume,
             Volume::format(*container.device, container.spacing, std::move(beginning.key), first));
  container_ = std::move(container);
  volume_ = std::move(volume);
  return {};
}

base::Result<void> StateStore::make_new_file(Protector::Beginning beginning,
                                             const Transaction& first) {
  auto temporary = settings_.path;
  temporary += ".creating";
  TRY(remove_leftover(temporary));
  auto container = vmgs::storage::create_container(
      temporary, {.kind = settings_.new_kind, .store_bytes = settings_.new_store_bytes});
  if (!container) {
    return base::fail(refused_by_system(std::move(container).error()));
  }
  auto volume =
      Volume::format(*container->device, container->spacing, std::move(beginning.key), first);
  auto published = volume ? container->file->publish_as(settings_.path)
                          : base::Result<void>(base::fail(volume.error()));
  if (!published) {
    ::unlink(temporary.c_str());
    return published;
  }
  container_ = *std::move(container);
  volume_ = *std::move(volume);
  return {};
}

base::Result<void> StateStore::expect_open() const {
  if (closed_) {
    return base::fail(ErrorCode::kDenied, "the store was closed");
  }
  if (!blobs_) {
    return base::fail(ErrorCode::kUnavailable, "the store could not be opened again");
  }
  return {};
}

void StateStore::let_go() {
  blobs_.reset();
  volume_.reset();
  container_.reset();
}

base::Result<std::optional<base::SecretBytes>> StateStore::load(BlobKind kind) {
  if (container_ && kind == BlobKind::kPermanent) {
    TRY(container_->file->still_named());
  }
  if (kind == BlobKind::kPermanent) {
    TRY(open_anew_after_failure());
  }
  TRY(expect_owned());
  auto loaded = blobs_->load(kind);
  weaker_ = blobs_->is_weaker();
  imported_ = blobs_->is_imported();
  return loaded;
}

// What the disk holds is unknown since a commit failed: look at it as after a crash.
base::Result<void> StateStore::open_anew_after_failure() {
  if (!failed_ || closed_) {
    return {};
  }
  let_go();
  TRY(open_container());
  // From it the blobs know the past of the seeds, which goes into what is stored next.
  TRY(expect_tpm_state(*blobs_));
  failed_ = false;
  return {};
}

base::Result<void> StateStore::settle(base::Result<void> committed) {
  if (committed) {
    // What was committed to a file that nobody finds any more was not stored.
    committed = container_->file->still_named();
  }
  if (committed) {
    committed = note_last();
  }
  failed_ = failed_ || !committed;
  return committed;
}

base::Result<void> StateStore::note_last() {
  if (witness_ == nullptr) {
    return {};
  }
  TRY_ASSIGN(now, state());
  last_ = now;
  return {};
}

base::Result<void> StateStore::store(BlobKind kind, base::ByteView blob) {
  if (arrival_ && kind == BlobKind::kPermanent) {
    return store_arrival(blob);
  }
  TRY(expect_owned());
  return settle(blobs_->store(kind, blob));
}

void StateStore::seeds_were_changed() {
  weaker_ = false;
  if (blobs_) {
    blobs_->seeds_were_changed();
  }
}

vmgs::format::SeedProtection StateStore::seeds() const {
  return blobs_ ? blobs_->seeds() : SeedProtection::kUnknown;
}

base::Result<void> StateStore::remove(BlobKind kind) {
  TRY(expect_owned());
  return settle(blobs_->remove(kind));
}

base::Result<void> StateStore::close() {
  if (closed_ || !blobs_) {
    closed_ = true;
    let_go();  // a store that was refused is left as it is
    return {};
  }
  auto done = volume_->close();
  if (done) {
    done = container_->file->still_named();
  }
  closed_ = true;
  let_go();
  return done;
}

}  // namespace vtpm::boot
