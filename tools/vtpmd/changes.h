// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <set>

#include "vmgs/format/vm_id.h"

namespace tools::vtpmd {

// Changes wakes those who wait for a VM to change. One thread.
class Changes {
 public:
  using VmId = vmgs::format::VmId;

  explicit Changes(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // note() tells every Watch.
  void note(const VmId& id);

  // Watch gathers what changes from its making on. It holds at most one entry per VM, however slow
  // its owner is.
  class Watch {
   public:
    explicit Watch(Changes& changes);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

    // next() is what has changed since the last next(); it waits until that is something.
    boost::asio::awaitable<std::set<VmId>> next();

   private:
    friend class Changes;

    Changes& changes_;
    std::set<VmId> changed_;
    boost::asio::steady_timer woken_;
    std::list<Watch*>::iterator place_;
  };

 private:
  boost::asio::any_io_executor executor_;
  std::list<Watch*> watches_;
};

}  // namespace tools::vtpmd
