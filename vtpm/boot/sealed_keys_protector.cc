// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmgs/crypto/random.h"
#include "vmgs/format/file_id.h"
#include "vtpm/boot/protector.h"
#include "vtpm/sealing/openhcl_key.h"

namespace vtpm::boot {

using keybroker::protocol::Protection;
using vmgs::format::FileId;
using vmgs::volume::DatastoreKey;
using vmgs::volume::Volume;

namespace {

class SealedKeysProtector final : public Protector {
 public:
  SealedKeysProtector(tee::Tee& tee, const vmgs::format::VmId& vm_id, sealing::TcbGrace grace,
                      std::optional<std::string> openhcl_vm_configuration)
      : tee_(tee),
        vm_id_(vm_id),
        grace_(grace),
        openhcl_vm_configuration_(std::move(openhcl_vm_configuration)) {}

  [[nodiscard]] Protection mode() const override { return Protection::kHardware; }

  [[nodiscard]] base::Result<void> expect_fits(const Volume& volume) const override {
    if (!volume.encrypted() || !volume.contains(FileId::kSealedKeys)) {
      return base::fail(base::ErrorCode::kDenied,
                        "the VM's protection is hardware, but the key of this store is not sealed "
                        "by hardware: whoever put it here could read and make all of it. "
                        "Protection is never taken down");
    }
    if (volume.contains(FileId::kKeyProtector)) {
      return base::fail(base::ErrorCode::kDenied,
                        "the VM's protection is hardware, but the key of this store is wrapped "
                        "under a key of a broker: give the launch document that it was made with");
    }
    return {};
  }

  base::Result<void> unlock(Volume& volume) override {
    opened_.clear();
    return volume.unlock(
        [this](const vmgs::volume::ProtectorReader& read) { return open_protector(read); });
  }

  // The next root key is sealed to the machine as it is now and proved in memory, and only then
  // committed together with its protector.
  base::Result<bool> rotate(Volume& volume, vmgs::volume::Transaction transaction) override {
    TRY_ASSIGN(current, volume.read(FileId::kSealedKeys));
    // Each of two generations may have had a protector of its own; the chosen one's counts.
    const auto opened = std::find_if(opened_.begin(), opened_.end(), [&](const Opened& candidate) {
      return std::ranges::equal(candidate.sealed_keys, current.expose());
    });
    if (opened == opened_.end()) {
      return base::fail(base::ErrorCode::kCorrupt, "SEALED_KEYS changed while it was opened");
    }
    TRY_ASSIGN(made, make_proven([&](const DatastoreKey& key) {
                 return sealing::reseal(key, tee_, vm_id_, opened->unsealed, grace_);
               }));
    transaction.put(FileId::kSealedKeys, made.sealed_keys, vmgs::volume::Protection::kPlaintext);
    TRY_ASSIGN(exported, export_of(made.key));
    if (exported) {
      transaction.put(FileId::kHwKeyProtector, *exported, vmgs::volume::Protection::kPlaintext);
    } else {
      transaction.remove(FileId::kHwKeyProtector);
    }
    TRY(volume.rekey(std::move(made.key), transaction));
    opened_.clear();
    return true;
  }

  base::Result<Beginning> make() override {
    TRY_ASSIGN(made, make_proven([this](const DatastoreKey& key) {
                 return sealing::seal(key, tee_, vm_id_);
               }));
    return Beginning{.key = std::move(made.key), .sealed_keys = std::move(made.sealed_keys)};
  }

  [[nodiscard]] std::string opened_by() const override {
    return "a key that only this VM on this machine derives";
  }

 private:
  struct Opened {
    base::Bytes sealed_keys;
    sealing::Unsealed unsealed;
  };

  struct Proven {
    DatastoreKey key;
    base::Bytes sealed_keys;
  };

  base::Result<DatastoreKey> open_protector(const vmgs::volume::ProtectorReader& read) {
    TRY_ASSIGN(sealed_keys, read(FileId::kSealedKeys));
    TRY_ASSIGN(unsealed, sealing::unseal(sealed_keys, tee_, vm_id_));
    auto key = unsealed.key.clone();
    opened_.push_back({std::move(sealed_keys), std::move(unsealed)});
    return key;
  }

  template <typename Seal>
  base::Result<Proven> make_proven(Seal seal) {
    TRY_ASSIGN(bytes, vmgs::crypto::random_secret<32>());
    DatastoreKey key{std::move(bytes)};
    TRY_ASSIGN(sealed_keys, seal(key));
    TRY(sealing::prove(sealed_keys, tee_, vm_id_, key));
    return Proven{std::move(key), std::move(sealed_keys)};
  }

  // The HW_KEY_PROTECTOR that was asked for, proved like SEALED_KEYS.
  base::Result<std::optional<base::Bytes>> export_of(const DatastoreKey& key) {
    if (!openhcl_vm_configuration_) {
      return std::optional<base::Bytes>();
    }
    TRY_ASSIGN(exported, sealing::export_hw_key_protector(key, tee_, *openhcl_vm_configuration_));
    TRY_ASSIGN(proved, sealing::open_hw_key_protector(exported, tee_, *openhcl_vm_configuration_));
    if (!proved.bytes.equals_in_constant_time(key.bytes)) {
      return base::fail(base::ErrorCode::kAuthentication,
                        "a fresh HW_KEY_PROTECTOR holds another key than was sealed");
    }
    return std::optional<base::Bytes>(std::move(exported));
  }

  tee::Tee& tee_;
  const vmgs::format::VmId vm_id_;
  const sealing::TcbGrace grace_;
  const std::optional<std::string> openhcl_vm_configuration_;
  std::vector<Opened> opened_;  // from unlock() to rotate()
};

}  // namespace

std::unique_ptr<Protector> sealed_keys_protector(tee::Tee& tee, const vmgs::format::VmId& vm_id,
                                                 sealing::TcbGrace grace,
                                                 std::optional<std::string> openhcl) {
  return std::make_unique<SealedKeysProtector>(tee, vm_id, grace, std::move(openhcl));
}

}  // namespace vtpm::boot
