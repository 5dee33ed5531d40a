// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "vmgs/base/log.h"
#include "vmgs/format/file_id.h"
#include "vmgs/format/key_protector.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/boot/protector.h"
#include "vtpm/sealing/key_protector.h"
#include "vtpm/sealing/root_key.h"
#include "vtpm/sealing/sealed_keys.h"

namespace vtpm::boot {

using base::ErrorCode;
using keybroker::protocol::OfflineRule;
using keybroker::protocol::Protection;
using vmgs::format::FileId;
using vmgs::volume::Volume;

namespace {

sealing::VmKey vm_key_of(const BrokerBoot& boot) {
  return {base::Secret<32>::copy_of(boot.vm_key().bytes.expose())};
}

class BrokerProtector final : public Protector {
 public:
  explicit BrokerProtector(BrokerBoot& boot) : boot_(boot), vm_id_{boot.vm_id()} {}

  [[nodiscard]] Protection mode() const override { return Protection::kBroker; }

  [[nodiscard]] base::Result<void> expect_fits(const Volume& volume) const override {
    if (!volume.encrypted() || !volume.contains(FileId::kKeyProtector)) {
      return base::fail(ErrorCode::kDenied,
                        "the VM's protection is broker, but the key of this store is not wrapped "
                        "under a key of the broker: whoever put it here could read and make all of "
                        "it. Protection is never taken down");
    }
    return {};
  }

  base::Result<void> unlock(Volume& volume) override {
    TRY(boot_.claim());
    return boot_.is_offline() ? unlock_offline(volume) : unlock_with_vm_key(volume);
  }

  // The next root key is wrapped, and sealed where the VM may start offline, and proved in memory,
  // and only then committed together with its protectors. Without the broker the key stays: the
  // next start with it must find one under the VM's key.
  base::Result<bool> rotate(Volume& volume, vmgs::volume::Transaction transaction) override {
    if (boot_.is_offline()) {
      return false;
    }
    TRY_ASSIGN(content, volume.read(FileId::kKeyProtector));
    TRY_ASSIGN(previous, vmgs::format::decode_key_protector(
                             content.expose(), vmgs::format::DekWrapping::kAesKeyWrap));
    TRY_ASSIGN(next, make_proven(previous));
    transaction.put(FileId::kKeyProtector, next.key_protector,
                    vmgs::volume::Protection::kPlaintext);
    if (next.sealed_keys) {
      transaction.put(FileId::kSealedKeys, *next.sealed_keys, vmgs::volume::Protection::kPlaintext);
    } else {
      transaction.remove(FileId::kSealedKeys);  // of a time when the VM might start offline
    }
    transaction.remove(FileId::kHwKeyProtector);  // its key is of the past
    TRY(volume.rekey(next.key.datastore_key(), transaction));
    return true;
  }

  base::Result<Beginning> make() override {
    TRY(boot_.claim());
    if (boot_.is_offline()) {
      return base::fail(ErrorCode::kUnavailable,
                        "a store is made with a key of the key broker, which is away");
    }
    TRY(boot_.expect_new());
    TRY_ASSIGN(next, make_proven({}));
    return Beginning{.key = next.key.datastore_key(),
                     .sealed_keys = std::move(next.sealed_keys),
                     .key_protector = std::move(next.key_protector)};
  }

  [[nodiscard]] std::string opened_by() const override {
    if (boot_.is_offline()) {
      return "a key that only this VM on this machine derives, without the key broker: nothing "
             "says "
             "that this is the newest state";
    }
    return boot_.has_rejoined()
               ? "a key that only this VM on this machine derives; the key broker, "
                 "which was away then, has found it to be the newest state since"
               : "a key that the key broker released";
  }

 private:
  struct Next {
    sealing::EgressKey key;
    base::Bytes key_protector;
    std::optional<base::Bytes> sealed_keys;
  };

  base::Result<void> unlock_with_vm_key(Volume& volume) {
    auto unlocked = volume.unlock(sealing::dek_source(vm_key_of(boot_)));
    // An empty protector is no missing store.
    if (!unlocked && unlocked.error().code == ErrorCode::kNotFound) {
      unlocked.error().code = ErrorCode::kAuthentication;
    }
    return unlocked;
  }

  base::Result<void> unlock_offline(Volume& volume) {
    auto unlocked = volume.unlock(sealing::ingress_source(
        [this](const vmgs::volume::ProtectorReader& read) -> base::Result<sealing::IngressKey> {
          TRY_ASSIGN(sealed_keys, read(FileId::kSealedKeys));
          TRY_ASSIGN(unsealed, sealing::unseal(sealed_keys, boot_.settings().tee, vm_id_));
          return sealing::IngressKey(std::move(unsealed.key.bytes));
        }));
    if (!unlocked && unlocked.error().code != ErrorCode::kIo &&
        unlocked.error().code != ErrorCode::kCorrupt) {
      return boot_.refuse_offline(std::move(unlocked).error());
    }
    return unlocked;
  }

  base::Result<Next> make_proven(const vmgs::format::KeyProtector& previous) {
    TRY_ASSIGN(key, sealing::EgressKey::draw());
    const auto vm_key = vm_key_of(boot_);
    TRY_ASSIGN(key_protector, sealing::wrap_dek(key, vm_key, previous));
    TRY(sealing::prove_dek(key_protector, vm_key, key));
    TRY_ASSIGN(sealed_keys, sealed(key));
    return Next{std::move(key), std::move(key_protector), std::move(sealed_keys)};
  }

  // A machine that derives no keys starts its VMs with the broker only.
  base::Result<std::optional<base::Bytes>> sealed(const sealing::EgressKey& key) {
    if (boot_.settings().document.offline_rule != OfflineRule::kAllow) {
      return std::optional<base::Bytes>();
    }
    auto& tee = boot_.settings().tee;
    const auto root_key = key.datastore_key();
    auto made = sealing::seal(root_key, tee, vm_id_);
    if (!made && made.error().code == ErrorCode::kUnavailable) {
      base::log(base::LogLevel::kWarning,
                "this machine seals no keys, so that this VM cannot start here without its key "
                "broker: " +
                    made.error().message);
      return std::optional<base::Bytes>();
    }
    TRY_ASSIGN(sealed_keys, std::move(made));
    TRY(sealing::prove(sealed_keys, tee, vm_id_, root_key));
    return std::optional<base::Bytes>(std::move(sealed_keys));
  }

  BrokerBoot& boot_;
  const vmgs::format::VmId vm_id_;
};

}  // namespace

std::unique_ptr<Protector> broker_protector(BrokerBoot& boot) {
  return std::make_unique<BrokerProtector>(boot);
}

}  // namespace vtpm::boot
