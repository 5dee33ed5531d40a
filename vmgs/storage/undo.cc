// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/undo.h"

#include <algorithm>
#include <utility>

#include "vmgs/crypto/running_digest.h"

namespace vmgs::storage {

namespace {

constexpr std::uint64_t kPieceBytes = kMostUndoRecordBytes;

base::Result<void> add_range(crypto::RunningSha256& digest, BlockDevice& device,
                             std::uint64_t offset, std::uint64_t end) {
  base::Bytes piece;
  while (offset < end) {
    piece.resize(std::min(kPieceBytes, end - offset));
    TRY(device.read(offset, piece));
    digest.add(piece);
    offset += piece.size();
  }
  return {};
}

// Digest of the file with the saved ranges laid over it and its old length. Nothing if the file is
// too short to be made the original again.
base::Result<std::optional<crypto::Sha256Digest>> digest_if_undone(BlockDevice& file,
                                                                   const UndoFile& undo,
                                                                   BlockDevice& undo_file) {
  crypto::RunningSha256 digest;
  std::uint64_t at = 0;
  const auto kept_until = [&](std::uint64_t end) -> base::Result<bool> {
    if (at < end && end > file.size_bytes()) {
      return false;
    }
    TRY(add_range(digest, file, at, end));
    return true;
  };
  for (const auto& range : undo.ranges) {
    TRY_ASSIGN(kept, kept_until(range.offset));
    if (!kept) {
      return std::optional<crypto::Sha256Digest>();
    }
    TRY(add_range(digest, undo_file, range.position, range.position + range.length));
    at = range.offset + range.length;
  }
  TRY_ASSIGN(kept, kept_until(undo.original_bytes));
  return kept ? std::optional(digest.finish()) : std::nullopt;
}

base::Result<void> note(UndoFileWriter& writer, UndoRecordKind kind, BlockDevice& undo_file) {
  TRY(writer.append(kind, 0, {}));
  return undo_file.flush();
}

}  // namespace

base::Result<crypto::Sha256Digest> digest_of(BlockDevice& device) {
  crypto::RunningSha256 digest;
  TRY(add_range(digest, device, 0, device.size_bytes()));
  return digest.finish();
}

base::Result<Undoing> examine_undo(BlockDevice& file, const UndoFile& undo, BlockDevice& undo_file,
                                   std::optional<std::uint64_t> identity) {
  TRY_ASSIGN(present, digest_of(file));
  if (file.size_bytes() == undo.original_bytes && present == undo.original_digest) {
    return Undoing::kNothing;
  }
  const bool is_result =
      undo.result && file.size_bytes() == undo.result->size_bytes && present == undo.result->digest;
  if (!is_result && undo.undone) {
    return base::fail(base::ErrorCode::kDenied,
                      "that change was undone already: what the file is now came later, and would "
                      "be destroyed");
  }
  if (!is_result && !undo.undo_begun && undo.result) {
    return base::fail(base::ErrorCode::kDenied,
                      "the file is not what that change left: it was written again since, and "
                      "undoing would destroy that, or it is another file");
  }
  if (!is_result && identity && undo.identity && *identity != *undo.identity) {
    return base::fail(base::ErrorCode::kDenied,
                      "the change was cut off in another file than this one. Undo it in that file "
                      "itself, not in a copy");
  }
  TRY_ASSIGN(undone, digest_if_undone(file, undo, undo_file));
  if (!undone || *undone != undo.original_digest) {
    return base::fail(base::ErrorCode::kDenied,
                      "the undo file does not give the original back: the file was written again "
                      "since, or it is another file");
  }
  return is_result ? Undoing::kWhole : Undoing::kUnfinished;
}

base::Result<Undoing> apply_undo(ResizableDevice& file, const UndoFile& undo,
                                 ResizableDevice& undo_file, Unfinished unfinished,
                                 std::optional<std::uint64_t> identity) {
  TRY_ASSIGN(undoing, examine_undo(file, undo, undo_file, identity));
  UndoFileWriter writer(undo_file, undo);
  if (undoing == Undoing::kNothing) {
    // Cut off before its first write, or once all was back.
    if (!undo.undone && (undo.undo_begun || !undo.result)) {
      TRY(note(writer, UndoRecordKind::kUndone, undo_file));
    }
    return undoing;
  }
  if (undoing == Undoing::kUnfinished && unfinished == Unfinished::kRefuse) {
    return base::fail(base::ErrorCode::kDenied,
                      "the change, or an undoing of it, was cut off, and nothing tells whether the "
                      "file was written since. Anything written since is lost if it is undone: say "
                      "--unfinished if nothing was");
  }
  if (undo.result && !undo.undo_begun) {
    // From here on the file may be neither, and the next attempt has to know that.
    TRY(note(writer, UndoRecordKind::kUndoBegun, undo_file));
  }
  if (file.size_bytes() < undo.original_bytes) {
    TRY(file.resize(undo.original_bytes));
  }
  base::Bytes old;
  for (const auto& range : undo.ranges) {
    old.resize(range.length);
    TRY(undo_file.read(range.position, old));
    TRY(file.write(range.offset, old));
  }
  if (file.size_bytes() != undo.original_bytes) {
    TRY(file.resize(undo.original_bytes));
  }
  TRY(file.flush());
  TRY_ASSIGN(digest, digest_of(file));
  if (digest != undo.original_digest) {
    return base::fail(base::ErrorCode::kIo,
                      "the original was written back but does not read so: look after the disk, "
                      "and undo again");
  }
  if (auto noted = note(writer, UndoRecordKind::kUndone, undo_file); !noted) {
    return base::fail(
        std::move(noted).error().context("the original is back, byte for byte, but the undo file "
                                         "cannot note that: do not use it again"));
  }
  return undoing;
}

}  // namespace vmgs::storage
