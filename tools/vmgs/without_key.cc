// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/without_key.h"

#include <string>

#include "vmgs/format/file_id.h"
#include "vmgs/volume/headers.h"

namespace tools::vmgs {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

base::Result<void> check_without_key(const OpenStore& store, const UndoArguments& undo) {
  if (!store.volume.locked() || keeps_undo(store.container.file->path().string(), undo)) {
    return {};
  }
  const auto& container = store.container;
  TRY_ASSIGN(slots, volume::read_header_slots(*container.device, container.spacing));
  TRY_ASSIGN(order, volume::order_headers(slots));
  if (!order.older) {
    return {};
  }
  TRY_ASSIGN(older, volume::Generation::read(*container.device, *order.older,
                                             *slots[*order.older].header));
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<format::FileId>(i);
    if (format::is_content(id) && !store.volume.current().shares(older, id)) {
      return base::fail(base::ErrorCode::kDenied,
                        std::string("only the key tells whether the newest commit is whole, and "
                                    "this would write over the one before it: ") +
                            (undo.none ? "leave --no-undo out"
                                       : "say with --undo-file where to keep what is overwritten") +
                            ", or give the key");
    }
  }
  return {};
}

}  // namespace tools::vmgs
