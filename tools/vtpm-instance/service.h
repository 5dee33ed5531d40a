// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "keybroker/protocol/readiness.h"
#include "tools/vtpm-instance/attestation_upkeep.h"
#include "tools/vtpm-instance/device_service.h"
#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/rejoin_upkeep.h"
#include "tools/vtpm-instance/sealed_state_blobs.h"
#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/simulator_service.h"
#include "tools/vtpm-instance/state_blob_codec.h"
#include "tools/vtpm-instance/succession.h"
#include "tools/vtpm-instance/supervisor.h"
#include "tools/vtpm-instance/tpm_state.h"
#include "tools/vtpm-instance/variable_service.h"
#include "transport/tpm_socket/control_server.h"
#include "vmgs/base/result.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/device/device.h"
#include "vtpm/engine/engine.h"
#include "vtpm/provision/deferring_store.h"
#include "vtpm/provision/report_service.h"

namespace tools::vtpm_instance {

// readiness_of_failure() is what the broker or the state's past is the reason for, and else what
// the error says.
keybroker::protocol::Readiness readiness_of_failure(const base::Error& error,
                                                    const LaunchChoice& choice,
                                                    const vtpm::boot::BrokerBoot* broker);

// Service is the time in which a hypervisor is served. All of it runs on the thread of serve().
class Service {
 public:
  // What the TPM is besides its commands.
  struct Tpm {
    vtpm::engine::Engine& engine;
    vtpm::provision::DeferringStore& store;
    vtpm::provision::ReportService& reports;
    std::optional<vtpm::provision::Vouching> vouching;
    AttestationUpkeep::Begun begun;
    vtpm::boot::BrokerBoot* broker;         // with protection broker
    vtpm::provision::Statement& statement;  // that `vouching` shows
  };

  Service(const InstanceSetup& setup, const LaunchChoice& choice, TpmState& state, Tpm tpm,
          Supervisor& supervisor);

  // await_sealed() has a state that arrives be one that is sealed to this claim.
  void await_sealed(vtpm::handover::Claim claim) { claim_ = std::move(claim); }

  // serve() returns when the service is over, with the store closed, or everything handed over to a
  // successor. With a heritage it goes on with what is there; an error before it was claimed leaves
  // that to the instance before.
  base::Result<void> serve(Endpoint control, Endpoint data, Endpoint variables,
                           std::optional<SimulatorPorts> simulator,
                           std::optional<Heritage> heritage);

 private:
  base::Result<StateBlobCodec*> choose_state_blobs();
  void state_taken();
  void state_put_in();
  void moved();
  [[nodiscard]] Travel travel() const;
  base::Result<void> serve_variables(base::Descriptor listener, Heritage* heritage);
  base::Result<void> serve_simulator(std::optional<SimulatorPorts> ports);
  void variables_trouble(const std::optional<base::Error>& trouble);
  vtpm::device::Options device_options();
  void tell(keybroker::protocol::Readiness readiness, const std::string& reason);
  void tell_ready();
  void attestation_changed();
  void rejoin();
  void rejoined(const base::Result<void>& done);
  void powered_on(const base::Result<void>& done);
  void rest_soon();
  void hypervisor_changed(bool there);
  base::Result<void> close();
  void handed_over();
  void reclaimed();
  void end();
  void watch_orders();
  void follow_orders();
  void watch_twin();
  void answer_lockout();
  bool follow(Order order);

  const InstanceSetup& setup_;
  const LaunchChoice& choice_;
  TpmState& state_;
  Supervisor& supervisor_;
  vtpm::provision::ReportService& reports_;
  vtpm::boot::BrokerBoot* const broker_;
  vtpm::provision::Statement& statement_;

  boost::asio::io_context io_{1};
  vtpm::device::Device device_;
  AttestationUpkeep upkeep_;
  std::optional<RejoinUpkeep> rejoin_;
  CommandsOfDevice commands_;
  std::unique_ptr<VariableService> variables_;
  std::unique_ptr<SimulatorService> simulator_;
  std::unique_ptr<StateBlobCodec> state_blobs_;  // null where none travel, or sealed alone
  std::optional<vtpm::handover::Claim> claim_;
  std::optional<SealedStateBlobs> sealed_blobs_;

  // The TPM's state, unsealed, by a hypervisor.
  std::uint32_t taken_ = 0;
  std::uint32_t put_in_ = 0;
  std::optional<transport::tpm_socket::ControlServer> control_;
  std::optional<Succession> succession_;
  boost::asio::signal_set signals_;
  boost::asio::posix::stream_descriptor orders_;
  boost::asio::posix::stream_descriptor twin_;
  boost::asio::steady_timer rest_;

  keybroker::protocol::Readiness readiness_ = keybroker::protocol::Readiness::kProvisioning;
  std::string reason_;
  bool told_ = false;
  bool condemned_ = false;
  int hypervisors_ = 0;
  bool alone_ = false;
  std::optional<base::Result<void>> closing_;
};

}  // namespace tools::vtpm_instance
