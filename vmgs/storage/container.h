// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "vmgs/base/descriptor.h"
#include "vmgs/format/header_spacing.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/storage/file.h"
#include "vmgs/storage/undo_recorder.h"

namespace vmgs::storage {

// What a store is wrapped in.
enum class ContainerKind { kRawFile, kFixedVhd, kBlockDevice };

// name() is "raw", "fixed-vhd" or "block-device": stable, for JSON.
std::string_view name(ContainerKind kind);

// Container is an opened or newly made store before anybody looked at what is in it.
struct Container {
  std::unique_ptr<BlockDevice> device;  // the room for the store, without packaging
  FileDevice* file = nullptr;        // the locked file underneath, there for as long as `device` is
  UndoRecorder* undo = nullptr;      // in front of the file if the options asked for one
  ResizableDevice* whole = nullptr;  // the file with its packaging, through the recorder if any
  ContainerKind kind = ContainerKind::kRawFile;
  format::HeaderSpacing spacing = format::HeaderSpacing::k512;
};

struct OpenOptions {
  Access access = Access::kReadOnly;

  // The sector size that a raw file's store was formatted with, if the caller knows. For a VHD and
  // a block device it is known anyway, and a contradiction is refused.
  std::optional<format::HeaderSpacing> spacing = std::nullopt;

  // Where to keep what is overwritten: a file of that name (or of that name and -2, -3 if it is
  // taken) is made at the first write. Whoever has changed the store calls undo->finish().
  std::optional<std::filesystem::path> undo_file = std::nullopt;
};

// open_container() opens and locks the file or block device at `path` and finds out how it is
// packaged and how far apart its headers lie:
// - a file that ends in a fixed-VHD footer: spacing 512, always;
// - any other file: raw, spacing by options or by detect_header_spacing();
// - a block device: its logical sector size, and kDenied if the headers in it lie otherwise.
// kDenied for dynamic and differencing VHDs and for VHDX, which are other formats; kCorrupt for a
// damaged footer, a length that is no multiple of 512, and less than two blocks; and the errors of
// FileDevice::open(). Nothing is written.
base::Result<Container> open_container(const std::filesystem::path& path,
                                       const OpenOptions& options);

// adopt_container() does so with a file that another process has opened to write at `path`, and
// shared (FileDevice::adopt()).
base::Result<Container> adopt_container(base::Descriptor file, const std::filesystem::path& path,
                                        std::optional<format::HeaderSpacing> spacing);

struct CreateOptions {
  ContainerKind kind = ContainerKind::kFixedVhd;  // or kRawFile
  std::uint64_t store_bytes = format::kDefaultStoreBytes;
  format::HeaderSpacing spacing = format::HeaderSpacing::k512;  // k4096 for raw files only
};

// create_container() makes a new file with room for `store_bytes`, blank (all zero) and synced;
// with its footer a fixed VHD is 512 bytes longer. It is meant to be formatted under a temporary
// name and then given its own by FileDevice::publish_as(). kInvalidArgument for a size that is not
// whole blocks or outside the format's limits, or options that contradict each other; kDenied if
// the path exists; nothing is left behind on failure.
base::Result<Container> create_container(const std::filesystem::path& path,
                                         const CreateOptions& options);

}  // namespace vmgs::storage
