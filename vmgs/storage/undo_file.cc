// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/undo_file.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

namespace vmgs::storage {

namespace {

constexpr std::array<char, 8> kMagic = {'S', 'R', 'M', 'U', 'N', 'D', 'O', '\0'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kDigestBytes = sizeof(crypto::Sha256Digest);

tl::unexpected<base::Error> corrupt(std::string message) {
  return base::fail(base::ErrorCode::kCorrupt, std::move(message));
}

crypto::Sha256Digest header_digest(const UndoHeaderLayout& header) {
  return crypto::sha256(
      base::ByteView(base::view(header)).first(offsetof(UndoHeaderLayout, digest)));
}

base::Result<UndoFile> read_header(BlockDevice& device) {
  if (device.size_bytes() < sizeof(UndoHeaderLayout)) {
    return corrupt("it is too short for an undo file");
  }
  std::array<std::byte, sizeof(UndoHeaderLayout)> raw{};
  TRY(device.read(0, raw));
  const auto header = base::load<UndoHeaderLayout>(raw);
  if (std::memcmp(header.magic.data(), kMagic.data(), kMagic.size()) != 0) {
    return corrupt("it is no undo file");
  }
  if (header.version.value() != kVersion) {
    return corrupt("it is an undo file of version " + std::to_string(header.version.value()) +
                   ", which a newer program wrote");
  }
  if (header_digest(header) != header.digest) {
    return corrupt("the header of the undo file is damaged");
  }
  UndoFile file;
  file.original_bytes = header.original_bytes.value();
  file.original_digest = header.original_digest;
  file.whole_bytes = sizeof(UndoHeaderLayout);
  file.last_digest = header.digest;
  return file;
}

struct Record {
  UndoRecordKind kind;
  std::uint64_t offset = 0;
  std::uint64_t position = 0;
  base::Bytes data;
};

// The record behind the last whole one. Nothing if there is no whole one.
base::Result<std::optional<Record>> read_record(BlockDevice& device, UndoFile& file) {
  const auto left = device.size_bytes() - file.whole_bytes;
  if (left < sizeof(UndoRecordLayout) + kDigestBytes) {
    return std::optional<Record>();
  }
  std::array<std::byte, sizeof(UndoRecordLayout)> head{};
  TRY(device.read(file.whole_bytes, head));
  const auto layout = base::load<UndoRecordLayout>(head);
  const auto length = layout.length.value();
  if (length > kMostUndoRecordBytes || length > left - head.size() - kDigestBytes) {
    return std::optional<Record>();
  }
  Record record{static_cast<UndoRecordKind>(layout.kind.value()), layout.offset.value(),
                file.whole_bytes + head.size(), base::Bytes(length)};
  TRY(device.read(record.position, record.data));
  crypto::Sha256Digest digest{};
  TRY(device.read(record.position + length, digest));
  if (crypto::sha256({file.last_digest, head, record.data}) != digest) {
    return std::optional<Record>();
  }
  file.last_digest = digest;
  file.whole_bytes = record.position + length + kDigestBytes;
  return std::optional(std::move(record));
}

base::Result<void> take(UndoFile& file, const Record& record) {
  switch (record.kind) {
    case UndoRecordKind::kOldBytes:
      if (file.result || file.undone || record.data.empty() ||
          record.offset >= file.original_bytes ||
          record.data.size() > file.original_bytes - record.offset) {
        break;
      }
      file.ranges.push_back({record.offset, record.data.size(), record.position});
      return {};
    case UndoRecordKind::kClosed: {
      if (file.result || record.data.size() != kDigestBytes) {
        break;
      }
      UndoFile::Result result{record.offset, {}};
      std::copy(record.data.begin(), record.data.end(), result.digest.begin());
      file.result = result;
      return {};
    }
    case UndoRecordKind::kUndoBegun:
      if (!record.data.empty()) {
        break;
      }
      file.undo_begun = true;
      file.undone = false;
      return {};
    case UndoRecordKind::kUndone:
      if (!record.data.empty()) {
        break;
      }
      file.undo_begun = false;
      file.undone = true;
      return {};
    case UndoRecordKind::kIdentity:
      if (file.identity || !file.ranges.empty() || !record.data.empty()) {
        break;
      }
      file.identity = record.offset;
      return {};
  }
  return corrupt("a record of the undo file contradicts the others");
}

}  // namespace

base::Result<UndoFile> read_undo_file(BlockDevice& device) {
  TRY_ASSIGN(file, read_header(device));
  for (;;) {
    TRY_ASSIGN(record, read_record(device, file));
    if (!record) {
      break;
    }
    TRY(take(file, *record));
  }
  file.torn = file.whole_bytes != device.size_bytes();
  std::sort(file.ranges.begin(), file.ranges.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < file.ranges.size(); ++i) {
    if (file.ranges[i].offset - file.ranges[i - 1].offset < file.ranges[i - 1].length) {
      return corrupt("two records of the undo file save the same bytes");
    }
  }
  return file;
}

base::Result<UndoFileWriter> UndoFileWriter::begin(ResizableDevice& device,
                                                   std::uint64_t original_bytes,
                                                   const crypto::Sha256Digest& original_digest) {
  UndoHeaderLayout header{};
  std::memcpy(header.magic.data(), kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.original_bytes = original_bytes;
  header.original_digest = original_digest;
  header.digest = header_digest(header);
  UndoFileWriter writer(device);
  TRY(writer.put(base::view(header)));
  writer.digest_ = header.digest;
  return writer;
}

base::Result<void> UndoFileWriter::append(UndoRecordKind kind, std::uint64_t offset,
                                          base::ByteView data) {
  UndoRecordLayout head{};
  head.kind = static_cast<std::uint32_t>(kind);
  head.offset = offset;
  head.length = data.size();
  const auto digest = crypto::sha256({digest_, base::view(head), data});
  base::Bytes record;
  for (const base::ByteView part :
       {base::ByteView(base::view(head)), data, base::ByteView(digest)}) {
    record.insert(record.end(), part.begin(), part.end());
  }
  TRY(put(record));
  digest_ = digest;
  return {};
}

base::Result<void> UndoFileWriter::put(base::ByteView bytes) {
  // What a crash left behind the last whole record is written over, and cut off.
  TRY(device_->resize(end_ + bytes.size()));
  TRY(device_->write(end_, bytes));
  end_ += bytes.size();
  return {};
}

}  // namespace vmgs::storage
