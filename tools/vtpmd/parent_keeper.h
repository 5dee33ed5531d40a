// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "vmgs/base/result.h"
#include "vtpm/host/warmed_parent.h"

namespace tools::vtpmd {

// ParentKeeper keeps a warmed parent alive: when one dies, another is started. One thread.
class ParentKeeper {
 public:
  // What the parent says, called from the io_context.
  struct Events {
    std::function<void(std::uint64_t serial, int pid)> forked;
    std::function<void(std::uint64_t serial, const std::string& reason)> fork_failed;
    std::function<void(int pid, const std::string& how)> ended;
  };

  ParentKeeper(boost::asio::io_context& io, std::filesystem::path program, Events events);
  ~ParentKeeper();

  // start() starts the first one and waits until it is warm, so that a program which cannot work is
  // noticed now. The errors of start_warmed_parent() and await_warm().
  base::Result<void> start();

  // renew() starts another where the program is no longer the file that the running one is of: it
  // was upgraded. Instances of the one before go on, and it is there until the new one is warm, and
  // again if that dies before. kUnavailable for a file whose parent has done so; errors of
  // start_warmed_parent(). After an error forks are of the program as it was, if that runs.
  base::Result<void> renew();

  // request_fork() has it fork, after starting one if there is none now.
  base::Result<void> request_fork(std::uint64_t serial, const std::string& process_name,
                                  const vtpm::host::ChildEnds& ends);

 private:
  struct Running;

  // Which file a program is.
  struct ProgramFile {
    std::uint64_t device = 0;
    std::uint64_t node = 0;
    std::int64_t changed_at = 0;  // nanoseconds since 1970

    friend bool operator==(const ProgramFile&, const ProgramFile&) = default;
  };

  [[nodiscard]] ProgramFile program_file() const;

  base::Result<void> start_cold();
  void keep(vtpm::host::WarmedParent started, const ProgramFile& file, bool is_warm);
  bool fall_back();
  boost::asio::awaitable<void> follow(std::shared_ptr<Running> parent);
  boost::asio::awaitable<void> start_again();
  void handle(Running& parent);

  boost::asio::io_context& io_;
  std::filesystem::path program_;
  Events events_;
  std::shared_ptr<Running> running_;
  std::shared_ptr<Running> before_;     // while running_ is not warm yet
  std::optional<ProgramFile> useless_;  // whose parent died before it was warm
  std::chrono::seconds pause_;          // before the next one is started
};

}  // namespace tools::vtpmd
