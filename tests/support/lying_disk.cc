// SPDX-License-Identifier: Apache-2.0
#include "tests/support/lying_disk.h"

#include <algorithm>

#include "vmgs/storage/range.h"

namespace tests::support {

namespace {

tl::unexpected<base::Error> failed(std::string message) {
  return base::fail(base::ErrorCode::kIo, "lying disk: " + std::move(message));
}

}  // namespace

std::uint64_t LyingDisk::count(Operation operation) const {
  const auto found = counts_.find(operation);
  return found == counts_.end() ? 0 : found->second;
}

std::optional<LyingDisk::Fault> LyingDisk::begin(Operation operation) {
  if (hook_.call) {
    hook_.call(operation, *this);
  }
  const std::uint64_t now = ++counts_[operation];
  const auto fault = faults_.find(operation);
  if (fault == faults_.end() || now < fault->second.at ||
      (now > fault->second.at && fault->second.lasting == Lasting::kOnce)) {
    return std::nullopt;
  }
  fault_happened_ = true;
  return fault->second;
}

base::Result<void> LyingDisk::read(std::uint64_t offset, std::span<std::byte> out) {
  const auto fault = begin(Operation::kRead);
  TRY(vmgs::storage::require_inside(offset, out.size(), size_bytes()));
  if (fault) {
    return failed("a read was made to fail");
  }
  seen_.read(offset, out);
  for (auto& [sector, times_read] : rereads_) {
    const std::uint64_t start = std::max(sector * kSectorBytes, offset);
    const std::uint64_t end = std::min((sector + 1) * kSectorBytes, offset + out.size());
    for (std::uint64_t at = start; at < end; ++at) {
      out[at - offset] ^= static_cast<std::byte>(times_read);
    }
    if (start < end) {
      fault_happened_ = fault_happened_ || times_read > 0;
      ++times_read;
    }
  }
  return {};
}

base::Result<void> LyingDisk::write(std::uint64_t offset, base::ByteView bytes) {
  const auto fault = begin(Operation::kWrite);
  TRY(vmgs::storage::require_inside(offset, bytes.size(), size_bytes()));
  if (flush_failed_ && latches_) {
    return failed("no writes after a failed flush");
  }
  put_in_flight(offset, fault ? bytes.first(std::min(bytes.size(), fault->landed_bytes)) : bytes);
  if (fault && !fault->reports_success) {
    return failed("a write was made to fail");
  }
  return {};
}

base::Result<void> LyingDisk::flush() {
  const auto fault = begin(Operation::kFlush);
  if (flush_failed_ && latches_) {
    return failed("no flush after a failed one");
  }
  if (fault) {
    flush_failed_ = true;
    if (fault->after != AfterFailedFlush::kKeepsWrites) {
      pending_.clear();
    }
    if (fault->after == AfterFailedFlush::kDropsWrites) {
      seen_ = durable_;
    }
    return failed("a flush was made to fail");
  }
  for (const auto& write : pending_) {
    for (const auto& [index, content] : write.sectors) {
      durable_.put(index, content);
    }
  }
  pending_.clear();
  return {};
}

void LyingDisk::put_in_flight(std::uint64_t offset, base::ByteView bytes) {
  PendingWrite write;
  while (!bytes.empty()) {
    const std::uint64_t index = offset / kSectorBytes;
    const std::size_t skip = offset % kSectorBytes;
    const std::size_t count = std::min(kSectorBytes - skip, bytes.size());
    auto content = std::make_shared<SectorBytes>();
    std::ranges::copy(seen_.sector(index), content->begin());
    std::ranges::copy(bytes.first(count), std::span(*content).subspan(skip).begin());
    seen_.put(index, content);
    write.sectors.emplace_back(index, std::move(content));
    bytes = bytes.subspan(count);
    offset += count;
  }
  if (!write.sectors.empty()) {
    pending_.push_back(std::move(write));
  }
}

void LyingDisk::fail_read(std::uint64_t nth, Lasting lasting) {
  faults_[Operation::kRead] = {.at = count(Operation::kRead) + nth, .lasting = lasting};
}

void LyingDisk::fail_write(std::uint64_t nth, Lasting lasting, std::size_t landed_bytes) {
  faults_[Operation::kWrite] = {
      .at = count(Operation::kWrite) + nth, .lasting = lasting, .landed_bytes = landed_bytes};
}

void LyingDisk::fail_flush(std::uint64_t nth, Lasting lasting, AfterFailedFlush after) {
  faults_[Operation::kFlush] = {
      .at = count(Operation::kFlush) + nth, .lasting = lasting, .after = after};
}

void LyingDisk::tear_write(std::uint64_t nth, std::size_t landed_bytes) {
  faults_[Operation::kWrite] = {.at = count(Operation::kWrite) + nth,
                                .lasting = Lasting::kOnce,
                                .landed_bytes = landed_bytes,
                                .reports_success = true};
}

void LyingDisk::change_rereads(std::uint64_t first_sector, std::uint64_t sectors) {
  for (std::uint64_t i = 0; i < sectors; ++i) {
    rereads_.emplace(first_sector + i, std::uint8_t{0});
  }
}

}  // namespace tests::support
