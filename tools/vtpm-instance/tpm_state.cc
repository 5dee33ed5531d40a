// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/tpm_state.h"

#include <utility>

#include "vmgs/crypto/random.h"
#include "vtpm/boot/incoming_store.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/new_vm_id.h"
#include "vtpm/boot/protector.h"
#include "vtpm/boot/provisioning.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/engine/memory_nv_store.h"

namespace tools::vtpm_instance {

using base::ErrorCode;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;
using keybroker::protocol::Readiness;
using vtpm::boot::IncomingStore;
using vtpm::boot::Protector;
using vtpm::boot::StateStore;
using vtpm::engine::NvStore;
using vtpm::provision::Obstacle;
using vtpm::provision::Provisioned;

namespace {

tl::unexpected<base::Error> not_arrived() {
  return base::fail(ErrorCode::kUnavailable,
                    "the TPM came from another host while its guest was running; it attests again "
                    "after its next start");
}

tl::unexpected<base::Error> not_served() {
  return base::fail(ErrorCode::kUnavailable, "the TPM is not powered on here");
}

class EphemeralState final : public TpmState {
 public:
  // Nothing yet: the state is still to arrive.
  EphemeralState() : provisioned_(not_arrived()) {}

  EphemeralState(vtpm::engine::MemoryNvStore memory, Provisioned provisioned,
                 const Identity& identity)
      : memory_(std::move(memory)),
        provisioned_(std::move(provisioned)),
        identity_(identity),
        made_(true) {}

  NvStore& nv_store() override { return memory_; }

  base::Result<Provisioned>& provisioned() override { return provisioned_; }

  [[nodiscard]] const Identity& identity() const override { return identity_; }

  [[nodiscard]] bool created() const override { return made_; }

  [[nodiscard]] std::string opened_by() const override {
    return "nothing: an ephemeral TPM is kept in memory only";
  }

  base::Result<void> close() override { return {}; }

 private:
  vtpm::engine::MemoryNvStore memory_;
  base::Result<Provisioned> provisioned_;
  const Identity identity_{};
  const bool made_ = false;
};

class StoredState final : public TpmState {
 public:
  StoredState(std::unique_ptr<Protector> protector, std::unique_ptr<StateStore> store,
              base::Result<Provisioned> provisioned, bool made)
      : protector_(std::move(protector)),
        store_(std::move(store)),
        provisioned_(std::move(provisioned)),
        identity_{store_->vm_id(), store_->boot_id()},
        made_(made) {}

  NvStore& nv_store() override { return *store_; }

  base::Result<Provisioned>& provisioned() override { return provisioned_; }

  [[nodiscard]] const Identity& identity() const override { return identity_; }

  [[nodiscard]] bool created() const override { return made_; }

  [[nodiscard]] std::string opened_by() const override { return protector_->opened_by(); }

  base::Result<void> close() override { return store_->close(); }

 private:
  std::unique_ptr<Protector> protector_;
  std::unique_ptr<StateStore> store_;
  base::Result<Provisioned> provisioned_;
  const Identity identity_;
  const bool made_;
};

class IncomingState final : public TpmState {
 public:
  IncomingState(std::unique_ptr<Protector> protector, vtpm::boot::StoreSettings settings,
                bool may_create)
      : protector_(std::move(protector)), store_(std::move(settings), *protector_, may_create) {}

  NvStore& nv_store() override { return store_; }

  base::Result<Provisioned>& provisioned() override { return provisioned_; }

  [[nodiscard]] const Identity& identity() const override { return identity_; }

  [[nodiscard]] bool created() const override { return false; }

  [[nodiscard]] std::string opened_by() const override {
    return "nothing yet: the state is still to arrive";
  }

  base::Result<void> close() override { return store_.close(); }

 private:
  std::unique_ptr<Protector> protector_;
  IncomingStore store_;
  base::Result<Provisioned> provisioned_ = not_arrived();
  const Identity identity_{};
};

std::unique_ptr<Protector> protector_of(const InstanceSetup& setup, const LaunchChoice& choice) {
  switch (choice.protection) {
    case Protection::kNone:
      return vtpm::boot::no_protector();
    case Protection::kHost:
      return vtpm::boot::host_key_protector(setup.key_file, setup.key_file_kind);
    case Protection::kHardware:
      return vtpm::boot::sealed_keys_protector(*choice.tee, *choice.vm_id, setup.tcb_grace,
                                               setup.export_for_openhcl);
    case Protection::kBroker:
      break;  // choose_launch() has refused it
  }
  return nullptr;
}

// A new TPM, with its keys and indices.
base::Result<Provisioned> make_tpm() {
  TRY_ASSIGN(permanent, vtpm::boot::manufacture());
  return vtpm::provision::provision(permanent.expose(), vtpm::provision::Past::kNew);
}

base::Result<std::unique_ptr<TpmState>> open_ephemeral(
    bool incoming, const std::optional<vmgs::format::VmId>& vm_id) {
  if (incoming) {
    return std::make_unique<EphemeralState>();
  }
  TRY_ASSIGN(tpm, make_tpm());
  vtpm::engine::MemoryNvStore memory;
  TRY(memory.store(vtpm::engine::BlobKind::kPermanent, tpm.permanent_state.expose()));
  tpm.permanent_state = {};
  TpmState::Identity identity;
  TRY(vmgs::crypto::random_bytes(identity.boot_id));
  if (vm_id) {
    identity.vm_id = *vm_id;
  } else {
    TRY_ASSIGN(drawn, vtpm::boot::new_vm_id());
    identity.vm_id = drawn;
  }
  return std::make_unique<EphemeralState>(std::move(memory), std::move(tpm), identity);
}

base::Result<std::unique_ptr<TpmState>> open_stored(const InstanceSetup& setup,
                                                    const vtpm::boot::StoreSettings& settings,
                                                    std::unique_ptr<Protector> protector) {
  auto opened = StateStore::open(settings, *protector);
  if (opened) {
    auto provisioned = setup.export_for_openhcl ? base::Result<Provisioned>(not_served())
                                                : vtpm::boot::provision_stored(**opened);
    return std::make_unique<StoredState>(std::move(protector), *std::move(opened),
                                         std::move(provisioned), false);
  }
  if (opened.error().code != ErrorCode::kNotFound || !setup.may_create) {
    return base::fail(std::move(opened).error());
  }
  TRY_ASSIGN(tpm, make_tpm());
  auto made = StateStore::create(settings, *protector, tpm.permanent_state.expose());
  if (!made) {
    // Of a store that is there, why it does not open says more than that none can be made.
    if (made.error().code == ErrorCode::kDenied) {
      return base::fail(std::move(opened).error());
    }
    // Nothing of this VM is missing: there is no folder to make it in.
    if (made.error().code == ErrorCode::kNotFound) {
      made.error().code = ErrorCode::kInvalidArgument;
    }
    return base::fail(std::move(made).error());
  }
  tpm.permanent_state = {};
  return std::make_unique<StoredState>(std::move(protector), *std::move(made), std::move(tpm),
                                       true);
}

}  // namespace

base::Result<std::unique_ptr<TpmState>> TpmState::open(const InstanceSetup& setup,
                                                       const LaunchChoice& choice) {
  if (choice.lifetime == Lifetime::kEphemeral) {
    return open_ephemeral(setup.incoming, choice.vm_id);
  }
  vtpm::boot::StoreSettings settings{.path = setup.store};
  settings.vm_id = choice.vm_id;
  settings.barriers = setup.barriers;
  auto protector = protector_of(setup, choice);
  if (setup.incoming) {
    return std::make_unique<IncomingState>(std::move(protector), std::move(settings),
                                           setup.may_create);
  }
  return open_stored(setup, settings, std::move(protector));
}

AttestationReadiness readiness_of(const base::Result<Provisioned>& provisioned) {
  if (!provisioned) {
    return {Readiness::kReportMissing, provisioned.error().message};
  }
  switch (provisioned->obstacle) {
    case Obstacle::kNone:
      break;
    case Obstacle::kAkMissing:
      return {Readiness::kAkMissing, provisioned->reason};
    case Obstacle::kAkSquatted:
      return {Readiness::kAkSquatted, provisioned->reason};
    case Obstacle::kUnproven:
    case Obstacle::kIndexSquatted:
      return {Readiness::kReportMissing, provisioned->reason};
  }
  return {};
}

Readiness readiness_of(const base::Error& error, const LaunchChoice& choice) {
  const bool hardware = choice.protection == Protection::kHardware;
  switch (error.code) {
    case ErrorCode::kNotFound:
      return Readiness::kStateMissing;
    case ErrorCode::kCorrupt:
      return Readiness::kStateDamaged;
    case ErrorCode::kAuthentication:
      return hardware ? Readiness::kSealedElsewhere : Readiness::kKeyMissing;
    case ErrorCode::kDenied:
      return hardware ? Readiness::kSealedElsewhere : Readiness::kStateForeign;
    case ErrorCode::kUnavailable:
      return Readiness::kStoreBusy;
    case ErrorCode::kIo:
      return Readiness::kStoreFailing;
    case ErrorCode::kInvalidArgument:
      break;
  }
  return Readiness::kNotSetUp;
}

}  // namespace tools::vtpm_instance
