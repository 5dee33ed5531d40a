// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_certificates.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace keybroker::evidence {

namespace {

struct EntryLayout {
  SnpGuid guid;
  base::U32Le offset;
  base::U32Le length;
};

static_assert(sizeof(EntryLayout) == 24);

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "SNP certificate table: " + why);
}

// read_entries() reads up to the all-zero entry, which it leaves out.
base::Result<std::vector<EntryLayout>> read_entries(base::Reader& in) {
  std::vector<EntryLayout> entries;
  for (;;) {
    auto entry = in.layout<EntryLayout>();
    if (!entry) {
      return corrupt("has no entry that ends it");
    }
    if (base::is_all_zero(base::view(*entry))) {
      return entries;
    }
    if (entries.size() == kMaxSnpCertificates) {
      return corrupt("has more than 16 entries");
    }
    entries.push_back(*entry);
  }
}

base::Result<void> check_entry(const EntryLayout& entry, std::size_t header_bytes,
                               std::size_t table_bytes) {
  const std::uint64_t offset = entry.offset.value();
  const std::uint64_t length = entry.length.value();
  if (length > kMaxSnpCertificateBytes) {
    return corrupt("an object has " + std::to_string(length) + " bytes, at most 16384 are allowed");
  }
  // Both fields are 32 bits wide, so their sum cannot overflow 64.
  if (offset < header_bytes || offset + length > table_bytes) {
    return corrupt("an object lies outside the table's content");
  }
  return {};
}

base::Result<void> check_apart(std::vector<EntryLayout> entries) {
  std::ranges::sort(entries, {}, [](const EntryLayout& entry) { return entry.offset.value(); });
  for (std::size_t i = 1; i < entries.size(); ++i) {
    const std::uint64_t end =
        std::uint64_t{entries[i - 1].offset.value()} + entries[i - 1].length.value();
    if (end > entries[i].offset.value()) {
      return corrupt("two objects overlap");
    }
  }
  std::ranges::sort(entries, {}, &EntryLayout::guid);
  const auto twice = std::ranges::adjacent_find(entries, {}, &EntryLayout::guid);
  if (twice != entries.end()) {
    return corrupt("the object " + base::to_hex(twice->guid) + " appears twice");
  }
  return {};
}

}  // namespace

base::Result<std::vector<SnpCertificate>> decode_snp_certificates(base::ByteView table) {
  if (table.empty()) {
    return std::vector<SnpCertificate>();
  }
  base::Reader in(table);
  TRY_ASSIGN(entries, read_entries(in));
  TRY(check_apart(entries));
  std::vector<SnpCertificate> certificates;
  for (const auto& entry : entries) {
    TRY(check_entry(entry, in.offset(), table.size()));
    certificates.push_back(
        {entry.guid, base::copy_of(table.subspan(entry.offset.value(), entry.length.value()))});
  }
  return certificates;
}

base::Bytes encode_snp_certificates(const std::vector<SnpCertificate>& certificates) {
  base::Writer header;
  base::Writer content;
  const std::size_t header_bytes = (certificates.size() + 1) * sizeof(EntryLayout);
  for (const auto& certificate : certificates) {
    EntryLayout entry{};
    entry.guid = certificate.guid;
    entry.offset = static_cast<std::uint32_t>(header_bytes + content.size());
    entry.length = static_cast<std::uint32_t>(certificate.bytes.size());
    header.layout(entry);
    content.bytes(certificate.bytes);
  }
  header.layout(EntryLayout{});
  header.bytes(content.written());
  return std::move(header).take();
}

}  // namespace keybroker::evidence
