// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "tools/vtpm-instance/attestation_upkeep.h"
#include "tools/vtpm-instance/supervisor.h"
#include "tools/vtpm-instance/tpm_state.h"
#include "tools/vtpm-instance/variable_service.h"
#include "transport/tpm_socket/control_server.h"
#include "transport/tpm_socket/data_server.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vtpm/device/device.h"
#include "vtpm/handover/estate.h"
#include "vtpm/provision/report_service.h"

namespace tools::vtpm_instance {

// Succession has a running instance give everything to its successor, another process, without its
// guest noticing more than a pause; and lets a vtpmd in that finds the instance of an earlier one.
// All of it happens on the thread of `io`, which serves nobody while an estate is under way.
class Succession {
 public:
  // What is handed over. It outlives this.
  struct Parts {
    vtpm::device::Device& device;
    transport::tpm_socket::DataServer& data;
    transport::tpm_socket::ControlServer& control;
    TpmState& state;
    AttestationUpkeep& upkeep;
    vtpm::provision::ReportService& reports;
    Supervisor& supervisor;
    VariableService* variables;  // or none
  };

  struct Events {
    // Everything is the successor's: nothing of the parts may be used any more.
    std::function<void()> handed_over;
    // There is a vtpmd again, with orders of its own.
    std::function<void()> reclaimed;
  };

  // `control_listener` is where `control` accepts.
  Succession(boost::asio::io_context& io, const Parts& parts, int control_listener, Events events);
  ~Succession();

  // begin() is the order to hand everything over.
  void begin();

  // go_on_alone() has `control` take no other client, as vtpmd is gone, and watches the door once
  // no successor is on its way: who is let in would be let down by an instance that gives all it
  // has.
  void go_on_alone();

 private:
  class Attempt;

  void ended(const base::Result<void>& outcome);
  void watch_door();

  boost::asio::io_context& io_;
  const Parts parts_;
  const Events events_;
  base::Descriptor control_listener_;
  boost::asio::posix::stream_descriptor door_;
  std::unique_ptr<Attempt> attempt_;
  bool alone_ = false;         // no client is accepted any more
  bool awaits_vtpmd_ = false;  // at the door
};

// Heritage is what a successor goes on with; the instance's before, until it is claimed.
struct Heritage {
  vtpm::handover::Estate estate;
  base::Descriptor* predecessor = nullptr;  // the way to it
  Opened opened;
  bool locked_out = false;
};

// await_heritage() says that this process is ready to take over, before it opens anything, and
// waits for what it is given by way of `predecessor`, which outlives the heritage. kUnavailable if
// that is nothing.
base::Result<Heritage> await_heritage(base::Descriptor& predecessor);

// claim() goes on with the TPM; when it succeeds everything is this process', and the way to the
// instance before is closed. kUnavailable if that one goes on; errors of Device::resume().
base::Result<void> claim(Heritage& heritage, vtpm::device::Device& device);

// variables_of() takes what a heritage has of the variable flash.
VariableService::AtRest variables_of(Heritage& heritage);

// data_channels_of() takes the data channels of a heritage that was claimed. enter_upon() tells the
// supervisor that this process serves, and has `control` go on with the control clients.
std::vector<transport::tpm_socket::DataServer::Channel> data_channels_of(Heritage& heritage);
void enter_upon(Heritage& heritage, Supervisor& supervisor,
                transport::tpm_socket::ControlServer& control);

}  // namespace tools::vtpm_instance
