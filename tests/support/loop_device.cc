// SPDX-License-Identifier: Apache-2.0
#include "tests/support/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string>

namespace tests::support {

LoopDevice::LoopDevice(const std::filesystem::path& backing, std::uint32_t sector_bytes) {
  const base::Descriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  const base::Descriptor file(::open(backing.c_str(), O_RDWR | O_CLOEXEC));
  if (!control.is_open() || !file.is_open()) {
    return;
  }

  struct loop_config config {};

  config.fd = static_cast<std::uint32_t>(file.number());
  config.block_size = sector_bytes;
  // Another test may take the free device between the two calls.
  constexpr int kTries = 100;
  for (int i = 0; i < kTries && !exists(); ++i) {
    const int number = ::ioctl(control.number(), LOOP_CTL_GET_FREE);
    const auto name = "/dev/loop" + std::to_string(number);
    device_ = base::Descriptor(::open(name.c_str(), O_RDWR | O_CLOEXEC));
    if (device_.is_open() && ::ioctl(device_.number(), LOOP_CONFIGURE, &config) == 0) {
      path_ = name;
    } else if (errno != EBUSY) {
      return;
    }
  }
}

LoopDevice::~LoopDevice() {
  if (exists()) {
    ::ioctl(device_.number(), LOOP_CLR_FD, 0);
  }
}

}  // namespace tests::support
