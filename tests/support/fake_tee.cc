// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_tee.h"

#include <algorithm>

#include "keybroker/evidence/snp_tcb.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/kdf.h"

namespace tests::support {

namespace {

namespace tee = vtpm::tee;

bool reaches(const tee::Svn& machine, const tee::Svn& wanted, tee::SvnLayout layout) {
  if (layout == tee::SvnLayout::kTdx) {
    return std::ranges::equal(machine, wanted, std::greater_equal<>());
  }
  const auto tcb = [&](const tee::Svn& svn) {
    keybroker::evidence::RawTcb raw{};
    std::copy_n(svn.begin(), raw.size(), raw.begin());
    return keybroker::evidence::decode_tcb(raw, layout == tee::SvnLayout::kSnpTurin
                                                    ? keybroker::evidence::TcbForm::kTurin
                                                    : keybroker::evidence::TcbForm::kMilanGenoa);
  };
  return keybroker::evidence::reaches(tcb(machine), tcb(wanted));
}

tee::Svn svn_of(std::string_view hex) {
  tee::Svn svn{};
  std::ranges::copy(*base::from_hex(hex), svn.begin());
  return svn;
}

tee::OwnReport machine_at(const tee::Svn& svn) {
  tee::OwnReport machine;
  machine.measurement.fill(std::byte{0xAA});
  machine.committed_svn = svn;
  machine.reported_svn = svn;
  return machine;
}

}  // namespace

FakeTee FakeTee::snp() {
  FakeTee fake;
  fake.machine = machine_at(svn_of("0300000000000873"));
  fake.machine.policy = 0x30000;
  std::fill_n(fake.machine.launch_digest.bytes.begin(), 32, std::byte{0xBB});
  return fake;
}

FakeTee FakeTee::tdx() {
  FakeTee fake;
  fake.machine =
      machine_at(svn_of("030103000000000000000000000000000303191b04ff00060000000000000000"));
  fake.machine.family = tee::TeeFamily::kTdx;
  fake.machine.svn_layout = tee::SvnLayout::kTdx;
  fake.machine.policy = 0x10000000;
  fake.machine.launch_digest.bytes.fill(std::byte{0xBB});
  return fake;
}

base::Result<tee::Evidence> FakeTee::report(const tee::ReportData& report_data) {
  if (report_fails) {
    return base::fail(*report_fails);
  }
  if (machine.family == tee::TeeFamily::kSevSnp) {
    TRY_ASSIGN(report, hardware_report(report_data));
    return tee::Evidence{.report = std::move(report), .certificates = {}};
  }
  return tee::Evidence{.report = base::copy_of(report_data), .certificates = {}};
}

base::Result<base::Bytes> FakeTee::hardware_report(const tee::ReportData& report_data) {
  ++reported;
  if (report_fails) {
    return base::fail(*report_fails);
  }
  const bool snp = machine.family == tee::TeeFamily::kSevSnp;
  base::Bytes raw(snp ? 1184 : 1024);
  std::ranges::copy(report_data, raw.begin() + (snp ? 0x50 : 128));
  return raw;
}

base::Result<tee::OwnReport> FakeTee::own_report() {
  if (report_fails) {
    return base::fail(*report_fails);
  }
  return machine;
}

base::Result<base::Secret<32>> FakeTee::derive_key(const tee::KeyBinding& binding) {
  ++derived;
  asked = binding;
  if (derive_fails) {
    return base::fail(*derive_fails);
  }
  if (!reaches(machine.committed_svn, binding.svn, machine.svn_layout)) {
    return base::fail(base::ErrorCode::kDenied, "the fake machine is older than that SVN");
  }
  if (fixed_key) {
    return base::Secret<32>::copy_of(*fixed_key);
  }
  base::Writer bound;
  bound.u8(chip);
  bound.u8(static_cast<std::uint8_t>(machine.family));
  bound.u8(static_cast<std::uint8_t>(binding.scheme));
  bound.u64_le(machine.policy);
  bound.bytes(binding.svn);
  if (binding.scheme != tee::KeyScheme::kOpenHclSigner) {
    bound.bytes(machine.measurement);
  }
  if (machine.family == tee::TeeFamily::kTdx && binding.scheme == tee::KeyScheme::kSealedKeys) {
    bound.bytes(machine.launch_digest.bytes);
  }
  return vmgs::crypto::derive<32>(base::bytes_of("secret of the fake chip"), {}, bound.written());
}

}  // namespace tests::support
