// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/parent_keeper.h"

#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "keybroker/protocol/instance.pb.h"
#include "transport/rpc/within.h"
#include "vmgs/base/log.h"
#include "vtpm/host/frame.h"

namespace tools::vtpmd {

namespace {

namespace asio = boost::asio;
namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using transport::rpc::as_values;

// A parent that dies at once, on a host without memory for one, is not started in a tight loop: the
// pause doubles while none becomes warm.
constexpr std::chrono::seconds kRestartPause{1};
constexpr std::chrono::seconds kLongestPause{60};

// How long the first one may take to become warm.
constexpr std::chrono::seconds kWarmLimit{30};

std::string how(const instance::Ended& ended) {
  return ended.signal() != 0 ? "killed by signal " + std::to_string(ended.signal())
                             : "ended with status " + std::to_string(ended.exit_status());
}

}  // namespace

struct ParentKeeper::Running {
  Running(asio::io_context& io, vtpm::host::WarmedParent started, const ProgramFile& of)
      : parent{started.pid, base::Descriptor()}, file(of), link(io, started.link.release()) {}

  vtpm::host::WarmedParent parent;
  ProgramFile file;  // that it is of
  asio::posix::stream_descriptor link;
  vtpm::host::FrameReader reports;
  bool is_warm = false;
};

ParentKeeper::ParentKeeper(asio::io_context& io, std::filesystem::path program, Events events)
    : io_(io), program_(std::move(program)), events_(std::move(events)), pause_(kRestartPause) {}

ParentKeeper::~ParentKeeper() = default;

ParentKeeper::ProgramFile ParentKeeper::program_file() const {
  struct stat found {};

  if (::stat(program_.c_str(), &found) != 0) {
    return {};
  }
  return {.device = found.st_dev,
          .node = found.st_ino,
          .changed_at = std::int64_t{found.st_ctim.tv_sec} * 1'000'000'000 + found.st_ctim.tv_nsec};
}

base::Result<void> ParentKeeper::renew() {
  const auto file = program_file();
  if (running_ && file == running_->file) {
    return {};
  }
  if (running_ && file == useless_) {
    return base::fail(ErrorCode::kUnavailable,
                      program_.string() +
                          " cannot be used: its process died before it could fork. "
                          "Instances are of the program as it was before; install one that runs");
  }
  const auto before = running_;
  TRY(start_cold());
  if (before) {
    base::log(base::LogLevel::kInfo,
              program_.string() + " is another one: instances from now on are of that");
    if (before_) {
      before->link.close();  // it was not warm yet; without its link it ends
    } else {
      before_ = before;
    }
  }
  return {};
}

base::Result<void> ParentKeeper::start() {
  const auto file = program_file();
  TRY_ASSIGN(started, vtpm::host::start_warmed_parent(program_));
  if (auto warm = vtpm::host::await_warm(started, kWarmLimit); !warm) {
    return base::fail(std::move(warm).error().context(program_.string()));
  }
  keep(std::move(started), file, true);
  return {};
}

// Requests may be sent to it at once: they wait in the link until it is warm.
base::Result<void> ParentKeeper::start_cold() {
  const auto file = program_file();
  TRY_ASSIGN(started, vtpm::host::start_warmed_parent(program_));
  keep(std::move(started), file, false);
  return {};
}

void ParentKeeper::keep(vtpm::host::WarmedParent started, const ProgramFile& file, bool is_warm) {
  running_ = std::make_shared<Running>(io_, std::move(started), file);
  running_->is_warm = is_warm;
  asio::co_spawn(io_, follow(running_), asio::detached);
}

base::Result<void> ParentKeeper::request_fork(std::uint64_t serial, const std::string& process_name,
                                              const vtpm::host::ChildEnds& ends) {
  if (!running_) {
    TRY(start_cold());
  }
  auto sent = vtpm::host::request_fork(running_->link.native_handle(), serial, process_name, ends);
  if (!sent && fall_back()) {
    sent = vtpm::host::request_fork(running_->link.native_handle(), serial, process_name, ends);
  }
  if (!sent) {
    return base::fail(std::move(sent).error().context("the warmed parent, " + program_.string() +
                                                      ", is dead or hangs; vtpmd's log has more"));
  }
  return {};
}

asio::awaitable<void> ParentKeeper::follow(std::shared_ptr<Running> parent) {
  for (;;) {
    const auto [error] =
        co_await parent->link.async_wait(asio::posix::descriptor_base::wait_read, as_values);
    if (error) {
      co_return;
    }
    const auto open = parent->reports.receive(parent->link.native_handle());
    handle(*parent);
    if (!open || !*open) {
      break;
    }
  }
  base::log(base::LogLevel::kWarning,
            "the warmed parent, process " + std::to_string(parent->parent.pid) + ", has died" +
                (parent->is_warm ? "; its instances go on" : " before it could fork"));
  if (before_ == parent) {
    before_.reset();
  }
  if (running_ != parent || fall_back()) {
    co_return;
  }
  pause_ = parent->is_warm ? kRestartPause : std::min(2 * pause_, kLongestPause);
  running_.reset();
  co_await start_again();
}

// To the one before, if that lives. Requests that the dead one had are tried again by who made
// them.
bool ParentKeeper::fall_back() {
  if (running_->is_warm || !before_) {
    return false;
  }
  base::log(base::LogLevel::kError,
            program_.string() + " cannot be used; instances are of the one before it");
  useless_ = running_->file;
  running_->link.close();
  running_ = std::exchange(before_, nullptr);
  return true;
}

// Until there is one, or a request has started one.
asio::awaitable<void> ParentKeeper::start_again() {
  asio::steady_timer pause(io_);
  for (;;) {
    pause.expires_after(pause_);
    co_await pause.async_wait(as_values);
    if (running_) {
      co_return;
    }
    const auto started = start_cold();
    if (started) {
      co_return;
    }
    base::log(base::LogLevel::kError, started.error().message);
  }
}

void ParentKeeper::handle(Running& parent) {
  instance::FromParent report;
  for (;;) {
    const auto complete = parent.reports.next(report);
    if (!complete || !*complete) {
      return;
    }
    switch (report.message_case()) {
      case instance::FromParent::kWarm:
        parent.is_warm = true;
        if (&parent == running_.get() && before_) {
          // Without its link it ends.
          std::exchange(before_, nullptr)->link.close();
        }
        break;
      case instance::FromParent::kForked:
        events_.forked(report.forked().serial(), report.forked().pid());
        break;
      case instance::FromParent::kForkFailed:
        events_.fork_failed(report.fork_failed().serial(), report.fork_failed().reason());
        break;
      case instance::FromParent::kEnded:
        events_.ended(report.ended().pid(), how(report.ended()));
        break;
      case instance::FromParent::MESSAGE_NOT_SET:
        break;
    }
  }
}

}  // namespace tools::vtpmd
