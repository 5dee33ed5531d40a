// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

#include "vmgs/base/bytes.h"

namespace vtpm::tee {

// Kernel is what the TEE devices need of the operating system: the seam at which a test stands in
// for hardware. Each call does what the system call of that name does and gives its result, or the
// errno value as a negative number.
class Kernel {
 public:
  virtual ~Kernel() = default;

  virtual int open(const std::filesystem::path& path, int flags) = 0;
  virtual int close(int descriptor) = 0;
  virtual int ioctl(int descriptor, unsigned long request, void* argument) = 0;
  virtual ssize_t read(int descriptor, std::span<std::byte> out) = 0;
  virtual ssize_t write(int descriptor, base::ByteView bytes) = 0;
  virtual int mkdir(const std::filesystem::path& path) = 0;
  virtual int rmdir(const std::filesystem::path& path) = 0;

  // wait() lets the time pass.
  virtual void wait(std::chrono::milliseconds time) = 0;
};

// SystemKernel is the real one. Any thread.
class SystemKernel final : public Kernel {
 public:
  int open(const std::filesystem::path& path, int flags) override;
  int close(int descriptor) override;
  int ioctl(int descriptor, unsigned long request, void* argument) override;
  ssize_t read(int descriptor, std::span<std::byte> out) override;
  ssize_t write(int descriptor, base::ByteView bytes) override;
  int mkdir(const std::filesystem::path& path) override;
  int rmdir(const std::filesystem::path& path) override;
  void wait(std::chrono::milliseconds time) override;
};

// KernelFile owns a descriptor of a Kernel and closes it when it dies.
class KernelFile {
 public:
  // open() gives a file that is not open, and its errno value, if the kernel refuses.
  static KernelFile open(Kernel& kernel, const std::filesystem::path& path, int flags) {
    return KernelFile(kernel, kernel.open(path, flags));
  }

  KernelFile(const KernelFile&) = delete;
  KernelFile& operator=(const KernelFile&) = delete;
  KernelFile& operator=(KernelFile&&) = delete;

  KernelFile(KernelFile&& other) noexcept
      : kernel_(other.kernel_), descriptor_(std::exchange(other.descriptor_, -1)) {}

  ~KernelFile() { static_cast<void>(close()); }

  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }

  // error() is why it could not be opened, as errno says it.
  [[nodiscard]] int error() const { return -descriptor_; }

  [[nodiscard]] int descriptor() const { return descriptor_; }

  [[nodiscard]] Kernel& kernel() const { return *kernel_; }

  // close() gives what the kernel answers: some files take what was written only now.
  int close() { return is_open() ? kernel_->close(std::exchange(descriptor_, -1)) : 0; }

 private:
  KernelFile(Kernel& kernel, int descriptor) : kernel_(&kernel), descriptor_(descriptor) {}

  Kernel* kernel_;
  int descriptor_;
};

}  // namespace vtpm::tee
