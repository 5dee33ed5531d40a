// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/whole_file.h"

#include <utility>

#include "tools/vmgs/store.h"
#include "vmgs/format/header_spacing.h"
#include "vmgs/storage/undoable_file.h"

namespace tools::vmgs {

namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

base::Result<WholeFile> open_whole_file(const StoreArguments& store, bool to_change,
                                        const UndoArguments& undo) {
  TRY_ASSIGN(opened, storage::FileDevice::open(store.path, to_change ? storage::Access::kReadWrite
                                                                     : storage::Access::kReadOnly));
  WholeFile result;
  result.patient.is_block_device = opened->is_block_device();
  result.patient.sector_bytes = opened->sector_bytes();
  if (store.sector_bytes != 0) {
    TRY_ASSIGN(spacing, ::vmgs::format::header_spacing_of(store.sector_bytes));
    result.patient.spacing = spacing;
  }
  if (to_change) {
    TRY_ASSIGN(undo_file, undo_file_for(store.path, undo));
    if (undo_file) {
      auto recorder = storage::undoable(std::move(opened), *undo_file);
      result.undo = recorder.get();
      result.device = std::move(recorder);
      return result;
    }
  }
  result.device = std::move(opened);
  return result;
}

base::Result<std::optional<volume::DatastoreKey>> read_key_of(const StoreArguments& store) {
  if (store.key.empty()) {
    return std::optional<volume::DatastoreKey>();
  }
  TRY_ASSIGN(key, read_store_key(store.key));
  return std::optional(std::move(key));
}

base::Result<std::optional<std::string>> carry_out(const WholeFile& file,
                                                   const StoreArguments& store,
                                                   const std::vector<::vmgs::repair::Step>& steps,
                                                   const cli::Output& output) {
  base::Result<void> applied;
  for (const auto& step : steps) {
    applied = ::vmgs::repair::apply(*file.device, step);
    if (!applied) {
      break;
    }
  }
  auto finished = finish_change(file.undo, store.path, output);
  if (!applied) {
    return base::fail(std::move(applied).error().context(store.path));
  }
  return finished;
}

}  // namespace tools::vmgs
