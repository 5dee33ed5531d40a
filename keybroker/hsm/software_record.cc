// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/software_record.h"

#include <string>
#include <string_view>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace keybroker::hsm {
namespace {

using namespace std::string_view_literals;

constexpr auto kPurpose = "strongroom.kek/1\0"sv;

struct SoftwareRecordLayout {
  std::uint8_t master_version;
  vmgs::crypto::AeadNonce nonce;
  std::array<std::byte, 32> ciphertext;
  vmgs::crypto::AeadTag tag;
};

static_assert(sizeof(SoftwareRecordLayout) == kSoftwareRecordBytes);

}  // namespace

base::Bytes encode(const SoftwareRecord& record) {
  return base::copy_of(base::view(
      SoftwareRecordLayout{record.master_version, record.nonce, record.ciphertext, record.tag}));
}

base::Result<SoftwareRecord> decode_software_record(base::ByteView bytes) {
  if (bytes.size() != kSoftwareRecordBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "the record of a software key has " +
                                                     std::to_string(kSoftwareRecordBytes) +
                                                     " bytes, not " + std::to_string(bytes.size()));
  }
  const auto layout = base::load<SoftwareRecordLayout>(bytes.first<kSoftwareRecordBytes>());
  if (layout.master_version == 0) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "the record of a software key names master key 0, which there is not");
  }
  return SoftwareRecord{layout.master_version, layout.nonce, layout.ciphertext, layout.tag};
}

base::Bytes software_record_context(std::uint8_t master_version, const Uuid& tenant) {
  base::Writer out;
  out.bytes(base::bytes_of(kPurpose));
  out.u8(master_version);
  out.bytes(tenant);
  return std::move(out).take();
}

}  // namespace keybroker::hsm
