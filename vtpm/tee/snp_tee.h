// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "keybroker/evidence/snp_report.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee/guarded_buffer.h"
#include "vtpm/tee/kernel.h"
#include "vtpm/tee/tee.h"

namespace vtpm::tee {

inline constexpr const char* kSnpDevice = "/dev/sev-guest";

// SnpTee asks the SNP firmware through Linux's sev-guest driver, which encrypts and numbers each
// message, so that the host can drop them but not change or replay them. A request that the host
// throttles is made again after a while, up to a bound; any other failure may cost the driver its
// message key until the VM is started anew, so nothing else is tried twice.
class SnpTee final : public Tee {
 public:
  // using_device() takes an open /dev/sev-guest. The kernel must outlive it.
  static SnpTee using_device(KernelFile device) { return SnpTee(std::move(device)); }

  // report() asks with the room for the host's certificates that it then turns out to need.
  base::Result<Evidence> report(const ReportData& report_data) override;
  base::Result<base::Bytes> hardware_report(const ReportData& report_data) override;
  base::Result<OwnReport> own_report() override;
  base::Result<base::Secret<32>> derive_key(const KeyBinding& binding) override;

 private:
  explicit SnpTee(KernelFile device) : device_(std::move(device)) {}

  // What a call came to that the kernel refused: errno, and what firmware and VMM say.
  struct Refusal {
    int error = 0;
    std::uint32_t firmware = 0;
    std::uint32_t vmm = 0;
  };

  Refusal call_once(unsigned long number, GuardedBuffer& request, GuardedBuffer& response);
  Refusal call(unsigned long number, GuardedBuffer& request, GuardedBuffer& response);
  static base::Error error_of(const Refusal& refusal, const char* what);

  base::Result<OwnReport> ask_own_report();

  KernelFile device_;
  std::optional<OwnReport> own_report_;
};

}  // namespace vtpm::tee
