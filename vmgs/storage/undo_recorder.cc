// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/undo_recorder.h"

#include <algorithm>

#include "vmgs/storage/range.h"
#include "vmgs/storage/undo.h"

namespace vmgs::storage {

namespace {

// What is saved around a write, so that a row of small writes does not wait for a sync each.
constexpr std::uint64_t kChunkBytes = 65536;

}  // namespace

base::Result<void> UndoRecorder::begin() {
  if (finished_) {
    return base::fail(base::ErrorCode::kDenied, "the change has ended; begin another one");
  }
  if (broken_) {
    return base::fail(base::Error(*broken_).context("nothing more is changed"));
  }
  if (target_) {
    return {};
  }
  original_bytes_ = file_->size_bytes();
  TRY_ASSIGN(digest, digest_of(*file_));
  TRY_ASSIGN(target, make_());
  target_ = std::move(target);
  auto writer = UndoFileWriter::begin(*target_->device, original_bytes_, digest);
  if (!writer) {
    broken_ = writer.error();
    return base::fail(std::move(writer).error());
  }
  writer_ = *std::move(writer);
  if (target_->identity) {
    if (auto noted = writer_->append(UndoRecordKind::kIdentity, *target_->identity, {}); !noted) {
      broken_ = noted.error();
      return noted;
    }
  }
  return {};
}

base::Result<void> UndoRecorder::save(std::uint64_t offset, std::uint64_t count) {
  const auto end =
      std::min(original_bytes_, (offset + count + kChunkBytes - 1) / kChunkBytes * kChunkBytes);
  bool added = false;
  for (auto at = offset / kChunkBytes * kChunkBytes; at < end;) {
    const auto chunk_end = std::min(at + kChunkBytes, end);
    if (!saved_chunks_.contains(at)) {
      base::Bytes old(chunk_end - at);
      TRY(file_->read(at, old));
      TRY(writer_->append(UndoRecordKind::kOldBytes, at, old));
      saved_chunks_.insert(at);
      added = true;
    }
    at = chunk_end;
  }
  return added ? target_->device->flush() : base::Result<void>();
}

base::Result<void> UndoRecorder::write(std::uint64_t offset, base::ByteView bytes) {
  TRY(require_inside(offset, bytes.size(), size_bytes()));
  TRY(begin());
  if (auto saved = save(offset, bytes.size()); !saved) {
    broken_ = std::move(saved).error().context("cannot keep the old bytes, so none are replaced");
    return base::fail(*broken_);
  }
  return file_->write(offset, bytes);
}

base::Result<void> UndoRecorder::resize(std::uint64_t size_bytes) {
  TRY(begin());
  if (size_bytes < file_->size_bytes()) {
    if (auto saved = save(size_bytes, file_->size_bytes() - size_bytes); !saved) {
      broken_ = saved.error();
      return saved;
    }
  }
  return file_->resize(size_bytes);
}

base::Result<void> UndoRecorder::finish() {
  if (!target_ || finished_) {
    return {};
  }
  finished_ = true;
  TRY(file_->flush());
  TRY_ASSIGN(digest, digest_of(*file_));
  TRY(writer_->append(UndoRecordKind::kClosed, file_->size_bytes(), digest));
  return target_->device->flush();
}

}  // namespace vmgs::storage
