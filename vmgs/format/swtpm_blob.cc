// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/swtpm_blob.h"

#include <algorithm>
#include <optional>
#include <string>

#include "vmgs/base/cursor.h"

namespace vmgs::format {

namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::uint8_t kMinVersion = 1;

constexpr std::uint16_t kFlagEncrypted = 0x0001;
constexpr std::uint16_t kFlagMigrationEncrypted = 0x0002;
constexpr std::uint16_t kFlagMigration = 0x0004;

constexpr std::uint16_t kTagData = 1;
constexpr std::uint16_t kTagMigrationData = 4;

// Finds the first record with that tag among records that fill `bytes` exactly.
base::Result<base::ByteView> find_record(base::ByteView bytes, std::uint16_t tag) {
  base::Reader reader(bytes);
  std::optional<base::ByteView> found;
  while (!reader.empty()) {
    TRY_ASSIGN(record, reader.layout<SwtpmRecordLayout>());
    TRY_ASSIGN(data, reader.bytes(record.length.value()));
    if (record.tag.value() == tag && !found) {
      found = data;
    }
  }
  if (!found) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "swtpm blob has no record with tag " + std::to_string(tag));
  }
  return *found;
}

}  // namespace

base::Result<SwtpmBlob> decode_swtpm_blob(base::ByteView bytes) {
  base::Reader reader(bytes);
  TRY_ASSIGN(header, reader.layout<SwtpmHeaderLayout>());
  const std::size_t header_bytes = header.header_bytes.value();
  if (header.total_bytes.value() != bytes.size()) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob of " + std::to_string(bytes.size()) +
                                                     " bytes says it has " +
                                                     std::to_string(header.total_bytes.value()));
  }
  if (header_bytes < sizeof(SwtpmHeaderLayout) || header_bytes > bytes.size()) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob has no place for its header");
  }
  if (header.version < header.min_version) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob is older than it says it may be");
  }
  // Version 1 has no records; nothing since 2016 writes it.
  if (header.version < kVersion || header.min_version > kVersion) {
    return base::fail(base::ErrorCode::kDenied, "swtpm blob has version " +
                                                    std::to_string(header.version) +
                                                    "; only version 2 can be read");
  }
  const unsigned flags = header.flags.value();
  if ((flags & (kFlagEncrypted | kFlagMigrationEncrypted)) != 0) {
    return base::fail(base::ErrorCode::kDenied,
                      "the TPM state is encrypted under a key of swtpm's; export it from swtpm "
                      "without --key and --migration-key");
  }
  const auto records = bytes.subspan(header_bytes);
  if ((flags & kFlagMigration) == 0) {
    TRY_ASSIGN(state, find_record(records, kTagData));
    return SwtpmBlob{SwtpmUse::kFile, state};
  }
  TRY_ASSIGN(inner, find_record(records, kTagMigrationData));
  TRY_ASSIGN(state, find_record(inner, kTagData));
  return SwtpmBlob{SwtpmUse::kMigration, state};
}

base::SecretBytes encode_swtpm_blob(SwtpmUse use, base::ByteView state) {
  base::Writer front;
  const bool migration = use == SwtpmUse::kMigration;
  const std::size_t records = migration ? 2 : 1;
  const std::size_t total =
      sizeof(SwtpmHeaderLayout) + records * sizeof(SwtpmRecordLayout) + state.size();
  front.u8(kVersion);
  front.u8(kMinVersion);
  front.u16_be(sizeof(SwtpmHeaderLayout));
  front.u16_be(migration ? kFlagMigration : 0);
  front.u32_be(static_cast<std::uint32_t>(total));
  if (migration) {
    front.u16_be(kTagMigrationData);
    front.u32_be(static_cast<std::uint32_t>(sizeof(SwtpmRecordLayout) + state.size()));
  }
  front.u16_be(kTagData);
  front.u32_be(static_cast<std::uint32_t>(state.size()));

  base::SecretBytes blob(total);
  const auto out = std::copy(front.written().begin(), front.written().end(), blob.fill().begin());
  std::copy(state.begin(), state.end(), out);
  return blob;
}

}  // namespace vmgs::format
