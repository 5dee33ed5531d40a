// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/container.h"

#include <unistd.h>

#include <array>
#include <string>
#include <utility>

#include "vmgs/format/vhd_footer.h"
#include "vmgs/storage/fixed_vhd.h"
#include "vmgs/storage/undoable_file.h"

namespace vmgs::storage {

namespace {

using format::HeaderSpacing;
using format::SpacingEvidence;

tl::unexpected<base::Error> refused(base::ErrorCode code, std::string message) {
  return base::fail(code, std::move(message));
}

base::Result<base::Bytes> read_header_area(BlockDevice& device) {
  base::Bytes area(format::kHeaderAreaBytes);
  TRY(device.read(0, area));
  return area;
}

// Whether the file ends in a footer. Refuses other formats of the family, by name.
base::Result<bool> is_fixed_vhd(FileDevice& file) {
  std::array<std::byte, format::kVhdFooterBytes> first{};
  std::array<std::byte, format::kVhdFooterBytes> last{};
  TRY(file.read(0, first));
  TRY(file.read(file.size_bytes() - last.size(), last));
  if (format::has_vhdx_signature(std::span(first).first<8>())) {
    return refused(base::ErrorCode::kDenied,
                   "this is a VHDX file, another format: convert it to a fixed VHD first");
  }
  if (format::has_vhd_cookie(last)) {
    return true;
  }
  if (format::has_vhd_cookie(first)) {
    return refused(base::ErrorCode::kDenied,
                   "this begins like a dynamic or differencing VHD, and only fixed ones hold a "
                   "guest state: convert it to a fixed VHD first");
  }
  return false;
}

base::Result<HeaderSpacing> spacing_of_block_device(FileDevice& device) {
  TRY_ASSIGN(spacing, format::header_spacing_of(device.sector_bytes()));
  TRY_ASSIGN(area, read_header_area(device));
  const auto evidence = format::spacing_evidence(format::HeaderArea(area));
  const auto matching =
      spacing == HeaderSpacing::k512 ? SpacingEvidence::k512 : SpacingEvidence::k4096;
  if (evidence != SpacingEvidence::kNone && evidence != matching) {
    return refused(base::ErrorCode::kDenied,
                   "the device has sectors of " + std::to_string(bytes(spacing)) +
                       " bytes, but its headers lie as if it had others: the store was copied "
                       "here from a device of another kind. Copy it into a file and use that");
  }
  return spacing;
}

base::Result<HeaderSpacing> spacing_of(FileDevice& file, ContainerKind kind,
                                       const std::optional<HeaderSpacing>& wanted) {
  if (kind == ContainerKind::kRawFile && wanted) {
    return *wanted;
  }
  if (kind == ContainerKind::kRawFile) {
    TRY_ASSIGN(area, read_header_area(file));
    return format::detect_header_spacing(format::HeaderArea(area));
  }
  auto known = HeaderSpacing::k512;
  if (kind == ContainerKind::kBlockDevice) {
    TRY_ASSIGN(own, spacing_of_block_device(file));
    known = own;
  }
  if (wanted.value_or(known) != known) {
    return refused(base::ErrorCode::kDenied, "a " + std::string(name(kind)) + " with sectors of " +
                                                 std::to_string(bytes(known)) +
                                                 " bytes cannot be used with " +
                                                 std::to_string(bytes(*wanted)));
  }
  return known;
}

// Puts a recorder between the file and what is opened on it, if one is wanted.
std::unique_ptr<ResizableDevice> whole_file(Container& container,
                                            std::unique_ptr<FileDevice> opened,
                                            const std::optional<std::filesystem::path>& undo_file) {
  std::unique_ptr<ResizableDevice> whole;
  if (undo_file) {
    auto recorder = undoable(std::move(opened), *undo_file);
    container.undo = recorder.get();
    whole = std::move(recorder);
  } else {
    whole = std::move(opened);
  }
  container.whole = whole.get();
  return whole;
}

base::Result<Container> open_locked(std::unique_ptr<FileDevice> opened,
                                    const OpenOptions& options) {
  Container container;
  container.file = opened.get();
  if (opened->size_bytes() < format::kHeaderAreaBytes) {
    return refused(base::ErrorCode::kCorrupt,
                   "it is " + std::to_string(opened->size_bytes()) +
                       " bytes long, too short for a guest state: was it cut?");
  }
  if (opened->is_block_device()) {
    container.kind = ContainerKind::kBlockDevice;
  } else {
    if (opened->size_bytes() % format::kVhdSectorBytes != 0) {
      return refused(base::ErrorCode::kCorrupt,
                     "it is " + std::to_string(opened->size_bytes()) +
                         " bytes long, no whole number of sectors: was it cut, or added to?");
    }
    TRY_ASSIGN(is_vhd, is_fixed_vhd(*opened));
    container.kind = is_vhd ? ContainerKind::kFixedVhd : ContainerKind::kRawFile;
  }
  TRY_ASSIGN(spacing, spacing_of(*opened, container.kind, options.spacing));
  container.spacing = spacing;
  auto whole = whole_file(container, std::move(opened), options.undo_file);
  if (container.kind != ContainerKind::kFixedVhd) {
    container.device = std::move(whole);
    return container;
  }
  TRY_ASSIGN(disk, FixedVhdDevice::open(std::move(whole)));
  if (disk->size_bytes() < format::kHeaderAreaBytes) {
    return refused(base::ErrorCode::kCorrupt, "its VHD footer speaks of a disk of " +
                                                  std::to_string(disk->size_bytes()) +
                                                  " bytes, too short for a guest state");
  }
  container.device = std::move(disk);
  return container;
}

base::Result<void> check_create(const CreateOptions& options) {
  const auto wrong = [](std::string message) -> base::Result<void> {
    return refused(base::ErrorCode::kInvalidArgument, std::move(message));
  };
  if (options.kind == ContainerKind::kBlockDevice) {
    return wrong("a block device cannot be created, only opened");
  }
  if (options.kind == ContainerKind::kFixedVhd && options.spacing != HeaderSpacing::k512) {
    return wrong("a VHD has sectors of 512 bytes: choose a raw file for 4096");
  }
  if (options.store_bytes % format::kBlockBytes != 0) {
    return wrong("a store of " + std::to_string(options.store_bytes) +
                 " bytes: the size is a multiple of 4096");
  }
  if (options.store_bytes < format::kSmallestStoreBytes ||
      options.store_bytes > format::kMaxStoreBytes) {
    return wrong("a store of " + std::to_string(options.store_bytes) +
                 " bytes: the size lies between " + std::to_string(format::kSmallestStoreBytes) +
                 " and " + std::to_string(format::kMaxStoreBytes));
  }
  return {};
}

}  // namespace

std::string_view name(ContainerKind kind) {
  switch (kind) {
    case ContainerKind::kRawFile:
      return "raw";
    case ContainerKind::kFixedVhd:
      return "fixed-vhd";
    case ContainerKind::kBlockDevice:
      return "block-device";
  }
  return {};
}

base::Result<Container> open_container(const std::filesystem::path& path,
                                       const OpenOptions& options) {
  TRY_ASSIGN(opened, FileDevice::open(path, options.access));
  auto container = open_locked(std::move(opened), options);
  if (!container) {
    return base::fail(std::move(container).error().context(path.string()));
  }
  return container;
}

base::Result<Container> adopt_container(base::Descriptor file, const std::filesystem::path& path,
                                        std::optional<HeaderSpacing> spacing) {
  TRY_ASSIGN(adopted, FileDevice::adopt(std::move(file), path));
  auto container =
      open_locked(std::move(adopted), {.access = Access::kReadWrite, .spacing = spacing});
  if (!container) {
    return base::fail(std::move(container).error().context(path.string()));
  }
  return container;
}

base::Result<Container> create_container(const std::filesystem::path& path,
                                         const CreateOptions& options) {
  TRY(check_create(options));
  const bool is_vhd = options.kind == ContainerKind::kFixedVhd;
  const std::uint64_t file_bytes = options.store_bytes + (is_vhd ? format::kVhdFooterBytes : 0);
  TRY_ASSIGN(file, FileDevice::create_preallocated(path, file_bytes));
  Container container;
  container.file = file.get();
  container.whole = file.get();
  container.kind = options.kind;
  container.spacing = options.spacing;
  if (!is_vhd) {
    container.device = std::move(file);
    return container;
  }
  auto disk = FixedVhdDevice::create(std::move(file));
  auto made = disk ? (*disk)->flush() : base::Result<void>(base::fail(disk.error()));
  if (!made) {
    ::unlink(path.c_str());
    return base::fail(std::move(made).error());
  }
  container.device = *std::move(disk);
  return container;
}

}  // namespace vmgs::storage
