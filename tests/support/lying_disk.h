// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "tests/support/disk_image.h"
#include "vmgs/storage/block_device.h"

namespace tests::support {

enum class Operation { kRead, kWrite, kFlush };

// How long a fault lasts: the one operation, or that one and all later ones of its kind.
enum class Lasting { kOnce, kForGood };

// What becomes of the unflushed writes when a flush fails. Kernels do all three.
enum class AfterFailedFlush {
  kKeepsWrites,          // they stay in flight: a crash may lose them or not
  kDropsWrites,          // they are gone, and reads show the old bytes
  kDropsButShowsWrites,  // they are gone for good, while reads go on showing them until a crash
};

// LyingDisk is the worst disk that still keeps the one promise a disk makes: what was written
// before a flush that succeeded is there afterwards. Everything else may happen, at the choice of a
// test: crash_states.h enumerates what a power cut may leave of the unflushed sectors, and the
// functions below make single operations fail or lie.
//
// A dead process is another matter than a power cut, since the writes in flight stay in flight:
// copy the disk and go on with the copy.
class LyingDisk final : public vmgs::storage::BlockDevice {
 public:
  explicit LyingDisk(DiskImage image) : durable_(image), seen_(std::move(image)) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return durable_.size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;
  base::Result<void> flush() override;

  // What is on the platter for certain, unless a sector in flight comes to lie over it.
  [[nodiscard]] const DiskImage& durable() const { return durable_; }

  // What reads show.
  [[nodiscard]] const DiskImage& seen() const { return seen_; }

  // One write in flight: its sectors in ascending order, as they were when it was made.
  struct PendingWrite {
    std::vector<std::pair<std::uint64_t, SharedSector>> sectors;
  };

  // The writes since the last flush that succeeded, in order.
  [[nodiscard]] const std::vector<PendingWrite>& pending() const { return pending_; }

  // How many operations of a kind were asked for, failed ones included.
  [[nodiscard]] std::uint64_t count(Operation operation) const;

  // before_each() calls `hook` before each operation has any effect. There the disk can be copied,
  // and before a flush is the moment to look at crash states: each subset of what was in flight
  // earlier is also one of what is in flight then. Copies of the disk have no hook.
  void before_each(std::function<void(Operation, const LyingDisk&)> hook) {
    hook_.call = std::move(hook);
  }

  // fail_read(), fail_write() and fail_flush() make the n-th such operation from now (1 is the
  // next) return kIo. Of a write, its first `landed_bytes` are in flight nevertheless.
  void fail_read(std::uint64_t nth, Lasting lasting = Lasting::kOnce);
  void fail_write(std::uint64_t nth, Lasting lasting = Lasting::kOnce,
                  std::size_t landed_bytes = 0);
  void fail_flush(std::uint64_t nth, Lasting lasting = Lasting::kOnce,
                  AfterFailedFlush after = AfterFailedFlush::kKeepsWrites);

  // tear_write() makes the n-th write from now report success although only its first
  // `landed_bytes` are written.
  void tear_write(std::uint64_t nth, std::size_t landed_bytes);

  // change_rereads() makes every read of these sectors after the first one show other bytes, each
  // time different ones.
  void change_rereads(std::uint64_t first_sector, std::uint64_t sectors);

  // fault_happened() tells whether any of these faults has had its turn.
  [[nodiscard]] bool fault_happened() const { return fault_happened_; }

  // forget_failed_flushes() breaks the promise of BlockDevice::flush(), as a bare descriptor does:
  // after a failed flush later writes and flushes succeed.
  void forget_failed_flushes() { latches_ = false; }

 private:
  struct Fault {
    std::uint64_t at;  // count() of the operation
    Lasting lasting;
    std::size_t landed_bytes = 0;
    bool reports_success = false;
    AfterFailedFlush after = AfterFailedFlush::kKeepsWrites;
  };

  // A hook speaks of one disk and is not copied with it.
  struct Hook {
    Hook() = default;

    Hook(const Hook&) {}

    Hook& operator=(const Hook&) { return *this; }

    ~Hook() = default;

    std::function<void(Operation, const LyingDisk&)> call;
  };

  std::optional<Fault> begin(Operation operation);
  void put_in_flight(std::uint64_t offset, base::ByteView bytes);

  DiskImage durable_;
  DiskImage seen_;
  std::vector<PendingWrite> pending_;
  std::map<Operation, std::uint64_t> counts_;
  std::map<Operation, Fault> faults_;
  std::map<std::uint64_t, std::uint8_t> rereads_;  // sector -> how often it was read
  Hook hook_;
  bool latches_ = true;
  bool flush_failed_ = false;
  bool fault_happened_ = false;
};

}  // namespace tests::support
