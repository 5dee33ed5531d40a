// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/record.h"

#include <algorithm>

#include "vmgs/base/cursor.h"

namespace vmgs::format {

namespace {

constexpr std::string_view kMagic = "SRRC";
constexpr std::uint32_t kVersion = 1;

void write_anchor(base::Writer& out, const std::optional<Anchor>& anchor) {
  const auto value = anchor.value_or(Anchor{});
  out.u8(anchor ? 1 : 0);
  out.u64_le(value.epoch);
  out.u64_le(value.sequence);
  out.bytes(value.digest);
}

base::Result<std::optional<Anchor>> read_anchor(base::Reader& in) {
  TRY_ASSIGN(present, in.u8());
  Anchor anchor;
  TRY_ASSIGN(epoch, in.u64_le());
  TRY_ASSIGN(sequence, in.u64_le());
  TRY_ASSIGN(digest, in.layout<decltype(Anchor::digest)>());
  anchor = {epoch, sequence, digest};
  if (present == 0 && anchor == Anchor{}) {
    return std::optional<Anchor>{};
  }
  if (present != 1) {
    return base::fail(base::ErrorCode::kCorrupt, "anchor is neither present nor absent");
  }
  return std::optional<Anchor>{anchor};
}

}  // namespace

base::Bytes encode_record(const Record& record) {
  base::Writer out;
  out.bytes(base::bytes_of(kMagic));
  out.u32_le(kVersion);
  out.bytes(record.vm_id.bytes);
  out.u64_le(record.epoch);
  out.bytes(record.boot_id);
  write_anchor(out, record.acked);
  write_anchor(out, record.pending);
  out.u64_le(record.offline_boots);
  out.u64_le(record.restores);
  out.u32_le(static_cast<std::uint32_t>(record.receipt.size()));
  out.bytes(record.receipt);
  return std::move(out).take();
}

base::Result<Record> decode_record(base::ByteView bytes) {
  base::Reader in(bytes);
  TRY_ASSIGN(magic, in.bytes(kMagic.size()));
  if (!std::ranges::equal(magic, base::bytes_of(kMagic))) {
    return base::fail(base::ErrorCode::kCorrupt, "no RECORD magic");
  }
  TRY_ASSIGN(version, in.u32_le());
  if (version != kVersion) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "RECORD version " + std::to_string(version) + " is not known here");
  }
  Record record;
  TRY_ASSIGN(vm_id, in.layout<decltype(VmId::bytes)>());
  TRY_ASSIGN(epoch, in.u64_le());
  TRY_ASSIGN(boot_id, in.layout<BootId>());
  TRY_ASSIGN(acked, read_anchor(in));
  TRY_ASSIGN(pending, read_anchor(in));
  TRY_ASSIGN(offline_boots, in.u64_le());
  TRY_ASSIGN(restores, in.u64_le());
  TRY_ASSIGN(receipt_bytes, in.u32_le());
  if (receipt_bytes > kMaxReceiptBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "receipt is longer than any receipt is");
  }
  TRY_ASSIGN(receipt, in.bytes(receipt_bytes));
  TRY(in.expect_end());
  return Record{{vm_id},       epoch,   boot_id, acked, pending, base::copy_of(receipt),
                offline_boots, restores};
}

}  // namespace vmgs::format
