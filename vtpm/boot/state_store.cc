// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/state_store.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "vmgs/crypto/random.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/file.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"

namespace vtpm::boot {

namespace {

using base::ErrorCode;
using engine::BlobKind;
using vmgs::format::FileId;
using vmgs::storage::Access;
using vmgs::storage::Container;
using vmgs::volume::DatastoreKey;
using vmgs::volume::Sequence;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;

// VM_UNIQUE_ID: the GUID, `ported`, three bytes of padding.
constexpr std::size_t kVmUniqueIdBytes = 20;

base::Bytes vm_unique_id(const vmgs::format::VmId& id) {
  base::Bytes content(kVmUniqueIdBytes);
  const auto guid = vmgs::format::guid_bytes(id);
  std::copy(guid.begin(), guid.end(), content.begin());
  return content;
}

// Another process that makes the same store holds the lock of its half-made file; without a lock
// it is what a crash left.
base::Result<void> remove_leftover(const std::filesystem::path& path) {
  const auto leftover = vmgs::storage::FileDevice::open(path, Access::kReadWrite);
  if (!leftover) {
    return leftover.error().code == ErrorCode::kNotFound
               ? base::Result<void>()
               : base::Result<void>(base::fail(leftover.error()));
  }
  ::unlink(path.c_str());
  return {};
}

base::Result<DatastoreKey> host_key(const StoreSettings& settings, bool may_make) {
  auto key = sealing::read_host_key(settings.key_file, settings.key_file_kind);
  if (!key && key.error().code == ErrorCode::kNotFound && may_make) {
    return sealing::make_host_key(settings.key_file);
  }
  return key;
}

base::Result<void> expect_protection(const StoreSettings& settings, const Volume& volume) {
  const bool wants_encryption = settings.protection != Protection::kNone;
  if (volume.encrypted() == wants_encryption) {
    return {};
  }
  return base::fail(ErrorCode::kDenied,
                    wants_encryption
                        ? "the VM's protection is " + std::string(name(settings.protection)) +
                              ", but this store is not encrypted: whoever put it here could read "
                              "and make all of it. Protection is never taken down"
                        : "the VM's protection is none, but this store is encrypted: give the "
                          "protection that it was made with");
}

base::Result<vmgs::format::Record> record_of(const Volume& volume,
                                             const vmgs::format::VmId& vm_id) {
  vmgs::format::Record record;
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

}  // namespace

base::Result<base::SecretBytes> manufacture() {
  engine::MemoryNvStore memory;
  TRY_ASSIGN(engine, engine::Engine::create(memory));
  TRY(engine->start(engine::Origin::kManufacture));
  engine->terminate();
  TRY_ASSIGN(blob, memory.load(BlobKind::kPermanent));
  if (!blob) {
    return base::fail(ErrorCode::kUnavailable, "libtpms made a TPM and stored no state of it");
  }
  return *std::move(blob);
}

base::Result<std::unique_ptr<StateStore>> StateStore::open(StoreSettings settings) {
  std::unique_ptr<StateStore> store(new StateStore(std::move(settings)));
  TRY(store->open_container());
  return store;
}

base::Result<std::unique_ptr<StateStore>> StateStore::create(StoreSettings settings,
                                                             base::ByteView permanent_state) {
  std::unique_ptr<StateStore> store(new StateStore(std::move(settings)));
  TRY(store->make(permanent_state));
  return store;
}

base::Result<void> StateStore::open_container() {
  TRY_ASSIGN(container,
             vmgs::storage::open_container(
                 settings_.path, {.access = Access::kReadWrite, .spacing = settings_.spacing}));
  TRY_ASSIGN(volume, Volume::open(*container.device, container.spacing));
  container_ = std::move(container);
  volume_ = std::move(volume);
  findings_.clear();
  TRY(expect_protection(settings_, *volume_));
  TRY(unlock());
  findings_ = volume_->findings();
  TRY(find_vm_id());

  // All is chosen and read before anything is written.
  TRY_ASSIGN(permanent,
             state::VolumeNvStore(*volume_, vm_id_, std::nullopt).load(BlobKind::kPermanent));
  if (!permanent) {
    return base::fail(ErrorCode::kNotFound,
                      "the store opens but holds no TPM state: it is never made anew, since every "
                      "secret sealed to the old TPM would be lost. Put the right store back, or "
                      "delete this one to begin a new VM");
  }
  TRY_ASSIGN(record, next_record());
  TRY(volume_->recover());
  if (unsealed_) {
    TRY(rotate(*record));
    record.reset();
  }
  blobs_.emplace(*volume_, vm_id_, record, settings_.barriers);
  return {};
}

base::Result<void> StateStore::unlock() {
  if (!volume_->encrypted()) {
    return {};
  }
  if (settings_.protection == Protection::kHost) {
    TRY_ASSIGN(key, host_key(settings_, false));
    return volume_->unlock(vmgs::volume::fixed_key(std::move(key)));
  }
  if (settings_.tee == nullptr || !settings_.vm_id) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "protection hardware needs a TEE and a launch document");
  }
  return volume_->unlock(
      [this](const vmgs::volume::ProtectorReader& read) -> base::Result<DatastoreKey> {
        auto sealed = read(FileId::kSealedKeys);
        if (!sealed) {
          return base::fail(std::move(sealed).error().context(
              "the VM's protection is hardware, but the store has no key sealed by hardware"));
        }
        TRY_ASSIGN(unsealed, sealing::unseal(*sealed, *settings_.tee, *settings_.vm_id));
        auto key = unsealed.key.clone();
        unsealed_ = std::move(unsealed);
        return key;
      });
}

base::Result<void> StateStore::find_vm_id() {
  if (settings_.vm_id) {
    vm_id_ = *settings_.vm_id;
    return {};
  }
  TRY_ASSIGN(content, volume_->read(FileId::kVmUniqueId));
  constexpr std::size_t kGuidBytes = 16;
  if (content.size() < kGuidBytes) {
    return base::fail(ErrorCode::kCorrupt, "VM_UNIQUE_ID (7) is too short for an id");
  }
  vm_id_ = vmgs::format::vm_id_of_guid(content.expose().first<kGuidBytes>());
  return {};
}

// The record of this boot: that of the last one with a new boot id. A plaintext store has none.
base::Result<std::optional<vmgs::format::Record>> StateStore::next_record() {
  if (!volume_->encrypted()) {
    return std::optional<vmgs::format::Record>{};
  }
  TRY_ASSIGN(record, record_of(*volume_, vm_id_));
  TRY(vmgs::crypto::random_bytes(record.boot_id));
  return std::optional<vmgs::format::Record>{std::move(record)};
}

// A root key of hardware lives for one boot: the next one is drawn here, sealed to the machine as
// it is now, proved in memory, and only then committed together with its protector.
base::Result<void> StateStore::rotate(const vmgs::format::Record& record) {
  TRY_ASSIGN(bytes, vmgs::crypto::random_secret<32>());
  DatastoreKey key{std::move(bytes)};
  TRY_ASSIGN(sealed, sealing::reseal(key, *settings_.tee, vm_id_, *unsealed_, settings_.tcb_grace));
  TRY(sealing::prove(sealed, *settings_.tee, vm_id_, key));
  const auto encoded = vmgs::format::encode_record(record);
  Transaction transaction(Sequence::kAdvance, vmgs::volume::Barriers::kTwo);
  transaction.put(FileId::kSealedKeys, sealed, vmgs::volume::Protection::kPlaintext);
  transaction.put(FileId::kRecord, encoded);
  TRY(volume_->rekey(std::move(key), transaction));
  unsealed_.reset();
  return {};
}

base::Result<void> StateStore::make(base::ByteView permanent_state) {
  if (settings_.vm_id) {
    vm_id_ = *settings_.vm_id;
  } else {
    TRY(vmgs::crypto::random_bytes(vm_id_.bytes));
  }

  std::optional<DatastoreKey> key;
  base::Bytes sealed;
  if (settings_.protection == Protection::kHost) {
    TRY_ASSIGN(host, host_key(settings_, true));
    key = std::move(host);
  } else if (settings_.protection == Protection::kHardware) {
    if (settings_.tee == nullptr) {
      return base::fail(ErrorCode::kInvalidArgument, "protection hardware needs a TEE");
    }
    TRY_ASSIGN(bytes, vmgs::crypto::random_secret<32>());
    key = DatastoreKey{std::move(bytes)};
    TRY_ASSIGN(made, sealing::seal(*key, *settings_.tee, vm_id_));
    TRY(sealing::prove(made, *settings_.tee, vm_id_, *key));
    sealed = std::move(made);
  } else if (settings_.protection != Protection::kNone) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        "protection " + std::string(name(settings_.protection)) + " is not available here");
  }

  const auto nvram = state::encode_first_state(vm_id_, permanent_state);
  const auto unique_id = vm_unique_id(vm_id_);
  vmgs::format::Record record;
  record.vm_id = vm_id_;
  TRY(vmgs::crypto::random_bytes(record.boot_id));
  const auto encoded_record = vmgs::format::encode_record(record);
  Transaction first(Sequence::kAdvance);
  first.put(FileId::kTpmNvram, nvram.expose());
  first.put(FileId::kVmUniqueId, unique_id, vmgs::volume::Protection::kPlaintext);
  if (key) {
    first.put(FileId::kRecord, encoded_record);
  }
  if (!sealed.empty()) {
    first.put(FileId::kSealedKeys, sealed, vmgs::volume::Protection::kPlaintext);
  }

  if (std::filesystem::exists(settings_.path)) {
    // A block device, or a file laid out beforehand: only a blank one is taken.
    TRY_ASSIGN(container,
               vmgs::storage::open_container(
                   settings_.path, {.access = Access::kReadWrite, .spacing = settings_.spacing}));
    const auto there = Volume::open(*container.device, container.spacing);
    if (there || there.error().code != ErrorCode::kNotFound) {
      return base::fail(ErrorCode::kDenied,
                        settings_.path.string() + " holds something already; nothing was changed");
    }
    TRY_ASSIGN(volume, Volume::format(*container.device, container.spacing, std::move(key), first));
    return serve(std::move(container), std::move(volume));
  }
  auto temporary = settings_.path;
  temporary += ".creating";
  TRY(remove_leftover(temporary));
  TRY_ASSIGN(container, vmgs::storage::create_container(
                            temporary, {.kind = settings_.new_kind,
                                        .store_bytes = settings_.new_store_bytes}));
  auto volume = Volume::format(*container.device, container.spacing, std::move(key), first);
  auto published = volume ? container.file->publish_as(settings_.path)
                          : base::Result<void>(base::fail(volume.error()));
  if (!published) {
    ::unlink(temporary.c_str());
    return published;
  }
  return serve(std::move(container), *std::move(volume));
}

base::Result<void> StateStore::serve(Container container, Volume volume) {
  container_ = std::move(container);
  volume_ = std::move(volume);
  blobs_.emplace(*volume_, vm_id_, std::nullopt, settings_.barriers);
  return {};
}

base::Result<std::optional<base::SecretBytes>> StateStore::load(BlobKind kind) {
  if (kind == BlobKind::kPermanent && failed_) {
    // What the disk holds is unknown since a commit failed: look at it as after a crash.
    blobs_.reset();
    volume_.reset();
    container_.reset();
    TRY(open_container());
    failed_ = false;
  }
  if (!blobs_) {
    return base::fail(ErrorCode::kUnavailable, "the store could not be opened again");
  }
  if (kind == BlobKind::kPermanent && container_->file != nullptr) {
    TRY(container_->file->still_named());
  }
  return blobs_->load(kind);
}

base::Result<void> StateStore::store(BlobKind kind, base::ByteView blob) {
  if (!blobs_) {
    return base::fail(ErrorCode::kUnavailable, "the store could not be opened again");
  }
  auto stored = blobs_->store(kind, blob);
  failed_ = failed_ || !stored;
  return stored;
}

base::Result<void> StateStore::remove(BlobKind kind) {
  if (!blobs_) {
    return base::fail(ErrorCode::kUnavailable, "the store could not be opened again");
  }
  auto removed = blobs_->remove(kind);
  failed_ = failed_ || !removed;
  return removed;
}

base::Result<void> StateStore::close() {
  if (!volume_) {
    return {};
  }
  TRY(volume_->close());
  return container_->file != nullptr ? container_->file->still_named() : base::Result<void>();
}

}  // namespace vtpm::boot
