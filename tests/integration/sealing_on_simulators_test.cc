// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "keybroker/protocol/launch_document.h"
#include "tests/support/error_code.h"
#include "tests/support/simulated_mints.h"
#include "tests/support/temp_folder.h"
#include "vtpm/sealing/launch.h"
#include "vtpm/sealing/openhcl_key.h"
#include "vtpm/sealing/sealed_keys.h"
#include "vtpm/tee_sim/folder.h"
#include "vtpm/tee_sim/simulated_tee.h"

namespace tests::integration {
namespace {

namespace sealing = vtpm::sealing;
namespace tee_sim = vtpm::tee_sim;

using keybroker::protocol::LaunchDocument;
using keybroker::protocol::Protection;
using keybroker::protocol::TeeFamily;
using support::error_code;
using ::testing::AllOf;
using ::testing::HasSubstr;

// VMs on one simulated machine, which a test updates, downgrades or swaps between their starts.
class SealingOnSimulatorsTest : public ::testing::TestWithParam<TeeFamily> {
 protected:
  // A VM as its instance finds it: verified, with its TEE.
  struct Vm {
    std::unique_ptr<vtpm::tee::Tee> tee;
    vmgs::format::VmId id;
  };

  static base::Bytes document(unsigned char vm) {
    LaunchDocument document;
    document.vm_id.fill(std::byte{vm});
    document.tee_family = GetParam();
    document.protection = Protection::kHardware;
    return *encode(document);
  }

  [[nodiscard]] Vm start(unsigned char vm, const std::string& machine = "machine") const {
    const auto bytes = document(vm);
    auto tee = *tee_sim::open_simulated_tee({.machine_folder = folder_ / machine,
                                             .launch_document = bytes,
                                             .family_of_new_machine = GetParam(),
                                             .now = support::mint_begin()});
    const auto launch = sealing::verify_launch(bytes, *tee);
    EXPECT_TRUE(launch) << launch.error().message;
    return {std::move(tee), {launch->document.vm_id}};
  }

  // Writes another machine.json: what an operator does to the machine between two starts.
  void change(const std::function<void(tee_sim::SnpMachine&)>& snp,
              const std::function<void(tee_sim::TdxMachine&)>& tdx) const {
    const auto folder = *tee_sim::MachineFolder::open(folder_ / "machine");
    auto found = folder.machine([]() -> base::Result<tee_sim::Machine> {
      return base::fail(base::ErrorCode::kNotFound, "no VM was started on this machine");
    });
    ASSERT_TRUE(found) << found.error().message;
    auto machine = *found;
    if (auto* as_snp = std::get_if<tee_sim::SnpMachine>(&machine)) {
      snp(*as_snp);
    } else {
      tdx(std::get<tee_sim::TdxMachine>(machine));
    }
    std::ofstream(folder_ / "machine" / tee_sim::kMachineFile) << tee_sim::to_json(machine);
  }

  void set_tcb(unsigned char version) const {
    change(
        [&](tee_sim::SnpMachine& m) {
          m.current.microcode = m.committed.microcode = m.reported.microcode = version;
        },
        [&](tee_sim::TdxMachine& m) { m.tee_tcb_svn[0] = std::byte{version}; });
  }

  static vmgs::volume::DatastoreKey root_key(unsigned char value = 0x42) {
    std::array<std::byte, 32> bytes{};
    bytes.fill(std::byte{value});
    return {base::Secret<32>::copy_of(bytes)};
  }

  static base::Bytes seal(const Vm& vm) { return *sealing::seal(root_key(), *vm.tee, vm.id); }

  static base::Result<sealing::Unsealed> unseal(base::ByteView sealed, const Vm& vm) {
    return sealing::unseal(sealed, *vm.tee, vm.id);
  }

  support::TempFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Tees, SealingOnSimulatorsTest,
                         ::testing::Values(TeeFamily::kSevSnp, TeeFamily::kTdx),
                         [](const auto& tee) {
                           return tee.param == TeeFamily::kSevSnp ? "Snp" : "Tdx";
                         });

TEST_P(SealingOnSimulatorsTest, OpensForTheSameVmAtItsNextStart) {
  const auto sealed = seal(start(1));

  const auto unsealed = unseal(sealed, start(1));

  ASSERT_TRUE(unsealed) << unsealed.error().message;
  EXPECT_TRUE(unsealed->key.bytes.equals_in_constant_time(root_key().bytes));
}

TEST_P(SealingOnSimulatorsTest, NeitherOfTwoVmsOpensTheOthersStore) {
  const auto of_one = seal(start(1));
  const auto of_two = seal(start(2));

  const auto one_by_two = unseal(of_one, start(2));
  ASSERT_EQ(error_code(one_by_two), base::ErrorCode::kDenied);
  EXPECT_THAT(one_by_two.error().message,
              AllOf(HasSubstr("launch digest: stored "), HasSubstr("VM id: stored 01010101")));
  EXPECT_EQ(error_code(unseal(of_two, start(1))), base::ErrorCode::kDenied);

  // Not even where the other VM's program lies about the id it is for.
  auto liar = start(2);
  liar.id = start(1).id;
  EXPECT_EQ(error_code(unseal(of_one, liar)), base::ErrorCode::kDenied);
}

TEST_P(SealingOnSimulatorsTest, AnotherImageDoesNotOpenIt) {
  const auto sealed = seal(start(1));
  change([](tee_sim::SnpMachine& m) { m.measurement.fill(std::byte{7}); },
         [](tee_sim::TdxMachine& m) { m.mr_td.fill(std::byte{7}); });

  const auto unsealed = unseal(sealed, start(1));

  ASSERT_EQ(error_code(unsealed), base::ErrorCode::kDenied);
  EXPECT_THAT(unsealed.error().message, HasSubstr("launch measurement: stored "));
}

TEST_P(SealingOnSimulatorsTest, ADebugPolicyDoesNotOpenIt) {
  const auto sealed = seal(start(1));
  change([](tee_sim::SnpMachine& m) { m.policy = 0xB0000; },
         [](tee_sim::TdxMachine& m) { m.attributes |= 1; });

  const auto unsealed = unseal(sealed, start(1));

  ASSERT_EQ(error_code(unsealed), base::ErrorCode::kAuthentication);
  EXPECT_THAT(unsealed.error().message, HasSubstr("debugging allowed"));
}

TEST_P(SealingOnSimulatorsTest, AnotherMachineDoesNotOpenIt) {
  const auto sealed = seal(start(1));

  EXPECT_EQ(error_code(unseal(sealed, start(1, "other machine"))),
            base::ErrorCode::kAuthentication);
}

TEST_P(SealingOnSimulatorsTest, AFirmwareUpdateAndItsTakingBack) {
  static_cast<void>(start(1));  // makes the machine
  set_tcb(20);
  const auto before = start(1);
  const auto sealed = seal(before);

  set_tcb(21);
  const auto after = start(1);
  const auto opened = unseal(sealed, after);
  ASSERT_TRUE(opened) << opened.error().message;
  const auto both =
      *sealing::reseal(root_key(0x43), *after.tee, after.id, *opened, sealing::TcbGrace::kRunning);
  EXPECT_TRUE(sealing::prove(both, *after.tee, after.id, root_key(0x43)));
  const auto only_new =
      *sealing::reseal(root_key(0x43), *after.tee, after.id, *opened, sealing::TcbGrace::kOver);

  set_tcb(20);
  const auto taken_back = start(1);
  EXPECT_EQ(unseal(both, taken_back)->opened, 1U);
  const auto refused = unseal(only_new, taken_back);
  ASSERT_EQ(error_code(refused), base::ErrorCode::kDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("This machine's TCB is older"));
}

TEST_P(SealingOnSimulatorsTest, EveryAlteredBitIsRefused) {
  const auto vm = start(1);
  const auto sealed = seal(vm);
  for (std::size_t i = 0; i < sealed.size() * 8; ++i) {
    auto altered = sealed;
    altered[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
    ASSERT_FALSE(unseal(altered, vm)) << "bit " << i;
  }
}

TEST_P(SealingOnSimulatorsTest, AnExportForOpenHclOpensAgain) {
  const auto vm = start(1);
  const auto exported = sealing::export_hw_key_protector(root_key(), *vm.tee, "{}");
  ASSERT_TRUE(exported) << exported.error().message;

  const auto again = start(1);
  EXPECT_TRUE(sealing::open_hw_key_protector(*exported, *again.tee, "{}")
                  ->bytes.equals_in_constant_time(root_key().bytes));
  EXPECT_EQ(error_code(sealing::open_hw_key_protector(*exported, *again.tee, "{ }")),
            base::ErrorCode::kAuthentication);
}

}  // namespace
}  // namespace tests::integration
