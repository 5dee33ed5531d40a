// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/probe.h"

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "vtpm/tee/snp_tee.h"
#include "vtpm/tee/tdx_tee.h"

namespace vtpm::tee {

namespace {

bool is_missing(const KernelFile& device) {
  return device.error() == ENOENT || device.error() == ENODEV || device.error() == ENXIO;
}

base::Error refused(const char* path, const KernelFile& device) {
  const int error = device.error();
  const auto why =
      std::string("cannot open ") + path + ": " + std::generic_category().message(error);
  if (error == EACCES || error == EPERM) {
    return {base::ErrorCode::kDenied,
            why +
                "; give this user access to the device (a udev rule, or DeviceAllow= and a "
                "group in its systemd unit)"};
  }
  return {error == EBUSY ? base::ErrorCode::kUnavailable : base::ErrorCode::kIo, why};
}

}  // namespace

base::Result<std::unique_ptr<Tee>> probe(Kernel& kernel) {
  auto snp = KernelFile::open(kernel, kSnpDevice, O_RDWR);
  if (snp.is_open()) {
    return std::unique_ptr<Tee>(std::make_unique<SnpTee>(SnpTee::using_device(std::move(snp))));
  }
  if (!is_missing(snp)) {
    return base::fail(refused(kSnpDevice, snp));
  }
  auto tdx = KernelFile::open(kernel, kTdxDevice, O_RDWR);
  if (tdx.is_open()) {
    return std::unique_ptr<Tee>(std::make_unique<TdxTee>(TdxTee::using_device(std::move(tdx))));
  }
  if (!is_missing(tdx)) {
    return base::fail(refused(kTdxDevice, tdx));
  }
  return base::fail(base::ErrorCode::kUnavailable,
                    std::string("this machine offers no TEE: neither ") + kSnpDevice + " nor " +
                        kTdxDevice +
                        " exists. In a SEV-SNP guest load the module sev-guest, in a TDX guest "
                        "tdx-guest (modprobe). On an ordinary machine use protection 'host', or "
                        "vtpm-instance-sim to try the product with a simulated TEE");
}

}  // namespace vtpm::tee
