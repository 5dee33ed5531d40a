// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/tpm_state.h"

#include <chrono>
#include <functional>
#include <utility>

#include "tools/vtpm-instance/attestation_record.h"
#include "tools/vtpm-instance/statement.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/random.h"
#include "vtpm/boot/incoming_store.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/new_vm_id.h"
#include "vtpm/boot/protector.h"
#include "vtpm/boot/provisioning.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/handover/ticket.h"

namespace tools::vtpm_instance {

using base::ErrorCode;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;
using vtpm::boot::IncomingStore;
using vtpm::boot::Protector;
using vtpm::boot::StateStore;
using vtpm::engine::BlobKind;
using vtpm::engine::NvStore;
using vtpm::provision::Provisioned;
using vtpm::provision::ProvisionWishes;
using vtpm::state::FlashStore;

namespace {

tl::unexpected<base::Error> not_arrived() {
  return base::fail(ErrorCode::kUnavailable,
                    "the TPM came from another host while its guest was running; it attests again "
                    "after its next start");
}

tl::unexpected<base::Error> of_confidential_vm() {
  return base::fail(
      ErrorCode::kDenied,
      "the TPM of a confidential VM passes to no other process: what its key may do is "
      "bound to this start. Restart the VM");
}

tl::unexpected<base::Error> not_served() {
  return base::fail(ErrorCode::kUnavailable, "the TPM is not powered on here");
}

void name_owner(const TpmState::Identity& identity, vtpm::handover::Estate& estate) {
  estate.vm_id = identity.vm_id;
  estate.boot_id = identity.boot_id;
}

TpmState::Identity identity_of(const StateStore& store) {
  return {store.vm_id(), store.boot_id(), store.is_imported()};
}

class EphemeralState final : public TpmState {
 public:
  // Nothing yet: the state is still to arrive.
  EphemeralState() : provisioned_(not_arrived()) {}

  // What another instance had.
  EphemeralState(vtpm::engine::MemoryNvStore memory, base::Result<Provisioned> provisioned,
                 const vtpm::handover::Estate& estate)
      : memory_(std::move(memory)),
        provisioned_(std::move(provisioned)),
        identity_{estate.vm_id, estate.boot_id} {}

  EphemeralState(vtpm::engine::MemoryNvStore memory, Provisioned provisioned,
                 const Identity& identity)
      : memory_(std::move(memory)),
        provisioned_(std::move(provisioned)),
        identity_(identity),
        made_(true) {}

  NvStore& nv_store() override { return memory_; }

  FlashStore* flash_store() override { return nullptr; }

  base::Result<Provisioned>& provisioned() override { return provisioned_; }

  [[nodiscard]] const Identity& identity() const override { return identity_; }

  [[nodiscard]] bool created() const override { return made_; }

  [[nodiscard]] std::string opened_by() const override {
    return "nothing: an ephemeral TPM is kept in memory only";
  }

  base::Result<void> close() override { return {}; }

  base::Result<void> hand_over(vtpm::handover::Estate& estate) override {
    name_owner(identity_, estate);
    for (const auto& [kind, slot] : {std::pair(BlobKind::kPermanent, &estate.memory_permanent),
                                     std::pair(BlobKind::kVolatile, &estate.memory_volatile)}) {
      TRY_ASSIGN(blob, memory_.load(kind));
      if (blob) {
        *slot = *std::move(blob);
      }
    }
    return {};
  }

  void abandon() override {}

 private:
  vtpm::engine::MemoryNvStore memory_;
  base::Result<Provisioned> provisioned_;
  const Identity identity_{};
  const bool made_ = false;
};

class StoredState final : public TpmState {
 public:
  enum class Past { kMade, kOpened, kOpenedWeaker };

  StoredState(std::unique_ptr<Protector> protector, std::unique_ptr<StateStore> store,
              base::Result<Provisioned> provisioned, Past past)
      : protector_(std::move(protector)),
        store_(std::move(store)),
        provisioned_(std::move(provisioned)),
        identity_(identity_of(*store_)),
        past_(past) {}

  NvStore& nv_store() override { return *store_; }

  FlashStore* flash_store() override { return store_.get(); }

  base::Result<Provisioned>& provisioned() override { return provisioned_; }

  [[nodiscard]] const Identity& identity() const override { return identity_; }

  [[nodiscard]] bool created() const override { return past_ == Past::kMade; }

  [[nodiscard]] std::string opened_by() const override {
    return protector_->opened_by() + (past_ == Past::kOpenedWeaker
                                          ? "; the state was under a stronger protection before, "
                                            "so that the TPM gets another "
                                            "endorsement seed"
                                          : "");
  }

  base::Result<void> close() override { return store_->close(); }

  base::Result<void> hand_over(vtpm::handover::Estate& estate) override {
    if (protector_->mode() == Protection::kHardware) {
      return of_confidential_vm();
    }
    name_owner(identity_, estate);
    TRY_ASSIGN(handed, store_->hand_over());
    estate.store = std::move(handed);
    return {};
  }

  void abandon() override { store_->abandon(); }

  StateStore* store() override { return store_.get(); }

 private:
  std::unique_ptr<Protector> protector_;
  std::unique_ptr<StateStore> store_;
  base::Result<Provisioned> provisioned_;
  const Identity identity_;
  const Past past_;
};

class BrokeredState final : public TpmState {
 public:
  BrokeredState(vtpm::boot::BrokerBoot& broker, vtpm::boot::BrokerBoot::Started started,
                base::Result<Provisioned> provisioned)
      : broker_(broker),
        started_(std::move(started)),
        provisioned_(std::move(provisioned)),
        identity_(identity_of(*started_.store)) {}

  NvStore& nv_store() override { return *started_.store; }

  FlashStore* flash_store() override { return &*started_.store; }

  base::Result<Provisioned>& provisioned() override { return provisioned_; }

  [[nodiscard]] const Identity& identity() const override { return identity_; }

  [[nodiscard]] bool created() const override { return started_.created; }

  [[nodiscard]] std::string opened_by() const override { return broker_.opened_by(); }

  base::Result<void> close_store() override { return broker_.close_store(); }

  base::Result<void> close() override { return broker_.close(); }

  base::Result<void> hand_over(vtpm::handover::Estate&) override { return of_confidential_vm(); }

  void abandon() override {}

 private:
  vtpm::boot::BrokerBoot& broker_;
  vtpm::boot::BrokerBoot::Started started_;
  base::Result<Provisioned> provisioned_;
  const Identity identity_;
};

class IncomingState final : public TpmState {
 public:
  IncomingState(std::unique_ptr<Protector> protector, vtpm::boot::StoreSettings settings,
                bool may_create)
      : protector_(std::move(protector)), store_(std::move(settings), *protector_, may_create) {}

  NvStore& nv_store() override { return store_; }

  FlashStore* flash_store() override { return &store_; }

  base::Result<Provisioned>& provisioned() override { return provisioned_; }

  [[nodiscard]] const Identity& identity() const override { return identity_; }

  [[nodiscard]] bool created() const override { return false; }

  [[nodiscard]] std::string opened_by() const override {
    return "nothing yet: the state is still to arrive";
  }

  base::Result<void> close() override { return store_.close(); }

  base::Result<void> hand_over(vtpm::handover::Estate& estate) override {
    if (store_.opened() == nullptr) {
      return base::fail(ErrorCode::kDenied, "the TPM has not arrived here yet");
    }
    TRY_ASSIGN(handed, store_.opened()->hand_over());
    name_owner({handed.vm_id, handed.boot_id}, estate);
    estate.store = std::move(handed);
    return {};
  }

  void abandon() override {
    if (store_.opened() != nullptr) {
      store_.opened()->abandon();
    }
  }

  StateStore* store() override { return store_.opened(); }

  base::Result<void> arrives_by(const vmgs::format::VmId& vm_id,
                                const vtpm::boot::Arrival& arrival) override {
    return store_.arrives_by(vm_id, arrival);
  }

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
      return setup.given_key ? vtpm::boot::given_key_protector(setup.given_key->clone())
                             : vtpm::boot::host_key_protector(setup.key_file, setup.key_file_kind);
    case Protection::kHardware:
      return vtpm::boot::sealed_keys_protector(*choice.tee, *choice.vm_id, setup.tcb_grace,
                                               setup.export_for_openhcl);
    case Protection::kBroker:
      break;  // it has one of its own
  }
  return nullptr;
}

vtpm::boot::StoreSettings settings_of(const InstanceSetup& setup, const LaunchChoice& choice) {
  vtpm::boot::StoreSettings settings{.path = setup.store};
  settings.vm_id = choice.vm_id;
  settings.barriers = setup.barriers;
  // One that arrives is not given back.
  if (!setup.migration_ticket.empty() && !setup.incoming) {
    settings.release_of = [path = setup.migration_ticket](const auto& ticket) {
      return vtpm::handover::read_release(path, ticket);
    };
  }
  return settings;
}

// What lies beside the ticket is over once the store has said so.
void settle_migration(const InstanceSetup& setup, const vmgs::format::Ownership& ownership) {
  if (!setup.migration_ticket.empty() && ownership.ticket != vmgs::format::TicketId()) {
    vtpm::handover::settle_claim(setup.migration_ticket, ownership.ticket);
    vtpm::handover::set_used_release_aside(setup.migration_ticket, ownership.ticket);
  }
}

// What all starts of a TPM have in common.
struct Start {
  const InstanceSetup& setup;
  const LaunchChoice& choice;
  vtpm::provision::Certifier* certifier;
  const vtpm::boot::BrokerBoot* broker = nullptr;

  base::Result<Provisioned> provision(
      const TpmState::Identity& identity,
      const std::function<base::Result<Provisioned>(const ProvisionWishes&)>& provision) const {
    ProvisionWishes wishes;
    wishes.now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    // The authority of the host has no say in what a broker certifies.
    wishes.ask_for_certificates = setup.ask_for_certificates && broker == nullptr;
    if (certifier == nullptr) {
      return provision(wishes);
    }
    TRY_ASSIGN(statement, statement_of(setup, choice, identity, broker));
    wishes.vouching.emplace(vtpm::provision::Vouching{
        .certifier = *certifier, .statement = statement, .tee = choice.tee.get()});
    return provision(wishes);
  }
};

base::Result<TpmState::Identity> new_identity(const std::optional<vmgs::format::VmId>& vm_id) {
  TpmState::Identity identity;
  TRY(vmgs::crypto::random_bytes(identity.boot_id));
  if (vm_id) {
    identity.vm_id = *vm_id;
  } else {
    TRY_ASSIGN(drawn, vtpm::boot::new_vm_id());
    identity.vm_id = drawn;
  }
  return identity;
}

// A new TPM, with its keys and indices.
base::Result<Provisioned> make_tpm(const Start& start, const TpmState::Identity& identity) {
  TRY_ASSIGN(permanent, vtpm::boot::manufacture());
  return start.provision(identity, [&](const ProvisionWishes& wishes) {
    return vtpm::provision::provision(permanent.expose(), vtpm::provision::Past::kNew, wishes);
  });
}

base::Result<std::unique_ptr<TpmState>> open_ephemeral(const Start& start) {
  if (start.setup.incoming) {
    return std::make_unique<EphemeralState>();
  }
  TRY_ASSIGN(identity, new_identity(start.choice.vm_id));
  TRY_ASSIGN(tpm, make_tpm(start, identity));
  vtpm::engine::MemoryNvStore memory;
  TRY(memory.store(vtpm::engine::BlobKind::kPermanent, tpm.permanent_state.expose()));
  tpm.permanent_state = {};
  return std::make_unique<EphemeralState>(std::move(memory), std::move(tpm), identity);
}

base::Result<std::unique_ptr<TpmState>> make_stored(const Start& start,
                                                    vtpm::boot::StoreSettings settings,
                                                    std::unique_ptr<Protector> protector,
                                                    base::Error why_not_opened) {
  TRY_ASSIGN(identity, new_identity(settings.vm_id));
  settings.vm_id = identity.vm_id;
  settings.boot_id = identity.boot_id;
  TRY_ASSIGN(tpm, make_tpm(start, identity));
  auto made = StateStore::create(settings, *protector, tpm.permanent_state.expose());
  if (!made) {
    // Of a store that is there, why it does not open says more than that none can be made.
    if (made.error().code == ErrorCode::kDenied) {
      return base::fail(std::move(why_not_opened));
    }
    // Nothing of this VM is missing: there is no folder to make it in.
    if (made.error().code == ErrorCode::kNotFound) {
      made.error().code = ErrorCode::kInvalidArgument;
    }
    return base::fail(std::move(made).error());
  }
  tpm.permanent_state = {};
  return std::make_unique<StoredState>(std::move(protector), *std::move(made), std::move(tpm),
                                       StoredState::Past::kMade);
}

base::Result<std::unique_ptr<TpmState>> open_stored(const Start& start,
                                                    const vtpm::boot::StoreSettings& settings,
                                                    std::unique_ptr<Protector> protector) {
  auto opened = StateStore::open(settings, *protector);
  if (opened) {
    auto& store = **opened;
    const bool weaker = store.is_weaker();
    auto provisioned =
        start.setup.export_for_openhcl
            ? base::Result<Provisioned>(not_served())
            : start.provision(identity_of(store), [&](const ProvisionWishes& wishes) {
                return vtpm::boot::provision_stored(store, wishes);
              });
    return std::make_unique<StoredState>(
        std::move(protector), *std::move(opened), std::move(provisioned),
        weaker ? StoredState::Past::kOpenedWeaker : StoredState::Past::kOpened);
  }
  if (opened.error().code != ErrorCode::kNotFound || !start.setup.may_create) {
    return base::fail(std::move(opened).error());
  }
  return make_stored(start, settings, std::move(protector), std::move(opened).error());
}

// The broker certifies, with the boot anchor, so the store is there before its TPM is provisioned.
base::Result<std::unique_ptr<TpmState>> open_brokered(const InstanceSetup& setup,
                                                      const LaunchChoice& choice,
                                                      const vtpm::boot::StoreSettings& settings,
                                                      vtpm::boot::BrokerBoot& broker) {
  TRY_ASSIGN(started, broker.start(settings, setup.may_create, vtpm::boot::manufacture));
  const Start start{.setup = setup, .choice = choice, .certifier = &broker, .broker = &broker};
  auto& store = *started.store;
  const auto past = started.created ? vtpm::provision::Past::kNew : vtpm::provision::Past::kUsed;
  auto provisioned = start.provision(identity_of(store), [&](const ProvisionWishes& wishes) {
    return vtpm::boot::provision_stored(store, wishes, past);
  });
  if (auto anchored = broker.anchor(); !anchored) {
    (void)broker.close();  // it is not served; why it is not says more than how it ended
    return base::fail(std::move(anchored).error());
  }
  return std::make_unique<BrokeredState>(broker, std::move(started), std::move(provisioned));
}

}  // namespace

base::Result<std::unique_ptr<TpmState>> TpmState::open(const InstanceSetup& setup,
                                                       const LaunchChoice& choice,
                                                       vtpm::provision::Certifier* certifier,
                                                       vtpm::boot::BrokerBoot* broker) {
  const Start start{.setup = setup, .choice = choice, .certifier = certifier};
  if (choice.lifetime == Lifetime::kEphemeral) {
    return open_ephemeral(start);
  }
  auto settings = settings_of(setup, choice);
  if (broker != nullptr) {
    return open_brokered(setup, choice, settings, *broker);
  }
  auto protector = protector_of(setup, choice);
  if (setup.incoming) {
    return std::make_unique<IncomingState>(std::move(protector), std::move(settings),
                                           setup.may_create);
  }
  TRY_ASSIGN(opened, open_stored(start, settings, std::move(protector)));
  settle_migration(setup, opened->store()->ownership());
  return opened;
}

base::Result<std::optional<vmgs::format::Ownership>> TpmState::ownership_in_store(
    const InstanceSetup& setup, const LaunchChoice& choice) {
  const auto protector = protector_of(setup, choice);
  return StateStore::ownership_in(settings_of(setup, choice), *protector);
}

base::Result<void> TpmState::take_back(const InstanceSetup& setup, const LaunchChoice& choice) {
  const auto protector = protector_of(setup, choice);
  TRY_ASSIGN(store, StateStore::open(settings_of(setup, choice), *protector));
  settle_migration(setup, store->ownership());
  return store->close();
}

base::Result<std::unique_ptr<TpmState>> TpmState::take_over(const InstanceSetup& setup,
                                                            const LaunchChoice& choice,
                                                            vtpm::handover::Estate& estate) {
  if (choice.tee != nullptr) {
    return of_confidential_vm();
  }
  auto provisioned = provisioned_of(estate.attestation, estate.index_password);
  if (choice.lifetime == Lifetime::kEphemeral) {
    vtpm::engine::MemoryNvStore memory;
    if (estate.memory_permanent.size() > 0) {
      TRY(memory.store(BlobKind::kPermanent, estate.memory_permanent.expose()));
    }
    if (estate.memory_volatile.size() > 0) {
      TRY(memory.store(BlobKind::kVolatile, estate.memory_volatile.expose()));
    }
    return std::make_unique<EphemeralState>(std::move(memory), std::move(provisioned), estate);
  }
  if (!estate.store || (choice.vm_id && *choice.vm_id != estate.vm_id)) {
    return base::fail(ErrorCode::kDenied, "the instance before serves another VM");
  }
  vtpm::boot::StoreSettings settings{.path = setup.store};
  settings.barriers = setup.barriers;
  auto protector = protector_of(setup, choice);
  TRY_ASSIGN(store, StateStore::take_over(std::move(settings), *protector,
                                          *std::exchange(estate.store, std::nullopt)));
  return std::make_unique<StoredState>(std::move(protector), std::move(store),
                                       std::move(provisioned), StoredState::Past::kOpened);
}

}  // namespace tools::vtpm_instance
