// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/kernel.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace vtpm::tee {

namespace {

template <typename Answer>
Answer negative_errno(Answer answer) {
  return answer < 0 ? static_cast<Answer>(-errno) : answer;
}

}  // namespace

int SystemKernel::open(const std::filesystem::path& path, int flags) {
  return negative_errno(::open(path.c_str(), flags | O_CLOEXEC));
}

int SystemKernel::close(int descriptor) { return negative_errno(::close(descriptor)); }

int SystemKernel::ioctl(int descriptor, unsigned long request, void* argument) {
  return negative_errno(::ioctl(descriptor, request, argument));
}

ssize_t SystemKernel::read(int descriptor, std::span<std::byte> out) {
  return negative_errno(::read(descriptor, out.data(), out.size()));
}

ssize_t SystemKernel::write(int descriptor, base::ByteView bytes) {
  return negative_errno(::write(descriptor, bytes.data(), bytes.size()));
}

int SystemKernel::mkdir(const std::filesystem::path& path) {
  return negative_errno(::mkdir(path.c_str(), 0700));
}

int SystemKernel::rmdir(const std::filesystem::path& path) {
  return negative_errno(::rmdir(path.c_str()));
}

void SystemKernel::wait(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

}  // namespace vtpm::tee
