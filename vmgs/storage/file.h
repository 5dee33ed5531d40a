// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>

#include "vmgs/base/descriptor.h"
#include "vmgs/storage/resizable.h"

namespace vmgs::storage {

enum class Access { kReadOnly, kReadWrite };

// FileDevice is a regular file or a block device, locked for as long as it is open: a writer
// excludes everybody, a reader excludes writers. The lock is an open-file-description lock over the
// whole file (fcntl_locking(2)), so it dies with the process, conflicts with the image locks of
// QEMU, and is advisory: who does not ask does not notice. One owner, no locking inside.
class FileDevice final : public ResizableDevice {
 public:
  // open() opens what is there and takes the lock. To write, it drops what the page cache keeps of
  // the file, so that reads show what the disk holds even after another process's flush failed.
  // kNotFound, kDenied (permission, read-only file system), kUnavailable if another process has it
  // in use, kInvalidArgument for anything that is neither a regular file nor a block device, kIo.
  static base::Result<std::unique_ptr<FileDevice>> open(const std::filesystem::path& path,
                                                        Access access);

  // share() gives another descriptor of the open file, for a process that goes on with it: the lock
  // belongs to the open file and lasts until the last of its descriptors is closed. kIo.
  [[nodiscard]] base::Result<base::Descriptor> share() const;

  // adopt() goes on with what another process has opened to write at `path`, and shared. kDenied if
  // the path leads elsewhere; kInvalidArgument, kUnavailable and kIo as open().
  static base::Result<std::unique_ptr<FileDevice>> adopt(base::Descriptor file,
                                                         const std::filesystem::path& path);

  // create_preallocated() makes a file of `size_bytes` zeros, mode 0600, opened read-write and
  // locked. The zeros are written and synced, so that a later flush() waits for data only:
  // unwritten extents would double its cost. kDenied if the path exists. Nothing is left behind on
  // failure. The name is durable only after publish_as() or sync_folder_of().
  static base::Result<std::unique_ptr<FileDevice>> create_preallocated(
      const std::filesystem::path& path, std::uint64_t size_bytes);

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;
  base::Result<void> flush() override;
  base::Result<void> resize(std::uint64_t size_bytes) override;

  // belong_to_owner_of() gives the file to the user and group whom `other` belongs to, so that who
  // may read the one may read the other. Where only root could do that, it stays with this user.
  base::Result<void> belong_to_owner_of(const FileDevice& other);

  [[nodiscard]] bool is_block_device() const { return is_block_device_; }

  // sector_bytes() is the logical sector size: what a block device says, 512 for a file.
  [[nodiscard]] std::uint32_t sector_bytes() const { return sector_bytes_; }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // still_named() succeeds if the path still leads to the file that is open. kDenied if it was
  // removed or another one put in its place: what is written here would then be lost to whoever
  // opens the path next. Two system calls, little beside a flush: call it after each commit that
  // somebody relies on. It cannot see a replacement of the contents.
  [[nodiscard]] base::Result<void> still_named() const;

  // publish_as() is publish() from the name it was created under, which it then forgets. The lock
  // stays.
  base::Result<void> publish_as(const std::filesystem::path& final_path);

 private:
  FileDevice(base::Descriptor file, std::filesystem::path path, Access access);

  base::Result<void> find_size(const struct stat& opened);

  base::Descriptor file_;
  std::filesystem::path path_;
  Access access_;
  bool flush_failed_ = false;
  std::uint64_t size_bytes_ = 0;
  bool is_block_device_ = false;
  std::uint32_t sector_bytes_ = 512;
};

}  // namespace vmgs::storage
