// SPDX-License-Identifier: Apache-2.0
#include "vmgs/edit/capacity.h"

#include <algorithm>
#include <string>

#include "vmgs/format/vhd_footer.h"
#include "vmgs/volume/headers.h"
#include "vmgs/volume/volume.h"

namespace vmgs::edit {

namespace {

using format::FileId;

// A store whose end is where it will be: what lies beyond can still be read, and nothing new is
// placed there.
class ShrinkingDevice final : public storage::BlockDevice {
 public:
  explicit ShrinkingDevice(storage::BlockDevice& whole)
      : whole_(whole), size_bytes_(whole.size_bytes()) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return whole_.read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    return whole_.write(offset, bytes);
  }

  base::Result<void> flush() override { return whole_.flush(); }

  void end_at(std::uint64_t size_bytes) { size_bytes_ = size_bytes; }

 private:
  storage::BlockDevice& whole_;
  std::uint64_t size_bytes_;
};

// The ids whose blocks reach beyond the new end, the tables among them.
std::vector<FileId> beyond(const format::FileTable& table, std::uint64_t capacity_blocks) {
  std::vector<FileId> found;
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    if (const auto& entry = table[id]; entry && entry->end_block() > capacity_blocks) {
      found.push_back(id);
    }
  }
  return found;
}

base::Result<bool> older_reaches_beyond(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                        std::uint64_t capacity_blocks) {
  TRY_ASSIGN(slots, volume::read_header_slots(device, spacing));
  TRY_ASSIGN(order, volume::order_headers(slots));
  if (!order.older) {
    return false;
  }
  TRY_ASSIGN(older, volume::Generation::read(device, *order.older, *slots[*order.older].header));
  return older.table() && !beyond(*older.table(), capacity_blocks).empty();
}

}  // namespace

base::Result<void> check_capacity(std::uint64_t store_bytes) {
  if (store_bytes % format::kBlockBytes != 0 || store_bytes < format::kSmallestStoreBytes ||
      store_bytes > format::kMaxStoreBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      std::to_string(store_bytes) +
                          " bytes are no size of a store: it is a multiple of 4096 between " +
                          std::to_string(format::kSmallestStoreBytes) + " and " +
                          std::to_string(format::kMaxStoreBytes));
  }
  return {};
}

base::Result<std::vector<FileId>> vacate(storage::BlockDevice& device,
                                         format::HeaderSpacing spacing,
                                         const volume::DatastoreKey* key,
                                         std::uint64_t store_bytes) {
  TRY(check_capacity(store_bytes));
  const auto capacity = format::capacity_blocks(store_bytes);
  ShrinkingDevice shrinking(device);
  TRY_ASSIGN(volume, volume::Volume::open(shrinking, spacing));
  if (key != nullptr && volume.encrypted()) {
    TRY(volume.unlock(volume::fixed_key(key->clone())));
  }
  if (!volume.current().table()) {
    return base::fail(volume.current().table().error());
  }
  const auto outside = beyond(*volume.current().table(), capacity);
  TRY_ASSIGN(older_is_outside, older_reaches_beyond(device, spacing, capacity));
  if (outside.empty() && !older_is_outside) {
    return outside;
  }
  if (volume.locked()) {
    return base::fail(base::ErrorCode::kDenied,
                      "the store is encrypted and some of it lies beyond the new end: its key is "
                      "needed to move that");
  }
  shrinking.end_at(store_bytes);
  volume::Transaction moves(volume::Sequence::kKeep, volume::Barriers::kTwo);
  std::vector<FileId> moved;
  for (const auto id : outside) {
    if (format::is_content(id)) {
      moves.relocate(id);
      moved.push_back(id);
    } else if (id == FileId::kExtendedFileTable && !volume.encrypted()) {
      moves.relocate(id);
    }
  }
  TRY(volume.commit(moves));
  // The generation before still lies beyond; the one after this is the same state.
  TRY(volume.commit(volume::Transaction(volume::Sequence::kKeep, volume::Barriers::kTwo)));
  return moved;
}

// Of a store that shrinks the footer goes to its new place before the file ends there, so that a
// crash leaves a file that ends in one; the old one would lie in the middle of a store that grew.
base::Result<void> move_end(storage::ResizableDevice& whole, bool is_fixed_vhd,
                            std::uint64_t store_bytes) {
  if (!is_fixed_vhd) {
    TRY(whole.resize(store_bytes));
    return whole.flush();
  }
  base::Bytes raw(format::kVhdFooterBytes);
  TRY(whole.read(whole.size_bytes() - raw.size(), raw));
  TRY_ASSIGN(footer,
             format::decode_vhd_footer(format::VhdFooterBytes(raw.data(), format::kVhdFooterBytes),
                                       whole.size_bytes()));
  const auto old_bytes = footer.disk_bytes();
  TRY_ASSIGN(moved, format::resize_vhd_footer(footer, store_bytes));
  const auto file_bytes = store_bytes + format::kVhdFooterBytes;
  if (file_bytes > whole.size_bytes()) {
    TRY(whole.resize(file_bytes));
  }
  TRY(whole.write(store_bytes, base::view(moved.raw)));
  TRY(whole.flush());
  if (store_bytes > old_bytes) {
    TRY(whole.write(old_bytes, base::Bytes(format::kVhdFooterBytes)));
  }
  TRY(whole.resize(file_bytes));
  return whole.flush();
}

}  // namespace vmgs::edit
