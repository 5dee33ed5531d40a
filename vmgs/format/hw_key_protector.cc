// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/hw_key_protector.h"

#include <algorithm>

namespace vmgs::format {

namespace {

constexpr std::uint32_t kSnp = 0;
constexpr std::uint32_t kTdx = 1;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "HW_KEY_PROTECTOR: " + why);
}

// The fields that both versions have, but for their offsets.
template <typename Layout>
void write_common(Layout& raw, const HwKeyProtector& protector) {
  raw.version = protector.version;
  raw.length = static_cast<std::uint32_t>(sizeof(Layout));
  raw.mix_measurement = protector.mix_measurement ? 1 : 0;
  raw.iv = protector.iv;
  raw.ciphertext = protector.ciphertext;
  raw.hmac = protector.hmac;
}

template <typename Layout>
base::Result<HwKeyProtector> read_common(const Layout& raw) {
  if (raw.length.value() != sizeof(Layout)) {
    return corrupt("its length field says " + std::to_string(raw.length.value()) + ", it has " +
                   std::to_string(sizeof(Layout)) + " bytes");
  }
  if (raw.mix_measurement > 1) {
    return corrupt("mix_measurement is neither 0 nor 1");
  }
  if (!base::is_all_zero(raw.reserved)) {
    return corrupt("a reserved byte is not zero");
  }
  return HwKeyProtector{.version = raw.version.value(),
                        .tdx = false,
                        .svn = {},
                        .mix_measurement = raw.mix_measurement == 1,
                        .iv = raw.iv,
                        .ciphertext = raw.ciphertext,
                        .hmac = raw.hmac};
}

base::Result<HwKeyProtector> decode(const HwKeyProtectorV2Layout& raw) {
  if (raw.version.value() == 1) {
    return corrupt(
        "is of version 1, which no current program can open; start the VM once with the OpenHCL "
        "that wrote it, so that it is written again");
  }
  if (raw.version.value() != 2) {
    return corrupt("has 104 bytes but version " + std::to_string(raw.version.value()));
  }
  TRY_ASSIGN(protector, read_common(raw));
  std::ranges::copy(base::view(raw.tcb_version), protector.svn.begin());
  return protector;
}

base::Result<HwKeyProtector> decode(const HwKeyProtectorV3Layout& raw) {
  if (raw.version.value() != 3) {
    return corrupt("has 128 bytes but version " + std::to_string(raw.version.value()));
  }
  TRY_ASSIGN(protector, read_common(raw));
  if (raw.tee_type.value() != kSnp && raw.tee_type.value() != kTdx) {
    return corrupt("has the unknown TEE type " + std::to_string(raw.tee_type.value()));
  }
  if (raw.tee_type.value() == kSnp && !base::is_all_zero(std::span(raw.svn).subspan(8))) {
    return corrupt("has more than a TCB version in its SVN");
  }
  protector.tdx = raw.tee_type.value() == kTdx;
  protector.svn = raw.svn;
  return protector;
}

}  // namespace

base::Bytes encode(const HwKeyProtector& protector) {
  if (protector.version == 2) {
    HwKeyProtectorV2Layout raw{};
    write_common(raw, protector);
    raw.tcb_version = base::load<base::U64Le>(std::span(protector.svn).first<8>()).value();
    return base::copy_of(base::view(raw));
  }
  HwKeyProtectorV3Layout raw{};
  write_common(raw, protector);
  raw.tee_type = protector.tdx ? kTdx : kSnp;
  raw.svn = protector.svn;
  return base::copy_of(base::view(raw));
}

base::Result<HwKeyProtector> decode_hw_key_protector(base::ByteView bytes) {
  if (bytes.size() == sizeof(HwKeyProtectorV2Layout)) {
    return decode(
        base::load<HwKeyProtectorV2Layout>(bytes.first<sizeof(HwKeyProtectorV2Layout)>()));
  }
  if (bytes.size() == sizeof(HwKeyProtectorV3Layout)) {
    return decode(
        base::load<HwKeyProtectorV3Layout>(bytes.first<sizeof(HwKeyProtectorV3Layout)>()));
  }
  return corrupt("has " + std::to_string(bytes.size()) +
                 " bytes; version 2 has 104, version 3 has 128");
}

}  // namespace vmgs::format
