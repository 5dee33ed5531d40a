// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/run.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tools/vtpm-instance/attestation_record.h"
#include "tools/vtpm-instance/attestation_upkeep.h"
#include "tools/vtpm-instance/broker_start.h"
#include "tools/vtpm-instance/conversion.h"
#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/listening.h"
#include "tools/vtpm-instance/sealed_state_blobs.h"
#include "tools/vtpm-instance/service.h"
#include "tools/vtpm-instance/simulator_service.h"
#include "tools/vtpm-instance/state_travel.h"
#include "tools/vtpm-instance/statement.h"
#include "tools/vtpm-instance/succession.h"
#include "tools/vtpm-instance/tee_choice.h"
#include "tools/vtpm-instance/tpm_state.h"
#include "tools/vtpm-instance/variable_service.h"
#include "vmgs/base/log.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/device/device.h"
#include "vtpm/engine/engine.h"
#include "vtpm/handover/hand_over.h"
#include "vtpm/handover/ticket.h"
#include "vtpm/provision/deferring_store.h"
#include "vtpm/provision/report_service.h"
#include "vtpm/provision/shared_tee.h"

namespace tools::vtpm_instance {

using keybroker::protocol::Readiness;

namespace {

// What the store here says, where a TPM can arrive in it.
base::Result<std::optional<vmgs::format::Ownership>> expect_may_arrive(const InstanceSetup& setup,
                                                                       const LaunchChoice& choice) {
  auto before = TpmState::ownership_in_store(setup, choice);
  if (!before && before.error().code == base::ErrorCode::kUnavailable) {
    return base::fail(std::move(before).error().context(
        "the source and the destination of a migration cannot have one store, for the source has "
        "it open until it has ended: give the destination a store of its own"));
  }
  if (!before) {
    return base::fail(std::move(before).error());
  }
  if (*before && (*before)->standing == vmgs::format::Standing::kOwned) {
    return base::fail(base::ErrorCode::kDenied,
                      "the store here has its TPM, so that none can arrive: start the VM here, or "
                      "await the TPM with another store");
  }
  if (!*before && !setup.may_create) {
    return base::fail(base::ErrorCode::kNotFound,
                      setup.store.string() +
                          ": there is no store here that the TPM could arrive in; --create has one "
                          "made around it");
  }
  return before;
}

// Why a store does not open whose TPM was offered to another host is that.
Readiness readiness_of_unopened(Readiness readiness, const InstanceSetup& setup,
                                const LaunchChoice& choice) {
  if (setup.migration_ticket.empty() || readiness != Readiness::kStateForeign) {
    return readiness;
  }
  const auto ownership = TpmState::ownership_in_store(setup, choice);
  const bool is_offered =
      ownership && *ownership && (*ownership)->standing == vmgs::format::Standing::kOffered;
  return is_offered ? Readiness::kMovedAway : readiness;
}

}  // namespace

base::Result<void> run(InstanceSetup setup, Supervisor& supervisor) {
  const auto refuse = [&](Readiness readiness, base::Error error) {
    if (setup.predecessor.is_open()) {
      vtpm::handover::decline(setup.predecessor.number(), error.message);
    }
    supervisor.changed(readiness, error.message, false);
    return base::fail(std::move(error));
  };
  auto choice = choose_launch(setup);
  if (!choice) {
    const bool other_launch = choice.error().code == base::ErrorCode::kAuthentication;
    return refuse(other_launch ? Readiness::kSealedElsewhere : Readiness::kNotSetUp,
                  std::move(choice).error());
  }
  if (choice->protection == keybroker::protocol::Protection::kBroker &&
      supervisor.broker() == nullptr) {
    return refuse(Readiness::kNotSetUp,
                  {base::ErrorCode::kInvalidArgument,
                   "the launch document has the key of this VM's state at a key broker, and an "
                   "instance reaches one through vtpmd only: start the VM with vtpmd, whose "
                   "configuration names the broker"});
  }
  if (const auto travel = state_travel_of(setup, *choice); !travel) {
    return refuse(Readiness::kNotSetUp, travel.error());
  }
  if (!setup.export_for_openhcl) {
    for (const auto* endpoint : {&setup.control, &setup.data, &setup.variables}) {
      if (auto bindable = expect_bindable(*endpoint); !bindable) {
        return refuse(Readiness::kNotSetUp, std::move(bindable).error());
      }
    }
  }
  if (setup.release_ticket) {
    auto released = release_ticket(setup, *choice);
    return released ? released : refuse(Readiness::kNotSetUp, std::move(released).error());
  }
  if (setup.take_back) {
    auto taken = TpmState::take_back(setup, *choice);
    if (!taken) {
      const auto readiness = readiness_of(taken.error(), *choice);
      return refuse(readiness_of_unopened(readiness, setup, *choice), std::move(taken).error());
    }
    return taken;
  }
  const bool awaits_sealed = setup.incoming && setup.state_blobs == StateBlobForm::kSealed;
  std::optional<vmgs::format::Ownership> store_before;
  if (awaits_sealed) {
    auto before = expect_may_arrive(setup, *choice);
    if (!before) {
      return refuse(Readiness::kNotSetUp, std::move(before).error());
    }
    store_before = *before;
  }
  if (setup.conversion) {
    auto converted = convert(setup, *choice);
    if (!converted) {
      const auto readiness = readiness_of(converted.error(), *choice);
      return refuse(readiness, std::move(converted).error());
    }
    return supervisor.converted();
  }
  std::optional<SimulatorPorts> simulator;
  if (setup.simulator_port) {
    auto listening = listen_for_simulator(*setup.simulator_port);
    if (!listening) {
      return refuse(Readiness::kNotSetUp, std::move(listening).error());
    }
    simulator = *std::move(listening);
  }
  // Guest, upkeep and broker ask it on threads of their own.
  const auto tee = std::exchange(choice->tee, nullptr);
  if (tee) {
    choice->tee = std::make_unique<vtpm::provision::SharedTee>(*tee);
  }
  auto broker = broker_boot(setup, *choice, supervisor);
  if (!broker) {
    return refuse(Readiness::kNotSetUp, std::move(broker).error());
  }
  std::optional<Heritage> heritage;
  if (setup.predecessor.is_open()) {
    auto awaited = await_heritage(setup.predecessor);
    if (!awaited) {
      return refuse(Readiness::kNotSetUp, std::move(awaited).error());
    }
    heritage = *std::move(awaited);
  }
  auto state = heritage ? TpmState::take_over(setup, *choice, heritage->estate)
                        : TpmState::open(setup, *choice, supervisor.certifier(), broker->get());
  if (!state && supervisor.stopping().stop_requested()) {
    return base::fail(std::move(state).error());  // as ordered
  }
  if (!state) {
    const auto readiness = readiness_of_failure(state.error(), *choice, broker->get());
    return refuse(readiness_of_unopened(readiness, setup, *choice), std::move(state).error());
  }
  if (setup.export_for_openhcl) {
    base::log(base::LogLevel::kInfo,
              "the store has a HW_KEY_PROTECTOR for OpenHCL; any VM of this image on this machine "
              "with that vm-configuration opens it, until the next start here");
    return (*state)->close();
  }
  if (auto kept = heritage ? base::Result<void>()
                           : store_first_variables(setup, *choice, (*state)->flash_store());
      !kept) {
    return refuse(readiness_of(kept.error(), *choice), std::move(kept).error());
  }
  vtpm::provision::DeferringStore nv_store((*state)->nv_store());
  auto engine = vtpm::engine::Engine::create(nv_store);
  if (!engine) {
    return refuse(Readiness::kNotSetUp, std::move(engine).error());
  }
  auto statement = statement_of(setup, *choice, (*state)->identity(), broker->get());
  if (!statement) {
    return refuse(Readiness::kNotSetUp, std::move(statement).error());
  }
  // As late as vtpmd has it, which gives the ticket to others once this is opened: a claim stays
  // until it is known what became of its ticket.
  std::optional<vtpm::handover::Claim> claim;
  if (awaits_sealed) {
    auto made = vtpm::handover::Claim::make(setup.migration_ticket, store_before, choice->vm_id);
    if (!made) {
      return refuse(Readiness::kNotSetUp, std::move(made).error());
    }
    claim = *std::move(made);
  }
  const bool simulated = choice->tee != nullptr && kSimulatedTee;
  const Opened opened{.created = (*state)->created(),
                      .opened_by = (*state)->opened_by(),
                      .simulated_tee = simulated,
                      .awaited = setup.incoming};
  if (heritage) {
    heritage->opened = opened;
  } else if (auto may_serve = supervisor.opened(opened); !may_serve) {
    TRY((*state)->close());
    return may_serve;
  }
  const bool inherits = heritage.has_value();
  base::Result<void> served;
  {
    auto begun = heritage ? begun_of(heritage->estate.attestation, heritage->estate.index_password)
                          : AttestationUpkeep::Begun((*state)->provisioned());
    if (*broker) {
      begun.awaits_broker = (*broker)->is_offline();
      if ((*broker)->wants_certification()) {
        begun.renew_at = std::chrono::sys_seconds();  // at once
      }
    }
    vtpm::provision::ReportService reports(**engine, nv_store, choice->tee.get(), *statement,
                                           std::move((*state)->provisioned()));
    std::optional<vtpm::provision::Vouching> vouching;
    auto* const certifier = *broker ? broker->get() : supervisor.certifier();
    if (certifier != nullptr) {
      vouching.emplace(vtpm::provision::Vouching{
          .certifier = *certifier, .statement = *statement, .tee = choice->tee.get()});
    }
    Service service(setup, *choice, **state,
                    {.engine = **engine,
                     .store = nv_store,
                     .reports = reports,
                     .vouching = std::move(vouching),
                     .begun = std::move(begun),
                     .broker = broker->get(),
                     .statement = *statement},
                    supervisor);
    if (claim) {
      service.await_sealed(*std::move(claim));
    }
    served = service.serve(std::move(setup.control), std::move(setup.data),
                           std::move(setup.variables), std::move(simulator), std::move(heritage));
  }
  if (!served && inherits) {
    (*state)->abandon();  // it is the other instance's, or is opened next as after a crash
  }
  const auto closed = (*state)->close();
  if (!served) {
    return refuse(Readiness::kStoreFailing, std::move(served).error());
  }
  return closed;
}

}  // namespace tools::vtpm_instance
