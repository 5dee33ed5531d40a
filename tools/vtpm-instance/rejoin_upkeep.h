// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <thread>

#include "tools/vtpm-instance/spread.h"
#include "vmgs/base/result.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/device/device.h"
#include "vtpm/provision/renewal_schedule.h"

namespace tools::vtpm_instance {

// RejoinUpkeep brings an offline boot back to its key broker while its guest runs. It asks on a
// thread of its own, after 2 seconds and then later and later, to 10 minutes, or when whoever stood
// in for the broker has said; the TPM waits only while what was found is noted. Where the state
// turns out not to be the VM's newest, or the broker refuses, the TPM is condemned. All is called
// on the thread of `io`.
class RejoinUpkeep {
 public:
  // All of it outlives this.
  struct Surroundings {
    boost::asio::io_context& io;
    vtpm::device::Device& device;
    vtpm::boot::BrokerBoot& broker;

    // The boot is not offline any more. Called on the other thread and while the TPM rests, so that
    // no command of the guest sees half of it.
    std::function<void()> rejoined_at_rest;

    // How it ended, once and on the thread of `io`: the boot has come back, or why its TPM was
    // condemned; the broker has the word for it then (trouble()).
    std::function<void(const base::Result<void>&)> settled;

    std::function<double()> spread = vtpm_instance::spread;
  };

  explicit RejoinUpkeep(Surroundings surroundings);

  // start() begins, if the boot is offline.
  void start();

  // stop() ends what is going on as far as it can be ended.
  void stop();

 private:
  void wait();
  void ask();
  void asked(const base::Result<void>& done);

  const Surroundings around_;
  vtpm::provision::RenewalSchedule schedule_;
  boost::asio::steady_timer timer_;
  bool stopped_ = false;
  std::jthread worker_;
};

}  // namespace tools::vtpm_instance
