// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "tests/bench/release_load.h"
#include "tests/bench/sample.h"

namespace tests::bench {

// The steps of one start, and all of it.
struct StartSamples {
  Sample challenge;
  Sample release;
  Sample anchor;
  Sample whole;
};

// Rate is what some workers together did.
struct Rate {
  std::size_t count = 0;
  std::chrono::nanoseconds wall{};
  std::chrono::nanoseconds workers{};  // processor time of theirs
  std::chrono::nanoseconds servers{};  // of the processes that PostgreSQL serves them by
  Sample latency;

  [[nodiscard]] double per_second() const {
    return static_cast<double>(count) / std::chrono::duration<double>(wall).count();
  }

  [[nodiscard]] double worker_micros() const { return micros(workers); }

  [[nodiscard]] double server_micros() const { return micros(servers); }

 private:
  [[nodiscard]] double micros(std::chrono::nanoseconds time) const {
    return std::chrono::duration<double, std::micro>(time).count() / static_cast<double>(count);
  }
};

using Task = std::function<base::Result<void>(TestBroker::Thread& thread, std::size_t which)>;

// run_workers() has `workers` threads do `count` tasks: as fast as they go, or each not before its
// turn in a row of `per_second`. A latency is from that turn to the end of the task, so that a task
// that has to wait for a worker has waited.
base::Result<Rate> run_workers(ReleaseLoad& load, std::size_t workers, std::size_t count,
                               std::optional<double> per_second, const Task& task);

}  // namespace tests::bench
