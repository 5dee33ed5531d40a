// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmgs/base/layout.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/resizable.h"

namespace vmgs::storage {

// An undo file holds what a change took away from a file, so that the file can be put back byte for
// byte. It is a header and then records, each of them appended and synced before the bytes it saves
// are overwritten. Every record ends in a SHA-256 over the digest before it, its own head and its
// data, so a record is there whole, in its place, or not at all. What it holds is as secret as the
// file itself.

struct UndoHeaderLayout {
  std::array<std::byte, 8> magic;  // "SRMUNDO" and a zero
  base::U32Le version;             // 1
  base::U32Le reserved;
  base::U64Le original_bytes;  // the file's length before the change
  crypto::Sha256Digest original_digest;
  crypto::Sha256Digest digest;  // of all that stands above
};

static_assert(sizeof(UndoHeaderLayout) == 88);

enum class UndoRecordKind : std::uint32_t {
  kOldBytes = 1,   // data: what lay at `offset`
  kClosed = 2,     // the change ended; data: SHA-256 of its result, `offset`: the result's length
  kUndoBegun = 3,  // since then the file may be partly put back; no data
  kUndone = 4,     // the original is back, so what the file becomes now is later; no data
  kIdentity = 5,   // `offset`: the identity of the file that is changed; no data
};

// What stands before the data of a record; its digest (32 bytes) stands behind.
struct UndoRecordLayout {
  base::U32Le kind;
  base::U32Le reserved;
  base::U64Le offset;
  base::U64Le length;  // of the data
};

static_assert(sizeof(UndoRecordLayout) == 24);

inline constexpr std::uint64_t kMostUndoRecordBytes = std::uint64_t{1} << 20;

// UndoFile is an undo file that was read: its records, the data left where it lies.
struct UndoFile {
  struct Range {
    std::uint64_t offset;    // in the original file
    std::uint64_t length;    // at most kMostUndoRecordBytes
    std::uint64_t position;  // of the old bytes in the undo file
  };

  struct Result {
    std::uint64_t size_bytes;
    crypto::Sha256Digest digest;
  };

  std::uint64_t original_bytes = 0;
  crypto::Sha256Digest original_digest{};
  std::vector<Range> ranges;              // ascending and apart, all inside the original
  std::optional<Result> result;           // absent if the change never ended
  std::optional<std::uint64_t> identity;  // of the file that was changed, if it was known
  bool undo_begun = false;                // and neither undone nor begun again since
  bool undone = false;                    // and not begun again since
  bool torn = false;                      // something that is no whole record follows
  std::uint64_t whole_bytes = 0;          // where the last whole record ends
  crypto::Sha256Digest last_digest{};     // of that record
};

// read_undo_file() reads and checks all records. kCorrupt if the header is not whole or a whole
// record contradicts it; records from the first torn one on are left out. kIo.
base::Result<UndoFile> read_undo_file(BlockDevice& device);

// UndoFileWriter appends records to an undo file. After a failure it takes no more.
class UndoFileWriter {
 public:
  // begin() writes the header into an empty device.
  static base::Result<UndoFileWriter> begin(ResizableDevice& device, std::uint64_t original_bytes,
                                            const crypto::Sha256Digest& original_digest);

  // Goes on behind the last whole record of a file that was read.
  UndoFileWriter(ResizableDevice& device, const UndoFile& read)
      : device_(&device), end_(read.whole_bytes), digest_(read.last_digest) {}

  // append() adds one record. Durable after the device's next flush().
  base::Result<void> append(UndoRecordKind kind, std::uint64_t offset, base::ByteView data);

 private:
  explicit UndoFileWriter(ResizableDevice& device) : device_(&device) {}

  base::Result<void> put(base::ByteView bytes);

  ResizableDevice* device_;
  std::uint64_t end_ = 0;
  crypto::Sha256Digest digest_{};
};

}  // namespace vmgs::storage
