// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vtpm/tee/kernel.h"

namespace tests::support {

// What a file of the fake kernel does; each call answers as the system call does.
class FakeFile {
 public:
  virtual ~FakeFile() = default;

  virtual int ioctl(unsigned long request, void* argument);
  virtual ssize_t read(std::span<std::byte> out);
  virtual ssize_t write(base::ByteView bytes);

  // close() may refuse what was written.
  virtual int close() { return 0; }
};

// Part of the fake kernel's file system: gives a file for a path, a negative errno value, or
// nothing if the path is not its own.
class FakeMount {
 public:
  using Opened = std::variant<int, std::unique_ptr<FakeFile>>;

  virtual ~FakeMount() = default;

  virtual std::optional<Opened> open(const std::filesystem::path& path, int flags) = 0;

  virtual int mkdir(const std::filesystem::path& /*path*/) { return -ENOENT; }

  virtual int rmdir(const std::filesystem::path& /*path*/) { return -ENOENT; }
};

// FakeKernel answers as Linux does where nothing is mounted: there is no such file. Time passes
// only in wait(), which notes how long it would have taken.
class FakeKernel final : public vtpm::tee::Kernel {
 public:
  // mount() adds a part; the test keeps it.
  void mount(FakeMount& part) { mounts_.push_back(&part); }

  int open(const std::filesystem::path& path, int flags) override;
  int close(int descriptor) override;
  int ioctl(int descriptor, unsigned long request, void* argument) override;
  ssize_t read(int descriptor, std::span<std::byte> out) override;
  ssize_t write(int descriptor, base::ByteView bytes) override;
  int mkdir(const std::filesystem::path& path) override;
  int rmdir(const std::filesystem::path& path) override;

  void wait(std::chrono::milliseconds time) override { waits.push_back(time); }

  [[nodiscard]] std::size_t open_files() const { return files_.size(); }

  std::vector<std::chrono::milliseconds> waits;

 private:
  std::vector<FakeMount*> mounts_;
  std::map<int, std::unique_ptr<FakeFile>> files_;
  int next_ = 3;
};

}  // namespace tests::support
