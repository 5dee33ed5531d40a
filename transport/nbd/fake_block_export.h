// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "transport/nbd/block_export.h"

namespace transport::nbd {

// FakeBlockExport keeps its bytes in memory and notes what it was asked. It ends the process for a
// range that is outside.
class FakeBlockExport final : public BlockExport {
 public:
  explicit FakeBlockExport(std::size_t size_bytes) : bytes(size_bytes) {}

  base::Result<void> begin() override {
    note("begin");
    return outcome("begin");
  }

  void end() override { note("end"); }

  [[nodiscard]] std::uint64_t size_bytes() const override { return bytes.size(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> into) override {
    TRY(outcome("read"));
    const auto from = range(offset, into.size());
    std::copy(from.begin(), from.end(), into.begin());
    return {};
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView content) override {
    note("write " + std::to_string(offset) + " " + std::to_string(content.size()));
    TRY(outcome("write"));
    const auto to = range(offset, content.size());
    std::copy(content.begin(), content.end(), to.begin());
    return {};
  }

  base::Result<void> flush() override {
    note("flush");
    return outcome("flush");
  }

  std::optional<Clock::time_point> tend(Clock::time_point) override { return std::nullopt; }

  base::Bytes bytes;
  std::string fails;                // what does
  std::vector<std::string> events;  // what was asked, reads left out

 private:
  void note(std::string what) { events.push_back(std::move(what)); }

  [[nodiscard]] base::Result<void> outcome(const std::string& what) const {
    return what == fails ? base::fail(base::ErrorCode::kIo, "it fails") : base::Result<void>();
  }

  std::span<std::byte> range(std::uint64_t offset, std::size_t count) {
    if (offset > bytes.size() || count > bytes.size() - offset) {
      std::abort();
    }
    return std::span(bytes).subspan(static_cast<std::size_t>(offset), count);
  }
};

}  // namespace transport::nbd
