// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "keybroker/client/anchor.h"
#include "keybroker/client/channel.h"
#include "keybroker/client/release.h"
#include "keybroker/protocol/freshness_claim.h"
#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/readiness.h"
#include "vmgs/base/result.h"
#include "vmgs/format/record.h"
#include "vtpm/boot/acceptance.h"
#include "vtpm/boot/protector.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/boot/witness.h"
#include "vtpm/provision/certifier.h"
#include "vtpm/tee/tee.h"

namespace vtpm::boot {

// BrokerBoot is one start of a VM whose state a key broker protects: the claim by which this start
// becomes the VM's owner and gets its key, the rule that keeps old and forked states out, and the
// notes of the state to the broker. In the order of a start:
//
//   start()          opens the store, or makes it
//     claim          evidence goes out; key, epoch and anchor come back, or a signed refusal
//     admit          the acceptance rule, before anything is written
//     rotation       a new root key under the VM's key and the record of this boot, in one commit
//   provisioning     certifies by this: with the first request goes the boot anchor
//   anchor()         the boot anchor, if it has not gone yet: a TPM is served after it, not before
//   close()          the orderly end, and the last anchor
//
// Where the broker is away and the launch document allows it, a store opens by the copy of its key
// that is sealed to this machine: an offline boot, which claims nothing and is certified by nobody.
//
// One owner, no lock, but for certify() and rejoin(), which may run on another thread once anchor()
// has returned, and take their turn with close(); is_offline() and trouble() may be asked on any.
class BrokerBoot final : public Witness, public provision::Certifier {
 public:
  struct Settings {
    keybroker::client::Channel& channel;
    tee::Tee& tee;
    keybroker::protocol::LaunchDocument document;  // which the TEE has vouched for
    base::Bytes launch_digest;                     // 32 bytes for SEV-SNP, 48 for TDX
    vmgs::format::BootId boot_id{};                // drawn for this start

    // The newest receipt that somebody else has kept for this VM, or nothing; and where a new one
    // is handed out, on any thread.
    base::Bytes receipt = {};
    std::function<void(base::ByteView)> keep_receipt = nullptr;

    // How long a start waits for a broker that asks to wait, before it counts as away.
    std::chrono::seconds patience{30};

    // Ends what waits for the broker in start(). A start that was stopped is neither in trouble nor
    // offline.
    std::stop_token stop = {};
  };

  explicit BrokerBoot(Settings settings);

  // start() opens the VM's store. Where there is none, or one that a first boot left which ended
  // before its anchor, it is made around the state that `make_tpm` gives, if it `may_create`; what
  // such a boot left is renamed. Errors of claim() and of StateStore; kNotFound for a store that is
  // missing. This outlives the store.
  struct Started {
    std::unique_ptr<StateStore> store;
    bool created = false;
  };

  base::Result<Started> start(StoreSettings settings, bool may_create,
                              const std::function<base::Result<base::SecretBytes>()>& make_tpm);

  // opened_by() says, for people, what opened it.
  [[nodiscard]] std::string opened_by() const { return protector_->opened_by(); }

  // claim() asks the broker once; later calls have the same outcome. kDenied for a refusal,
  // kUnavailable where the broker is away and the VM may not start without it; errors of the TEE.
  base::Result<void> claim();

  // Whether this boot goes on without the broker, and whether it did and has come back.
  [[nodiscard]] bool is_offline() const { return offline_; }

  [[nodiscard]] bool has_rejoined() const { return started_offline_ && !offline_; }

  // trouble() is why the VM does not start or must not go on, where the broker or the state's past
  // is the reason.
  [[nodiscard]] std::optional<keybroker::protocol::Readiness> trouble() const;

  // vm_key() wraps the store's key; only after a claim that was not offline.
  [[nodiscard]] const keybroker::client::VmKey& vm_key() const { return released_->vm_key; }

  // expect_new() is kNotFound where the broker has noted a state of this VM, so that its store is
  // missing and none is made.
  [[nodiscard]] base::Result<void> expect_new();

  // refuse_offline() ends a start without the broker whose store does not open.
  base::Result<void> refuse_offline(base::Error why);

  [[nodiscard]] const Settings& settings() const { return settings_; }

  [[nodiscard]] vmgs::format::VmId vm_id() const { return {settings_.document.vm_id}; }

  // kek() names the VM's key in claims: half of an HMAC by it. Empty in an offline boot.
  [[nodiscard]] std::string kek() const;

  // freshness() is what claims say of it now.
  [[nodiscard]] keybroker::protocol::FreshnessClaim freshness() const;

  // Witness.
  base::Result<Record> admit(const Anchor& opened, Record record) override;
  base::Result<Record> admit_again(const Anchor& last, const Anchor& opened,
                                   const Record& record) override;
  Record begin(Record record) override;

  // anchor() has the boot anchor at the broker when it succeeds, or this boot is offline. kDenied
  // for a refusal, kUnavailable where nobody knows what became of it.
  base::Result<void> anchor(const std::stop_token& stop = {});

  // rejoin() is how an offline boot comes back while its TPM is served: it claims, has the state as
  // it was opened judged, and notes the state of now, which makes it fresh. `at_rest` runs what it
  // is given while nobody uses the store. An error with trouble() says that the TPM must not answer
  // any more; after any other it is to be tried again. A boot that is not offline has nothing to
  // do. Any thread, also while its guest runs.
  using AtRest = std::function<void(const std::function<void()>&)>;

  base::Result<void> rejoin(const AtRest& at_rest, const std::stop_token& stop);

  // tell_condemned() tells the broker, after a rejoin() that found the state to be old or forked,
  // so that what certifies this VM's AK is revoked. Nothing else has anything to tell. It waits for
  // the answer, and is no use before the TPM is off. Any thread.
  base::Result<void> tell_condemned(const std::stop_token& stop);

  // Whether the broker wants the AK certified anew, whatever certificate it has. Asked by whoever
  // has seen anchor() or rejoin() succeed.
  [[nodiscard]] bool wants_certification() const { return wants_certification_; }

  // Certifier. The first request of a boot carries its anchor. kUnavailable in an offline boot.
  base::Result<provision::Certificates> certify(const provision::CertificationOfEvidence& request,
                                                const std::stop_token& stop) override;
  base::Result<provision::Certificates> certify(const provision::CertificationOfHost& request,
                                                const provision::AnswerChallenge& answer,
                                                const std::stop_token& stop) override;

  // close_store() is StateStore::close(). close() is that, if it has not been yet, and then the
  // last anchor, if the state has moved since the one before. That this does not reach the broker
  // within kEndLimit is no error: the state then descends from the one before.
  static constexpr std::chrono::seconds kEndLimit{5};

  base::Result<void> close_store();
  base::Result<void> close();

 private:
  base::Result<keybroker::client::Released> ask_broker(const std::stop_token& stop,
                                                       std::chrono::seconds patience,
                                                       base::ByteView receipt,
                                                       std::optional<base::Error>& no_evidence);
  base::Result<void> ask();
  base::Result<void> take_up(keybroker::client::Released released);
  base::Result<void> refuse(keybroker::protocol::Readiness why, base::Error error);
  [[nodiscard]] std::optional<base::Error> ended() const;
  [[nodiscard]] bool may_be_unknown(Verdict verdict, const Record& record) const;
  base::Result<void> show_receipt(base::ByteView receipt);
  static WitnessedHistory history_of(const keybroker::client::Released& released);
  void become_owner(Record& record) const;
  base::Result<void> expect(Verdict verdict, const Anchor& opened, const Record& record);
  base::Result<Anchor> recorded_state();
  base::Result<keybroker::client::AnchorRequest> request(
      keybroker::client::AnchorKind kind, const Anchor& point,
      std::optional<strongroom::instance::v1::ConfidentialCertification> certification) const;
  base::Result<keybroker::client::Anchored> send_once(
      const keybroker::client::AnchorRequest& request, const std::stop_token& stop);
  base::Result<keybroker::client::Anchored> send(const keybroker::client::AnchorRequest& request,
                                                 const std::stop_token& stop);
  base::Result<void> close_store_locked();
  void settle(const keybroker::client::Anchored& anchored);
  base::Result<keybroker::client::Anchored> anchor_boot(
      std::optional<strongroom::instance::v1::ConfidentialCertification> certification,
      const std::stop_token& stop);

  const Settings settings_;
  keybroker::client::Boot boot_;
  const std::unique_ptr<Protector> protector_;
  std::optional<keybroker::client::Released> released_;
  std::atomic<bool> offline_ = false;
  bool started_offline_ = false;
  bool found_unused_ = false;
  bool used_restore_ = false;

  // What ended this boot, and why, for people: a refusal, or its own judgement.
  mutable std::mutex ending_;
  std::optional<keybroker::protocol::Readiness> trouble_;
  std::optional<base::Error> ended_;

  // What the witness knows: that the broker told, and what it has acknowledged since.
  WitnessedHistory history_;

  struct Opened {
    Anchor at;
    Record record;
  };

  std::optional<Opened> opened_;  // by an offline boot, and not yet judged
  std::optional<Record> record_;  // what the next commit carries, or the last one has carried
  StateStore* store_ = nullptr;

  std::mutex talking_;  // one request at a time
  std::optional<keybroker::client::AnchorRequest> outstanding_;
  bool anchored_ = false;  // the boot anchor is at the broker
  bool wants_certification_ = false;
  std::optional<keybroker::client::AnchorRequest> condemnation_;
  std::optional<Anchor> end_;  // of the closed store, to be noted
};

// broker_protector() keeps the root key of a store under the VM's key, which the broker releases to
// `boot`, in KEY_PROTECTOR; each boot with the broker changes it. Where offline boots are allowed,
// SEALED_KEYS has the same key.
std::unique_ptr<Protector> broker_protector(BrokerBoot& boot);

}  // namespace vtpm::boot
