// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/fixed_vhd.h"

#include <utility>

#include "vmgs/crypto/random.h"
#include "vmgs/storage/range.h"

namespace vmgs::storage {

using format::kVhdFooterBytes;

FixedVhdDevice::FixedVhdDevice(std::unique_ptr<BlockDevice> file, format::VhdFooter footer)
    : file_(std::move(file)), footer_(footer) {}

base::Result<std::unique_ptr<FixedVhdDevice>> FixedVhdDevice::open(
    std::unique_ptr<BlockDevice> file) {
  if (file->size_bytes() < kVhdFooterBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "shorter than a VHD footer");
  }
  std::array<std::byte, kVhdFooterBytes> last{};
  TRY(file->read(file->size_bytes() - kVhdFooterBytes, last));
  TRY_ASSIGN(footer, format::decode_vhd_footer(last, file->size_bytes()));
  return std::unique_ptr<FixedVhdDevice>(new FixedVhdDevice(std::move(file), footer));
}

base::Result<std::unique_ptr<FixedVhdDevice>> FixedVhdDevice::create(
    std::unique_ptr<BlockDevice> file) {
  if (file->size_bytes() < kVhdFooterBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument, "no room for a VHD footer");
  }
  std::array<std::byte, 16> unique_id{};
  TRY(crypto::random_bytes(unique_id));
  const std::uint64_t disk_bytes = file->size_bytes() - kVhdFooterBytes;
  TRY_ASSIGN(footer, format::make_vhd_footer(disk_bytes, unique_id));
  TRY(file->write(disk_bytes, base::view(footer.raw)));
  return std::unique_ptr<FixedVhdDevice>(new FixedVhdDevice(std::move(file), footer));
}

base::Result<void> FixedVhdDevice::read(std::uint64_t offset, std::span<std::byte> out) {
  TRY(require_inside(offset, out.size(), size_bytes()));
  return file_->read(offset, out);
}

base::Result<void> FixedVhdDevice::write(std::uint64_t offset, base::ByteView bytes) {
  TRY(require_inside(offset, bytes.size(), size_bytes()));
  return file_->write(offset, bytes);
}

}  // namespace vmgs::storage
