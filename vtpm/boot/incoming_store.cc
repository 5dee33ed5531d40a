// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/incoming_store.h"

#include <system_error>

#include "vmgs/base/log.h"
#include "vmgs/storage/folder.h"

namespace vtpm::boot {

using engine::BlobKind;

namespace {

// The TPM is in the store by now, so its failure is none of the store's.
void remove_marker(const std::filesystem::path& store) {
  const auto marker = arriving_marker(store);
  std::error_code error;
  if (!std::filesystem::remove(marker, error)) {
    return;
  }
  if (const auto synced = vmgs::storage::sync_folder_of(marker); !synced) {
    base::log(base::LogLevel::kWarning, synced.error().message);
  }
}

}  // namespace

std::filesystem::path arriving_marker(const std::filesystem::path& store) {
  auto marker = store;
  marker += ".arriving";
  return marker;
}

base::Result<void> IncomingStore::expect_open() const {
  return closed_ ? base::fail(base::ErrorCode::kDenied, "the store was closed")
                 : base::Result<void>();
}

base::Result<std::optional<base::SecretBytes>> IncomingStore::load(BlobKind kind) {
  TRY(expect_open());
  if (!store_) {
    return std::optional<base::SecretBytes>();
  }
  return store_->load(kind);
}

base::Result<void> IncomingStore::store(BlobKind kind, base::ByteView blob) {
  TRY(expect_open());
  if (store_) {
    return store_->store(kind, blob);
  }
  if (kind != BlobKind::kPermanent) {
    return base::fail(base::ErrorCode::kDenied, "the permanent state has to arrive first");
  }
  if (may_create_ && !std::filesystem::exists(settings_.path)) {
    TRY_ASSIGN(made, StateStore::create(settings_, protector_, blob));
    store_ = std::move(made);
    remove_marker(settings_.path);
    return {};
  }
  auto opened = StateStore::open(settings_, protector_);
  if (!opened && opened.error().code == base::ErrorCode::kUnavailable) {
    return base::fail(std::move(opened).error().context(
        "the TPM cannot arrive here: its VM's source and destination cannot have one store, for "
        "the source has it open until it has ended. Give the destination a store of its own"));
  }
  if (!opened) {
    return base::fail(std::move(opened).error());
  }
  // A store whose first commit fails has no TPM of ours: the state still has to arrive.
  TRY((*opened)->store(kind, blob));
  store_ = *std::move(opened);
  return {};
}

base::Result<void> IncomingStore::arrives_by(const vmgs::format::VmId& vm_id,
                                             const Arrival& arrival) {
  if (configured_vm_id_ && *configured_vm_id_ != vm_id) {
    return base::fail(base::ErrorCode::kDenied, "this is the TPM of VM " + to_string(vm_id) +
                                                    ", and VM " + to_string(*configured_vm_id_) +
                                                    " awaits its own");
  }
  settings_.vm_id = vm_id;
  settings_.arrival = arrival;
  return {};
}

base::Result<void> IncomingStore::remove(BlobKind kind) {
  TRY(expect_open());
  return store_ ? store_->remove(kind) : base::Result<void>();
}

base::Result<std::optional<base::SecretBytes>> IncomingStore::load_flash() {
  TRY(expect_open());
  return store_ ? store_->load_flash() : std::optional<base::SecretBytes>();
}

base::Result<void> IncomingStore::store_flash(base::ByteView image) {
  TRY(expect_open());
  return store_ ? store_->store_flash(image)
                : base::fail(base::ErrorCode::kUnavailable, "the state has to arrive first");
}

base::Result<void> IncomingStore::close() {
  closed_ = true;
  return store_ ? store_->close() : base::Result<void>();
}

}  // namespace vtpm::boot
