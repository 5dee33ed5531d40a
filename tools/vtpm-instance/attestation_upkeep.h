// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "tools/vtpm-instance/tpm_state.h"
#include "vtpm/device/device.h"
#include "vtpm/engine/engine.h"
#include "vtpm/provision/ak_restoration.h"
#include "vtpm/provision/certificate_replacement.h"
#include "vtpm/provision/certification.h"
#include "vtpm/provision/deferring_store.h"
#include "vtpm/provision/provision.h"
#include "vtpm/provision/renewal_schedule.h"

namespace tools::vtpm_instance {

// AttestationUpkeep keeps a TPM able to attest while its guest runs: it has the AK's certificate
// renewed, asks again where it was not given, and puts the AK back where the guest has removed it.
// Whatever takes long (a report of the TEE, the authority's answer, primes) is done on a thread of
// its own, one such at a time, and the TPM is taken between two commands for no longer than a
// write. All but before() is called on the thread of `io`.
class AttestationUpkeep {
 public:
  // What provisioning has found out, for the life of the TPM.
  struct Begun {
    Begun() = default;
    explicit Begun(const base::Result<vtpm::provision::Provisioned>& provisioned);

    AttestationReadiness readiness;
    std::optional<vtpm::provision::ClaimedKeys> keys;
    std::shared_ptr<const vtpm::provision::IndexPassword> password;
    std::optional<std::chrono::sys_seconds> renew_at;
    std::optional<std::chrono::sys_seconds> ends_at;
    std::optional<base::Error> uncertified;
    bool is_proven = false;  // else the twin has yet to say that the keys are the TPM's own
    bool aks_may_be_gone = false;

    // Whoever certifies is away with the VM's key broker: nothing is asked before it is back.
    bool awaits_broker = false;
  };

  // All of it outlives this. Without `vouching` no certificate is asked for. `changed` is told how
  // the TPM can attest when that changes.
  struct Surroundings {
    boost::asio::io_context& io;
    vtpm::device::Device& device;
    vtpm::engine::Engine& engine;
    vtpm::provision::DeferringStore& store;
    std::optional<vtpm::provision::Vouching> vouching;
    std::function<void()> changed;
  };

  AttestationUpkeep(Surroundings surroundings, Begun begun);

  // How the TPM can attest now, as far as that is not a matter of the whole TPM.
  [[nodiscard]] AttestationReadiness readiness() const;

  void start();

  // twin_has_spoken() says what the twin has found; only proven keys are certified.
  void twin_has_spoken(vtpm::provision::Obstacle found);

  // broker_is_back() says so. What the claims say has changed by then, and changes no more. If it
  // `wants_certification`, what the AK has is worth nothing.
  void broker_is_back(bool wants_certification);

  // stop() ends what is going on as far as it can be ended, before the TPM is turned off for good.
  void stop();

  // so_far() is what another upkeep of the same TPM goes on from, in another process. While no
  // command of the guest runs.
  [[nodiscard]] Begun so_far() const;

  // before() sees each command of the guest, on the thread that runs it and while no other runs.
  void before(base::ByteView command);

 private:
  // What one turn of the thread has done.
  struct Turn {
    std::optional<base::Result<vtpm::provision::Certificates>> given;
    bool written = false;
    std::optional<base::Error> unwritten;  // why, where waiting does not help
  };

  void work();
  void begin(std::function<Turn(const std::stop_token&)> turn);
  void ended(Turn turn);
  void came(base::Result<vtpm::provision::Certificates> given);
  void wait_for_next();
  void write(const vtpm::provision::Certificates& certificates, Turn& turn);
  void look_at_end();
  void look_at_aks();
  [[nodiscard]] bool may_ask() const;

  const Surroundings around_;
  const Begun begun_;
  vtpm::provision::RenewalSchedule schedule_;
  boost::asio::steady_timer timer_;

  // Of the thread of `io`.
  bool is_proven_;
  bool awaits_broker_;
  std::optional<std::chrono::sys_seconds> ends_at_;  // of the certificate that is there
  bool has_ended_ = false;
  base::Error uncertified_;
  AttestationReadiness twins_word_;
  vtpm::provision::AkPresence aks_;
  bool wants_look_ = false;
  bool stopped_ = false;
  std::optional<vtpm::provision::Certificates> held_;  // given, and not yet written

  // Touched only while no command of the guest runs.
  vtpm::provision::CertificateReaders readers_;
  bool aks_may_be_gone_ = false;
  bool ak_is_missing_ = false;

  bool working_ = false;
  std::jthread worker_;
};

}  // namespace tools::vtpm_instance
