// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_kernel.h"

#include <cerrno>

namespace tests::support {

int FakeFile::ioctl(unsigned long /*request*/, void* /*argument*/) { return -ENOTTY; }

ssize_t FakeFile::read(std::span<std::byte> /*out*/) { return -EINVAL; }

ssize_t FakeFile::write(base::ByteView /*bytes*/) { return -EINVAL; }

int FakeKernel::open(const std::filesystem::path& path, int flags) {
  for (auto* part : mounts_) {
    auto opened = part->open(path, flags);
    if (!opened) {
      continue;
    }
    if (const int* error = std::get_if<int>(&*opened)) {
      return *error;
    }
    files_[next_] = std::get<std::unique_ptr<FakeFile>>(std::move(*opened));
    return next_++;
  }
  return -ENOENT;
}

int FakeKernel::close(int descriptor) {
  const auto found = files_.find(descriptor);
  if (found == files_.end()) {
    return -EBADF;
  }
  const int answer = found->second->close();
  files_.erase(found);
  return answer;
}

int FakeKernel::ioctl(int descriptor, unsigned long request, void* argument) {
  const auto found = files_.find(descriptor);
  return found == files_.end() ? -EBADF : found->second->ioctl(request, argument);
}

ssize_t FakeKernel::read(int descriptor, std::span<std::byte> out) {
  const auto found = files_.find(descriptor);
  return found == files_.end() ? -EBADF : found->second->read(out);
}

ssize_t FakeKernel::write(int descriptor, base::ByteView bytes) {
  const auto found = files_.find(descriptor);
  return found == files_.end() ? -EBADF : found->second->write(bytes);
}

int FakeKernel::mkdir(const std::filesystem::path& path) {
  for (auto* part : mounts_) {
    const int answer = part->mkdir(path);
    if (answer != -ENOENT) {
      return answer;
    }
  }
  return -ENOENT;
}

int FakeKernel::rmdir(const std::filesystem::path& path) {
  for (auto* part : mounts_) {
    const int answer = part->rmdir(path);
    if (answer != -ENOENT) {
      return answer;
    }
  }
  return -ENOENT;
}

}  // namespace tests::support
