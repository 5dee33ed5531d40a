// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "vmgs/storage/resizable.h"
#include "vmgs/storage/undo_file.h"

namespace vmgs::storage {

// Where a recorder keeps what it saves.
struct UndoTarget {
  std::unique_ptr<ResizableDevice> device;  // empty
  std::filesystem::path path;               // what people call it
  // Tells the changed file from others, see identity_of(). Absent: undoing cannot tell.
  std::optional<std::uint64_t> identity = std::nullopt;
};

// UndoRecorder stands in front of a whole file, packaging included, and makes every change to it
// one that can be undone: before bytes are replaced or cut off for the first time they go to an
// undo file and are synced there. Nothing is made before the first write, so what is refused leaves
// nothing behind. Reads and flushes pass through. One owner.
//
// The change is over when finish() says so. Without it the undo file serves as well: it is taken
// for that of a change that was cut off.
class UndoRecorder final : public ResizableDevice {
 public:
  // `make` is called at most once, at the first write; its error is that of the write.
  UndoRecorder(std::unique_ptr<ResizableDevice> file,
               std::function<base::Result<UndoTarget>()> make)
      : file_(std::move(file)), make_(std::move(make)) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return file_->size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return file_->read(offset, out);
  }

  // Errors of the undo file come before any of the file's own: then nothing was written.
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;

  base::Result<void> flush() override { return file_->flush(); }

  base::Result<void> resize(std::uint64_t size_bytes) override;

  // finish() ends the change: it reads the file once more, notes its digest and syncs that. Nothing
  // may be written afterwards (kDenied). Without any write before, it does nothing. kIo.
  base::Result<void> finish();

  // path() is the undo file, if anything was written.
  [[nodiscard]] std::optional<std::filesystem::path> path() const {
    return target_ ? std::optional(target_->path) : std::nullopt;
  }

 private:
  base::Result<void> begin();
  base::Result<void> save(std::uint64_t offset, std::uint64_t count);

  std::unique_ptr<ResizableDevice> file_;
  std::function<base::Result<UndoTarget>()> make_;
  std::optional<UndoTarget> target_;
  std::optional<UndoFileWriter> writer_;
  std::uint64_t original_bytes_ = 0;
  std::set<std::uint64_t> saved_chunks_;  // by their offsets
  std::optional<base::Error> broken_;
  bool finished_ = false;
};

}  // namespace vmgs::storage
