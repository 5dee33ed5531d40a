// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/protector.h"

namespace vtpm::boot {

using keybroker::protocol::Protection;
using vmgs::volume::Volume;

namespace {

class NoProtector final : public Protector {
 public:
  [[nodiscard]] Protection mode() const override { return Protection::kNone; }

  [[nodiscard]] base::Result<void> expect_fits(const Volume& volume) const override {
    if (volume.encrypted()) {
      return base::fail(base::ErrorCode::kDenied,
                        "the VM's protection is none, but this store is encrypted: give the "
                        "protection that it was made with");
    }
    return {};
  }

  base::Result<void> unlock(Volume&) override { return {}; }

  base::Result<bool> rotate(Volume&, vmgs::volume::Transaction) override { return false; }

  base::Result<Beginning> make() override { return Beginning{}; }

  [[nodiscard]] std::string opened_by() const override {
    return "nothing: the store is not encrypted";
  }
};

}  // namespace

std::unique_ptr<Protector> no_protector() { return std::make_unique<NoProtector>(); }

}  // namespace vtpm::boot
