// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include "vmgs/storage/container.h"
#include "vtpm/boot/state_store.h"

// How an open store passes to another process.
namespace vtpm::boot {

using base::ErrorCode;

base::Result<StateStore::HandedOver> StateStore::hand_over() const {
  TRY(expect_owned());
  if (failed_) {
    return base::fail(ErrorCode::kDenied,
                      "what the disk holds is unknown since a commit failed: restart the VM");
  }
  TRY_ASSIGN(file, container_->file->share());
  return HandedOver{.file = std::move(file),
                    .header_sequence = volume_->current().header().sequence,
                    .vm_id = vm_id_,
                    .boot_id = boot_id_};
}

void StateStore::abandon() {
  closed_ = true;
  let_go();
}

base::Result<std::unique_ptr<StateStore>> StateStore::take_over(StoreSettings settings,
                                                                Protector& protector,
                                                                HandedOver handed) {
  settings.vm_id = handed.vm_id;
  settings.boot_id = handed.boot_id;
  TRY_ASSIGN(container, vmgs::storage::adopt_container(std::move(handed.file), settings.path,
                                                       settings.spacing));
  std::unique_ptr<StateStore> store(new StateStore(std::move(settings), protector, nullptr));
  TRY(store->draw_boot_id());
  TRY(store->open_in(std::move(container), handed.header_sequence));
  return store;
}

}  // namespace vtpm::boot
