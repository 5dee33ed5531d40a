// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/tpm_state.h"

#include <algorithm>
#include <string>

#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/swtpm_blob.h"

namespace vmgs::format {

namespace {

constexpr std::array<std::byte, 4> kMagic = {std::byte{'S'}, std::byte{'R'}, std::byte{'T'},
                                             std::byte{'S'}};
constexpr std::uint16_t kVersion = 1;
constexpr std::uint16_t kVersionWithProtection = 2;
constexpr std::uint16_t kVersionOfImported = 3;

constexpr std::size_t kDigestedBytes = offsetof(TpmStateLayout, digest);

// Each of libtpms' blobs begins with a 16-bit version and one of these.
constexpr std::uint32_t kLibtpmsPermanentMagic = 0xAB364723;
constexpr std::uint32_t kLibtpmsVolatileMagic = 0x45637889;

// Sizes of the NV image of ms-tpm-20-ref as OpenHCL and its predecessor store it, and where its
// records begin: each has its whole size in front, a size of zero ends them.
constexpr std::size_t kReferenceImageBytes = 32768;
constexpr std::size_t kSmallReferenceImageBytes = 16384;
constexpr std::size_t kReferenceRecordsOffset = 3508;
constexpr std::size_t kSmallestReferenceRecord = 8;

bool begins_with_magic(base::ByteView bytes) {
  return bytes.size() >= kMagic.size() && std::equal(kMagic.begin(), kMagic.end(), bytes.begin());
}

crypto::Sha256Digest digest_of(base::ByteView front, base::ByteView blob) {
  return crypto::sha256({front.first(kDigestedBytes), blob});
}

std::uint32_t libtpms_magic(base::ByteView bytes) {
  base::Reader reader(bytes);
  return reader.u16_be() ? reader.u32_be().value_or(0) : 0;
}

TpmStateForm recognise_reference_image(base::ByteView bytes) {
  base::Reader reader(bytes.subspan(kReferenceRecordsOffset));
  bool any = false;
  for (;;) {
    const auto size = reader.u32_le();
    if (size && *size == 0) {
      return TpmStateForm::kReferenceImage;
    }
    if (!size || *size < kSmallestReferenceRecord || !reader.bytes(*size - sizeof *size)) {
      return any && bytes.size() == kSmallReferenceImageBytes ? TpmStateForm::kReferenceImageCut
                                                              : TpmStateForm::kUnknown;
    }
    any = true;
  }
}

base::Result<void> check_whole(const TpmStateLayout& raw, base::ByteView blob) {
  if (raw.length.value() != blob.size()) {
    return base::fail(base::ErrorCode::kCorrupt, "the TPM state was cut: it holds " +
                                                     std::to_string(blob.size()) + " of " +
                                                     std::to_string(raw.length.value()) + " bytes");
  }
  if (raw.digest != digest_of(base::view(raw), blob)) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "the TPM state is damaged: its digest does not fit");
  }
  return {};
}

}  // namespace

base::SecretBytes encode_tpm_state(const TpmState& state) {
  TpmStateLayout raw{};
  raw.magic = kMagic;
  raw.version = state.imported                                      ? kVersionOfImported
                : state.seed_protection == SeedProtection::kUnknown ? kVersion
                                                                    : kVersionWithProtection;
  raw.seed_protection = static_cast<std::uint8_t>(state.seed_protection);
  raw.kind = static_cast<std::uint8_t>(state.kind);
  raw.libtpms_version = state.libtpms_version;
  raw.vm_id = state.vm_id.bytes;
  raw.length = state.blob.size();
  raw.digest = digest_of(base::view(raw), state.blob);

  base::SecretBytes file(sizeof raw + state.blob.size());
  const auto front = base::view(raw);
  const auto out = std::copy(front.begin(), front.end(), file.fill().begin());
  std::copy(state.blob.begin(), state.blob.end(), out);
  return file;
}

base::Result<TpmState> decode_tpm_state(base::ByteView bytes) {
  const auto form = recognise_tpm_state(bytes);
  if (form != TpmStateForm::kOurs) {
    const bool known = form != TpmStateForm::kUnknown && form != TpmStateForm::kEmpty &&
                       form != TpmStateForm::kAllZero;
    return base::fail(known ? base::ErrorCode::kDenied : base::ErrorCode::kCorrupt,
                      "this is " + std::string(describe(form)) + ", and was left as it is");
  }
  base::Reader reader(bytes);
  const auto front = reader.layout<TpmStateLayout>();
  if (!front) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "the TPM state was cut: it ends inside its envelope");
  }
  const auto version = front->version.value();
  if (version < kVersion || version > kVersionOfImported) {
    return base::fail(base::ErrorCode::kDenied, "the TPM state has version " +
                                                    std::to_string(version) +
                                                    ", from a later release; use that one");
  }
  const auto blob = reader.rest();
  TRY(check_whole(*front, blob));
  const auto kind = static_cast<TpmStateKind>(front->kind);
  if (kind != TpmStateKind::kPermanent && kind != TpmStateKind::kVolatile) {
    return base::fail(base::ErrorCode::kCorrupt, "the TPM state is of no known kind");
  }
  const auto protection = static_cast<SeedProtection>(front->seed_protection);
  if (protection > SeedProtection::kTee ||
      (protection == SeedProtection::kUnknown) != (version == kVersion)) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "the TPM state says that its seeds had no known protection");
  }
  return TpmState{.kind = kind,
                  .libtpms_version = front->libtpms_version.value(),
                  .vm_id = VmId{front->vm_id},
                  .blob = blob,
                  .seed_protection = protection,
                  .imported = version == kVersionOfImported};
}

TpmStateForm recognise_tpm_state(base::ByteView bytes) {
  if (bytes.empty()) {
    return TpmStateForm::kEmpty;
  }
  if (base::is_all_zero(bytes)) {
    return TpmStateForm::kAllZero;
  }
  if (begins_with_magic(bytes)) {
    return TpmStateForm::kOurs;
  }
  if (const auto swtpm = decode_swtpm_blob(bytes); swtpm) {
    return TpmStateForm::kSwtpm;
  } else if (swtpm.error().code == base::ErrorCode::kDenied) {
    return TpmStateForm::kSwtpmEncrypted;
  }
  if (libtpms_magic(bytes) == kLibtpmsPermanentMagic) {
    return TpmStateForm::kLibtpmsPermanent;
  }
  if (libtpms_magic(bytes) == kLibtpmsVolatileMagic) {
    return TpmStateForm::kLibtpmsVolatile;
  }
  if (bytes.size() == kReferenceImageBytes || bytes.size() == kSmallReferenceImageBytes) {
    return recognise_reference_image(bytes);
  }
  return TpmStateForm::kUnknown;
}

std::string_view describe(TpmStateForm form) {
  switch (form) {
    case TpmStateForm::kOurs:
      return "a TPM state of ours";
    case TpmStateForm::kLibtpmsPermanent:
      return "a bare permanent state of libtpms, without an envelope";
    case TpmStateForm::kLibtpmsVolatile:
      return "a bare volatile state of libtpms, without an envelope";
    case TpmStateForm::kSwtpm:
      return "a TPM state in swtpm's form";
    case TpmStateForm::kSwtpmEncrypted:
      return "a TPM state in swtpm's form that cannot be opened here (encrypted, or of another "
             "version)";
    case TpmStateForm::kReferenceImage:
      return "a TPM state of OpenHCL (an NV image of ms-tpm-20-ref)";
    case TpmStateForm::kReferenceImageCut:
      return "a TPM state of OpenHCL (an NV image of ms-tpm-20-ref) whose last records are cut";
    case TpmStateForm::kEmpty:
      return "an empty file";
    case TpmStateForm::kAllZero:
      return "nothing but zeros";
    case TpmStateForm::kUnknown:
      break;
  }
  return "no TPM state that we know";
}

}  // namespace vmgs::format
