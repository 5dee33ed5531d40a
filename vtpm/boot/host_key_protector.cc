// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "vmgs/format/file_id.h"
#include "vtpm/boot/protector.h"

namespace vtpm::boot {

using keybroker::protocol::Protection;
using vmgs::format::FileId;
using vmgs::volume::Volume;

namespace {

// What is the same wherever the host has the key.
class HostProtector : public Protector {
 public:
  [[nodiscard]] Protection mode() const final { return Protection::kHost; }

  [[nodiscard]] base::Result<void> expect_fits(const Volume& volume) const final {
    if (!volume.encrypted()) {
      return base::fail(base::ErrorCode::kDenied,
                        "the VM's protection is host, but this store is not encrypted: whoever put "
                        "it here could read and make all of it. Protection is never taken down");
    }
    if (volume.contains(FileId::kSealedKeys)) {
      return base::fail(base::ErrorCode::kDenied,
                        "the VM's protection is host, but the key of this store is sealed by "
                        "hardware: give the launch document that it was made with");
    }
    if (volume.contains(FileId::kKeyProtector)) {
      return base::fail(base::ErrorCode::kDenied,
                        "the VM's protection is host, but the key of this store is wrapped under a "
                        "key of a broker: give the launch document that it was made with");
    }
    return {};
  }

  base::Result<bool> rotate(Volume&, vmgs::volume::Transaction) final { return false; }
};

class GivenKeyProtector final : public HostProtector {
 public:
  explicit GivenKeyProtector(vmgs::volume::DatastoreKey key) : key_(std::move(key)) {}

  base::Result<void> unlock(Volume& volume) override {
    auto unlocked = volume.unlock(vmgs::volume::fixed_key(key_.clone()));
    if (!unlocked) {
      return base::fail(std::move(unlocked).error().context("the key that was given"));
    }
    return {};
  }

  base::Result<Beginning> make() override { return Beginning{.key = key_.clone()}; }

  [[nodiscard]] std::string opened_by() const override { return "the key that was given"; }

 private:
  const vmgs::volume::DatastoreKey key_;
};

class HostKeyProtector final : public HostProtector {
 public:
  HostKeyProtector(std::filesystem::path key_file, sealing::KeyFileKind kind)
      : key_file_(std::move(key_file)), kind_(kind) {}

  base::Result<void> unlock(Volume& volume) override {
    auto key = sealing::read_host_key(key_file_, kind_);
    if (!key) {
      return base::fail(about_key(std::move(key).error()));
    }
    auto unlocked = volume.unlock(vmgs::volume::fixed_key(*std::move(key)));
    if (!unlocked) {
      return base::fail(std::move(unlocked).error().context("the key " + key_file_.string()));
    }
    return {};
  }

  base::Result<Beginning> make() override {
    // A key whose store a crash prevented has opened nothing yet.
    auto key = sealing::read_host_key(key_file_, kind_);
    if (!key && key.error().code == base::ErrorCode::kNotFound) {
      TRY_ASSIGN(made, make_key());
      return Beginning{.key = std::move(made)};
    }
    if (!key) {
      return base::fail(about_key(std::move(key).error()));
    }
    return Beginning{.key = *std::move(key)};
  }

  [[nodiscard]] std::string opened_by() const override {
    return "the host's key " + key_file_.string();
  }

 private:
  [[nodiscard]] base::Result<vmgs::volume::DatastoreKey> make_key() const {
    auto made = sealing::make_host_key(key_file_);
    if (!made && made.error().code == base::ErrorCode::kDenied) {
      made.error().code =
          base::ErrorCode::kIo;  // the system forbids it; nobody's key is in the way
    }
    return made;
  }

  // A store whose key is missing, open to others or no key is not a store that is missing or
  // somebody else's: only what the system has against reading it is another matter.
  [[nodiscard]] static base::Error about_key(base::Error error) {
    switch (error.code) {
      case base::ErrorCode::kNotFound:
      case base::ErrorCode::kDenied:
      case base::ErrorCode::kInvalidArgument:
        error.code = base::ErrorCode::kAuthentication;
        return std::move(error).context("the host's key for this store");
      default:
        return error;
    }
  }

  const std::filesystem::path key_file_;
  const sealing::KeyFileKind kind_;
};

}  // namespace

std::unique_ptr<Protector> given_key_protector(vmgs::volume::DatastoreKey key) {
  return std::make_unique<GivenKeyProtector>(std::move(key));
}

std::unique_ptr<Protector> host_key_protector(std::filesystem::path key_file,
                                              sealing::KeyFileKind kind) {
  return std::make_unique<HostKeyProtector>(std::move(key_file), kind);
}

}  // namespace vtpm::boot
