// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/sealed_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "vmgs/format/sealed_keys.h"

namespace vtpm::sealing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using tests::support::error_code;
using tests::support::FakeTee;
using vmgs::format::VmId;

VmId vm_id(unsigned char value = 0x11) {
  VmId id;
  id.bytes.fill(std::byte{value});
  return id;
}

DatastoreKey root_key(unsigned char value = 0x42) {
  std::array<std::byte, 32> bytes{};
  bytes.fill(std::byte{value});
  return {base::Secret<32>::copy_of(bytes)};
}

bool is_root_key(const base::Result<Unsealed>& unsealed, unsigned char value = 0x42) {
  return unsealed && unsealed->key.bytes.equals_in_constant_time(root_key(value).bytes);
}

// A machine whose committed TCB has this microcode.
FakeTee snp_at(unsigned char microcode) {
  auto fake = FakeTee::snp();
  fake.machine.committed_svn[7] = std::byte{microcode};
  return fake;
}

tee::Svn svn_at(unsigned char microcode) { return snp_at(microcode).machine.committed_svn; }

// The refusal of a VM on `here` for what was sealed on `there`.
base::Error refusal(FakeTee there, FakeTee here, const VmId& id = vm_id()) {
  const auto sealed = seal(root_key(), there, vm_id());
  const auto unsealed = unseal(*sealed, here, id);
  EXPECT_FALSE(unsealed);
  return unsealed ? base::Error{} : unsealed.error();
}

class SealedKeysTest : public ::testing::TestWithParam<bool> {
 protected:
  static FakeTee machine() { return GetParam() ? FakeTee::tdx() : FakeTee::snp(); }
};

INSTANTIATE_TEST_SUITE_P(BothTees, SealedKeysTest, ::testing::Bool(),
                         [](const auto& machine) { return machine.param ? "Tdx" : "Snp"; });

TEST_P(SealedKeysTest, OpenWhereTheyWereSealed) {
  auto here = machine();
  const auto sealed = seal(root_key(), here, vm_id());
  ASSERT_TRUE(sealed);

  const auto unsealed = unseal(*sealed, here, vm_id());

  ASSERT_TRUE(is_root_key(unsealed));
  EXPECT_EQ(unsealed->opened, 0U);
  EXPECT_EQ(unsealed->svns, std::vector<tee::Svn>{here.machine.committed_svn});
}

TEST_P(SealedKeysTest, NeverHoldTheKeyOrTheSameBytesTwice) {
  auto here = machine();

  const auto first = *seal(root_key(), here, vm_id());
  const auto second = *seal(root_key(), here, vm_id());

  EXPECT_NE(first, second);
  EXPECT_THAT(base::to_hex(first), Not(HasSubstr(std::string(8, '4') + "2")));
}

TEST_P(SealedKeysTest, RecordWhatTheReportOfThisVmSays) {
  auto here = machine();
  const auto entries = *vmgs::format::decode_sealed_keys(*seal(root_key(), here, vm_id()));

  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].measurement, here.machine.measurement);
  EXPECT_EQ(entries[0].launch_digest, here.machine.launch_digest.bytes);
  EXPECT_EQ(entries[0].svn, here.machine.committed_svn);
  EXPECT_EQ(entries[0].vm_id, vm_id());
}

TEST_P(SealedKeysTest, AreRefusedWithAnyBitChanged) {
  auto here = machine();
  const auto sealed = *seal(root_key(), here, vm_id());
  for (std::size_t i = 0; i < sealed.size() * 8; ++i) {
    auto altered = sealed;
    altered[i / 8] ^= static_cast<std::byte>(1U << (i % 8));

    const auto unsealed = unseal(altered, here, vm_id());

    ASSERT_FALSE(unsealed) << "bit " << i;
  }
}

// One image on one chip, started with another launch document: the derived key of SNP is the same,
// so only the context keeps the stores apart.
TEST_P(SealedKeysTest, OfTwoVmsWithOneImageAndChipOpenForNeitherOther) {
  auto vm_a = machine();
  auto vm_b = machine();
  vm_b.machine.launch_digest.bytes[0] = std::byte{0xCC};
  const auto of_a = *seal(root_key(), vm_a, vm_id());
  const auto of_b = *seal(root_key(), vm_b, vm_id());

  EXPECT_EQ(error_code(unseal(of_a, vm_b, vm_id())), base::ErrorCode::kDenied);
  EXPECT_EQ(error_code(unseal(of_b, vm_a, vm_id())), base::ErrorCode::kDenied);

  // Nor does it help to write the other's digest into the file.
  auto forged = of_a;
  for (std::size_t i = 0; i < 48; ++i) {
    forged[8 + 88 + i] = vm_b.machine.launch_digest.bytes.at(i);
  }
  EXPECT_EQ(error_code(unseal(forged, vm_b, vm_id())), base::ErrorCode::kAuthentication);
}

TEST_P(SealedKeysTest, OfAnotherVmIdAreRefusedByName) {
  const auto error = refusal(machine(), machine(), vm_id(0x22));

  EXPECT_EQ(error.code, base::ErrorCode::kDenied);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("VM id: stored 11111111-1111-1111-1111-111111111111, here "
                              "22222222-2222-2222-2222-222222222222"),
                    HasSubstr("this is the store of another VM"),
                    Not(HasSubstr("launch measurement")), Not(HasSubstr("launch digest"))));
}

TEST_P(SealedKeysTest, OfAnotherImageAreRefusedByMeasurement) {
  auto updated = machine();
  updated.machine.measurement.fill(std::byte{0xCD});

  const auto error = refusal(machine(), updated);

  EXPECT_EQ(error.code, base::ErrorCode::kDenied);
  std::string aa;
  std::string cd;
  for (int i = 0; i < 48; ++i) {
    aa += "aa";
    cd += "cd";
  }
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("launch measurement: stored " + aa + ", here " + cd),
                    HasSubstr("start the VM with the image"), Not(HasSubstr("VM id: stored"))));
}

TEST_P(SealedKeysTest, ThatDifferInNothingRecordedPointToChipAndPolicy) {
  auto other_chip = machine();
  other_chip.chip = 2;
  const auto moved = refusal(machine(), other_chip);
  EXPECT_EQ(moved.code, base::ErrorCode::kAuthentication);
  EXPECT_THAT(moved.message, AllOf(HasSubstr("All that it records fits this VM"),
                                   HasSubstr("debugging not allowed"),
                                   HasSubstr("on the machine that sealed it")));

  auto debugged = machine();
  debugged.machine.policy |= 1U << 19;
  debugged.machine.debug = true;
  const auto opened_up = refusal(machine(), debugged);
  EXPECT_EQ(opened_up.code, base::ErrorCode::kAuthentication);
  EXPECT_THAT(opened_up.message, HasSubstr("debugging allowed"));
}

TEST_P(SealedKeysTest, OfASimulatorNeverOpenOnARealMachineNorTheReverse) {
  auto simulated = machine();
  simulated.machine.simulated = true;

  const auto on_real = refusal(simulated, machine());
  EXPECT_EQ(on_real.code, base::ErrorCode::kDenied);
  EXPECT_THAT(on_real.message,
              AllOf(HasSubstr("stored simulated"), HasSubstr("only vtpm-instance-sim")));

  const auto on_simulated = refusal(machine(), simulated);
  EXPECT_EQ(on_simulated.code, base::ErrorCode::kDenied);
  EXPECT_THAT(on_simulated.message, HasSubstr("a simulator never does"));
}

// Computed in Python: HMAC-SHA-256 as SP 800-108 wants it, AES-256-GCM of the cryptography package;
// TEE key 00..1F, nonce 50..5B, root key 32 times AB. Label and context differ for each TEE.
TEST(SealedKeysTeeTest, OpenTheKnownAnswers) {
  struct Known {
    FakeTee tee;
    bool simulated;
    std::string_view sealed;  // nonce, ciphertext and tag
  };

  const std::array<Known, 4> known{
      Known{FakeTee::snp(), false,
            "505152535455565758595a5b325345d59adf0c7a4333bf5e7944922dd0702b0ade5d88c43cfb88550c3a8a"
            "7cb124c6affe1ae837b5c076c312a4d749"},
      Known{FakeTee::snp(), true,
            "505152535455565758595a5b7805f1567dca6253a97861d9dbf0154a7eaa5d3c987707c35c1535d9d0ffce"
            "246d6e3e84663bed3a9ea460c84edd717b"},
      Known{FakeTee::tdx(), false,
            "505152535455565758595a5be5dc54b4c24291a938261f39843860b142775ff1a04aeb8dd65ce62ef7d153"
            "b91fef767be9bdaccd6dfd4e7f986098dd"},
      Known{FakeTee::tdx(), true,
            "505152535455565758595a5b7b3210b825bfc4b44ce5db6726ac8dcf964bc3079fce3ab2450f8b1283774a"
            "ce48a1a679e2e5014378d6b56a1044b6f9"}};
  for (auto answer : known) {
    auto& tee = answer.tee;
    tee.machine.simulated = answer.simulated;
    tee.fixed_key.emplace();
    for (std::size_t i = 0; i < 32; ++i) {
      (*tee.fixed_key)[i] = static_cast<std::byte>(i);
    }
    auto file = *seal(root_key(), tee, vm_id());
    const auto sealed = *base::from_hex(answer.sealed);
    std::copy(sealed.begin(), sealed.end(), file.begin() + 8 + 152);

    EXPECT_TRUE(is_root_key(unseal(file, tee, vm_id()), 0xAB));
    EXPECT_EQ(tee.asked.scheme, tee::KeyScheme::kSealedKeys);
  }
}

TEST(SealedKeysTeeTest, OfTheOtherTeeAreRefusedByName) {
  const auto error = refusal(FakeTee::snp(), FakeTee::tdx());

  EXPECT_EQ(error.code, base::ErrorCode::kDenied);
  EXPECT_THAT(error.message, AllOf(HasSubstr("TEE: stored SEV-SNP, here TDX"),
                                   HasSubstr("start the VM on the SEV-SNP machine")));
}

TEST(SealedKeysTeeTest, AreNotTriedAgainstATeeThatCannotOpenThem) {
  // Hosts limit how often firmware may be asked.
  auto there = FakeTee::snp();
  const auto sealed = *seal(root_key(), there, vm_id());
  auto here = FakeTee::snp();
  here.machine.measurement.fill(std::byte{1});

  EXPECT_FALSE(unseal(sealed, here, vm_id()));
  EXPECT_EQ(here.derived, 0);
}

TEST(SealedKeysTeeTest, PassOnWhatFailsInTheTee) {
  auto here = FakeTee::snp();
  const auto sealed = *seal(root_key(), here, vm_id());

  here.derive_fails = base::Error{base::ErrorCode::kUnavailable, "the device is busy"};
  EXPECT_EQ(error_code(unseal(sealed, here, vm_id())), base::ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(seal(root_key(), here, vm_id())), base::ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(prove(sealed, here, vm_id(), root_key())), base::ErrorCode::kUnavailable);
  here.derive_fails.reset();
  here.report_fails = base::Error{base::ErrorCode::kIo, "the firmware failed"};
  EXPECT_EQ(error_code(unseal(sealed, here, vm_id())), base::ErrorCode::kIo);
}

TEST(SealedKeysTeeTest, ThatAreNoneSayWhatIsWrong) {
  auto here = FakeTee::snp();

  const auto unsealed = unseal(base::bytes_of("not sealed keys"), here, vm_id());

  EXPECT_EQ(error_code(unsealed), base::ErrorCode::kCorrupt);
}

// The refusal is read by somebody whose VM does not start. This is the whole of it.
TEST(SealedKeysTeeTest, SayAllThatDiffersInOneMessage) {
  auto there = FakeTee::snp();
  auto here = FakeTee::snp();
  here.machine.launch_digest = {};

  EXPECT_EQ(refusal(there, here).message,
            "the root key in SEALED_KEYS does not open for this VM on this machine. Entry 1 of 1, "
            "sealed by SEV-SNP for VM 11111111-1111-1111-1111-111111111111 at TCB boot loader 3, "
            "TEE 0, SNP 8, microcode 115, bound to guest policy, measurement and TCB: These "
            "differ: launch digest: stored "
            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, here "
            "0000000000000000000000000000000000000000000000000000000000000000. To open it: start "
            "the VM with the launch document it was sealed under.");
}

TEST(TcbTest, ANewerMachineOpensWhatWasSealedBefore) {
  auto before = snp_at(115);
  auto after = snp_at(116);
  const auto sealed = *seal(root_key(), before, vm_id());

  const auto unsealed = unseal(sealed, after, vm_id());

  ASSERT_TRUE(is_root_key(unsealed));
  EXPECT_EQ(unsealed->svns, std::vector<tee::Svn>{svn_at(115)});
}

TEST(TcbTest, AnOlderMachineDoesNotAndSaysWhichTcbWould) {
  const auto error = refusal(snp_at(116), snp_at(115));

  EXPECT_EQ(error.code, base::ErrorCode::kDenied);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("This machine's TCB is older: stored boot loader 3, TEE 0, SNP 8, "
                              "microcode 116, here boot loader 3, TEE 0, SNP 8, microcode 115"),
                    HasSubstr("bring this machine's firmware to at least the stored TCB")));
}

TEST(TcbTest, InTheGracePeriodTheKeyIsSealedForBoth) {
  auto before = snp_at(115);
  auto after = snp_at(116);
  const auto opened = unseal(*seal(root_key(), before, vm_id()), after, vm_id());

  const auto resealed = reseal(root_key(0x43), after, vm_id(), *opened, TcbGrace::kRunning);

  ASSERT_TRUE(resealed);
  const auto on_new = unseal(*resealed, after, vm_id());
  ASSERT_TRUE(is_root_key(on_new, 0x43));
  EXPECT_EQ(on_new->opened, 0U);
  EXPECT_EQ(on_new->svns, (std::vector<tee::Svn>{svn_at(116), svn_at(115)}));

  // The operator takes the machine back: the second entry opens, and sealing goes on for it alone.
  const auto on_old = unseal(*resealed, before, vm_id());
  ASSERT_TRUE(is_root_key(on_old, 0x43));
  EXPECT_EQ(on_old->opened, 1U);
  const auto taken_back = reseal(root_key(0x44), before, vm_id(), *on_old, TcbGrace::kRunning);
  EXPECT_EQ(unseal(*taken_back, before, vm_id())->svns, std::vector<tee::Svn>{svn_at(115)});
}

TEST(TcbTest, WhileTheGracePeriodRunsTheEntryBeforeStays) {
  auto after = snp_at(116);
  auto before = snp_at(115);
  auto opened = unseal(*seal(root_key(), before, vm_id()), after, vm_id());
  for (int boot = 0; boot < 3; ++boot) {
    const auto resealed = reseal(root_key(), after, vm_id(), *opened, TcbGrace::kRunning);
    opened = unseal(*resealed, after, vm_id());
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->svns, (std::vector<tee::Svn>{svn_at(116), svn_at(115)}));
  }

  // A third TCB comes: the one right before it is kept, the oldest is not.
  auto third = snp_at(117);
  const auto resealed = reseal(root_key(), third, vm_id(), *opened, TcbGrace::kRunning);
  EXPECT_EQ(unseal(*resealed, third, vm_id())->svns,
            (std::vector<tee::Svn>{svn_at(117), svn_at(116)}));
}

TEST(TcbTest, AfterTheGracePeriodOnlyTheCommittedTcbOpens) {
  auto before = snp_at(115);
  auto after = snp_at(116);
  const auto opened = unseal(*seal(root_key(), before, vm_id()), after, vm_id());

  const auto resealed = reseal(root_key(), after, vm_id(), *opened, TcbGrace::kOver);

  EXPECT_TRUE(is_root_key(unseal(*resealed, after, vm_id())));
  EXPECT_EQ(error_code(unseal(*resealed, before, vm_id())), base::ErrorCode::kDenied);
}

TEST(TcbTest, ARefusalOfTwoEntriesSpeaksOfBoth) {
  auto before = snp_at(115);
  auto after = snp_at(116);
  const auto opened = unseal(*seal(root_key(), before, vm_id()), after, vm_id());
  const auto both = *reseal(root_key(), after, vm_id(), *opened, TcbGrace::kRunning);
  auto oldest = snp_at(114);

  const auto refused = unseal(both, oldest, vm_id());

  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("Entry 1 of 2"),
                                             HasSubstr("stored boot loader 3, TEE 0, SNP 8, "
                                                       "microcode 116"),
                                             HasSubstr("Entry 2 of 2"),
                                             HasSubstr("stored boot loader 3, TEE 0, SNP 8, "
                                                       "microcode 115")));
}

TEST(ProveTest, PassesWhatHoldsTheKeyInEveryEntry) {
  auto before = snp_at(115);
  auto after = snp_at(116);
  const auto opened = unseal(*seal(root_key(), before, vm_id()), after, vm_id());
  const auto both = *reseal(root_key(), after, vm_id(), *opened, TcbGrace::kRunning);
  after.derived = 0;

  EXPECT_TRUE(prove(both, after, vm_id(), root_key()));
  EXPECT_EQ(after.derived, 2);  // afresh, once for each entry
}

TEST(ProveTest, RefusesAnotherKeyAnotherVmAndADamagedEntry) {
  auto here = FakeTee::snp();
  auto sealed = *seal(root_key(), here, vm_id());

  const auto other_key = prove(sealed, here, vm_id(), root_key(0x43));
  EXPECT_EQ(error_code(other_key), base::ErrorCode::kAuthentication);
  const auto other_vm = prove(sealed, here, vm_id(0x22), root_key());
  EXPECT_EQ(error_code(other_vm), base::ErrorCode::kAuthentication);

  sealed[8 + 164] ^= std::byte{1};
  EXPECT_EQ(error_code(prove(sealed, here, vm_id(), root_key())), base::ErrorCode::kAuthentication);
}

TEST(ProveTest, SeesAFaultInTheSecondEntryToo) {
  auto before = snp_at(115);
  auto after = snp_at(116);
  const auto opened = unseal(*seal(root_key(), before, vm_id()), after, vm_id());
  auto both = *reseal(root_key(), after, vm_id(), *opened, TcbGrace::kRunning);
  both[8 + 216 + 164] ^= std::byte{1};

  EXPECT_TRUE(is_root_key(unseal(both, after, vm_id())));
  EXPECT_FALSE(prove(both, after, vm_id(), root_key()));
}

}  // namespace
}  // namespace vtpm::sealing
