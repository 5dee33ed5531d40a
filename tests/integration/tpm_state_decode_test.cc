// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/support/fake_nv_store.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/base/cursor.h"
#include "vmgs/format/tpm_permanent.h"
#include "vtpm/engine/engine.h"

// What the decoder of a TPM at rest says is compared with what the real TPM says of itself.
namespace tests::integration {
namespace {

using namespace tests::support;
using vtpm::engine::BlobKind;
using vtpm::engine::Engine;
using vtpm::engine::Origin;

// TPM_CAP and TPM_PT (TPM 2.0 Part 2, 6.12 and 6.13).
constexpr std::uint32_t kCapHandles = 1;
constexpr std::uint32_t kCapPcrs = 5;
constexpr std::uint32_t kCapProperties = 6;
constexpr std::uint32_t kPermanentFlags = 0x200;
constexpr std::uint32_t kLockoutCounter = 0x20E;
constexpr std::uint32_t kMaxAuthFail = 0x20F;
constexpr std::uint32_t kLockoutInterval = 0x210;
constexpr std::uint32_t kLockoutRecovery = 0x211;

constexpr std::uint32_t kSrk = 0x81000002;
constexpr std::uint32_t kPlain = 0x01500001;
constexpr std::uint32_t kInRam = 0x01500002;
constexpr std::uint32_t kCounter = 0x01500003;
constexpr std::uint32_t kGuarded = 0x01500004;

class TpmStateDecodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto created = Engine::create(store_);
    ASSERT_TRUE(created);
    engine_ = *std::move(created);
    ASSERT_TRUE(engine_->start(Origin::kManufacture));
    ASSERT_EQ(send(startup_clear()), kSuccess);
  }

  base::Bytes ask(base::Bytes command) {
    const auto answer = engine_->process({}, command);
    EXPECT_TRUE(answer);
    return answer ? base::copy_of(*answer) : base::Bytes(10);
  }

  std::uint32_t send(base::Bytes command) { return response_code(ask(std::move(command))); }

  // What follows the header and moreData of TPM2_GetCapability (Part 3, 30.2), and the capability.
  base::Bytes capability(std::uint32_t kind, std::uint32_t property) {
    base::Writer command;
    command.u16_be(0x8001);
    command.u32_be(22);
    command.u32_be(0x17A);
    command.u32_be(kind);
    command.u32_be(property);
    command.u32_be(64);
    const auto answer = ask(std::move(command).take());
    EXPECT_EQ(response_code(answer), kSuccess);
    constexpr std::size_t kBeforeList = 10 + 1 + 4;
    return base::Bytes(answer.begin() + kBeforeList, answer.end());
  }

  std::set<std::uint32_t> handles(std::uint32_t first) {
    const auto list = capability(kCapHandles, first);
    base::Reader in(list);
    std::set<std::uint32_t> found;
    const auto count = in.u32_be().value_or(0);
    for (std::uint32_t i = 0; i < count; ++i) {
      found.insert(in.u32_be().value_or(0));
    }
    return found;
  }

  std::uint32_t property(std::uint32_t wanted) {
    const auto list = capability(kCapProperties, wanted);
    base::Reader in(list);
    EXPECT_GE(in.u32_be().value_or(0), 1U);
    EXPECT_EQ(in.u32_be().value_or(0), wanted);
    return in.u32_be().value_or(0);
  }

  struct NvPublic {
    std::uint16_t name_algorithm = 0;
    std::uint32_t attributes = 0;
    bool has_policy = false;
    std::uint16_t size = 0;
  };

  // TPM2_NV_ReadPublic (Part 3, 31.6)
  NvPublic read_public(std::uint32_t index) {
    base::Writer command;
    command.u16_be(0x8001);
    command.u32_be(14);
    command.u32_be(0x169);
    command.u32_be(index);
    const auto answer = ask(std::move(command).take());
    EXPECT_EQ(response_code(answer), kSuccess);
    base::Reader in(base::ByteView(answer).subspan(10 + 2 + 4));
    NvPublic area;
    area.name_algorithm = in.u16_be().value_or(0);
    area.attributes = in.u32_be().value_or(0);
    const auto policy = in.u16_be().value_or(0);
    area.has_policy = policy != 0;
    EXPECT_TRUE(in.bytes(policy));
    area.size = in.u16_be().value_or(0);
    return area;
  }

  // TPM2_EvictControl (Part 3, 28.5) of a key that was just made, by the owner's empty password.
  std::uint32_t keep(std::uint32_t transient, std::uint32_t handle) {
    base::Writer command;
    command.u16_be(0x8002);
    command.u32_be(35);
    command.u32_be(0x120);
    command.u32_be(kOwner);
    command.u32_be(transient);
    command.u32_be(9);
    command.u32_be(0x40000009);
    command.u16_be(0);
    command.u8(0);
    command.u16_be(0);
    command.u32_be(handle);
    return send(std::move(command).take());
  }

  void use() {
    ASSERT_EQ(send(nv_define(kPlain, 16)), kSuccess);
    ASSERT_EQ(send(nv_write(kPlain, base::bytes_of("sixteen bytes ok"))), kSuccess);
    ASSERT_EQ(send(nv_define_orderly(kInRam, 8)), kSuccess);
    ASSERT_EQ(send(nv_write(kInRam, base::bytes_of("volatile"))), kSuccess);
    ASSERT_EQ(send(nv_define_counter(kCounter)), kSuccess);
    ASSERT_EQ(send(nv_increment(kCounter)), kSuccess);
    ASSERT_EQ(send(nv_define_guarded(kGuarded, 4)), kSuccess);
    const auto made = ask(create_primary_ecc(kOwner));
    ASSERT_EQ(response_code(made), kSuccess);
    base::Reader in(base::ByteView(made).subspan(10));
    ASSERT_EQ(keep(in.u32_be().value_or(0), kSrk), kSuccess);
    ASSERT_EQ(send(set_auth(kLockoutHierarchy, base::bytes_of("lockout"))), kSuccess);
    ASSERT_EQ(send(set_auth(kEndorsement, base::bytes_of("endorsement"))), kSuccess);
    // The first use of a guarded object after a start is answered with TPM_RC_RETRY.
    for (int tries = 0; tries < 3 && property(kLockoutCounter) == 0; ++tries) {
      EXPECT_NE(send(nv_read(kGuarded, 4, "wrong")), kSuccess);
    }
  }

  vmgs::format::TpmPermanent at_rest() {
    const auto blob = engine_->state_blob(BlobKind::kPermanent);
    EXPECT_TRUE(blob);
    state_ = blob ? base::copy_of(blob->expose()) : base::Bytes();
    auto tpm = vmgs::format::decode_tpm_permanent(state_);
    EXPECT_TRUE(tpm);
    return tpm ? *std::move(tpm) : vmgs::format::TpmPermanent();
  }

  base::Bytes state_;
  FakeNvStore store_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(TpmStateDecodeTest, NamesTheIndicesThatTheTpmHas) {
  use();

  const auto tpm = at_rest();

  EXPECT_EQ(tpm.not_understood, "");
  ASSERT_TRUE(tpm.nv);
  std::set<std::uint32_t> seen;
  for (const auto& index : tpm.nv->indices) {
    seen.insert(index.index);
    const auto area = read_public(index.index);
    EXPECT_EQ(index.data_bytes, area.size);
    EXPECT_EQ(index.name_algorithm, area.name_algorithm);
    EXPECT_EQ(index.has_policy, area.has_policy);
    if ((area.attributes & vmgs::format::kTpmNvOrderly) == 0) {
      EXPECT_EQ(index.attributes, area.attributes) << std::hex << index.index;
    }
  }
  EXPECT_EQ(seen, handles(0x01000000));
  EXPECT_EQ(seen, (std::set{kPlain, kInRam, kCounter, kGuarded}));
}

TEST_F(TpmStateDecodeTest, ReadsOrderlyIndicesAfterAShutdown) {
  use();
  const auto attributes = read_public(kInRam).attributes;
  ASSERT_EQ(send(shutdown_clear()), kSuccess);

  const auto tpm = at_rest();

  const auto found =
      std::ranges::find(tpm.orderly_indices, kInRam, &vmgs::format::TpmOrderlyIndex::index);
  ASSERT_NE(found, tpm.orderly_indices.end());
  EXPECT_EQ(found->attributes, attributes);
  EXPECT_TRUE(std::ranges::equal(found->content.first(8), base::bytes_of("volatile")));
}

TEST_F(TpmStateDecodeTest, NamesThePersistentObjectsThatTheTpmHas) {
  use();

  const auto tpm = at_rest();

  ASSERT_TRUE(tpm.nv);
  std::set<std::uint32_t> seen;
  for (const auto& each : tpm.nv->objects) {
    seen.insert(each.handle);
  }
  EXPECT_EQ(seen, handles(0x81000000));
  ASSERT_EQ(tpm.nv->objects.size(), 1U);
  const auto& key = tpm.nv->objects[0].object;
  EXPECT_EQ(key.type, 0x0023);   // TPM_ALG_ECC
  EXPECT_EQ(key.curve, 0x0003);  // P-256
  // TPM2_ReadPublic (Part 3, 12.4) gives the name behind the public area.
  base::Writer command;
  command.u16_be(0x8001);
  command.u32_be(14);
  command.u32_be(0x173);
  command.u32_be(kSrk);
  const auto answer = ask(std::move(command).take());
  ASSERT_EQ(response_code(answer), kSuccess);
  EXPECT_FALSE(std::ranges::search(answer, key.name).empty());
  EXPECT_EQ(key.name.size(), 34U);
}

TEST_F(TpmStateDecodeTest, CountsTriesAsTheTpmDoes) {
  use();

  const auto tpm = at_rest();

  EXPECT_EQ(tpm.lockout.failed_tries, 1U);
  EXPECT_EQ(tpm.lockout.failed_tries, property(kLockoutCounter));
  EXPECT_EQ(tpm.lockout.max_tries, property(kMaxAuthFail));
  EXPECT_EQ(tpm.lockout.recovery_seconds, property(kLockoutInterval));
  EXPECT_EQ(tpm.lockout.lockout_recovery_seconds, property(kLockoutRecovery));
}

TEST_F(TpmStateDecodeTest, TellsWhichAuthorizationsAreSet) {
  use();

  const auto tpm = at_rest();

  // TPMA_PERMANENT (Part 2, 8.6)
  const auto flags = property(kPermanentFlags);
  EXPECT_EQ(tpm.owner.has_authorization, (flags & 1U) != 0);
  EXPECT_EQ(tpm.endorsement.has_authorization, (flags & 2U) != 0);
  EXPECT_EQ(tpm.lockout_authority.has_authorization, (flags & 4U) != 0);
  EXPECT_EQ(tpm.clear_disabled, (flags & 0x100U) != 0);
  EXPECT_TRUE(tpm.lockout_authority.has_authorization);
  EXPECT_FALSE(tpm.owner.has_authorization);
}

TEST_F(TpmStateDecodeTest, ListsTheBanksThatTheTpmHas) {
  const auto tpm = at_rest();

  const auto list = capability(kCapPcrs, 0);
  base::Reader in(list);
  std::map<std::uint16_t, std::uint32_t> banks;
  const auto count = in.u32_be().value_or(0);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto algorithm = in.u16_be().value_or(0);
    const auto size = in.u8().value_or(0);
    for (std::uint8_t each = 0; each < size; ++each) {
      banks[algorithm] |= std::uint32_t{in.u8().value_or(0)} << (8 * each);
    }
  }
  ASSERT_EQ(tpm.banks.size(), banks.size());
  for (const auto& bank : tpm.banks) {
    EXPECT_EQ(bank.pcrs, banks[bank.algorithm]) << bank.algorithm;
  }
}

TEST_F(TpmStateDecodeTest, TellsHowTheTpmWasShutDown) {
  use();
  EXPECT_EQ(at_rest().shutdown, vmgs::format::TpmShutdown::kDaUsed);
  ASSERT_EQ(send(shutdown_clear()), kSuccess);
  EXPECT_EQ(at_rest().shutdown, vmgs::format::TpmShutdown::kClear);
  ASSERT_EQ(send(shutdown_state()), kSuccess);

  const auto tpm = at_rest();

  EXPECT_EQ(tpm.not_understood, "");
  EXPECT_EQ(tpm.shutdown, vmgs::format::TpmShutdown::kState);
  ASSERT_TRUE(tpm.resumable);
  EXPECT_TRUE(tpm.resumable->owner_enabled);
  EXPECT_TRUE(tpm.resumable->endorsement_enabled);
}

TEST_F(TpmStateDecodeTest, ReadsThePcrsOfARunningTpm) {
  std::array<std::byte, 32> digest{};
  digest.fill(std::byte{0x5A});
  ASSERT_EQ(send(pcr_extend(16, digest)), kSuccess);
  const auto answer = ask(pcr_read(16));
  const auto blob = engine_->state_blob(BlobKind::kVolatile);
  ASSERT_TRUE(blob);

  const auto tpm = vmgs::format::decode_tpm_volatile(blob->expose());

  ASSERT_TRUE(tpm);
  EXPECT_EQ(tpm->not_understood, "");
  const auto bank = std::ranges::find(tpm->pcrs, 0x000B, &vmgs::format::TpmPcrValues::algorithm);
  ASSERT_NE(bank, tpm->pcrs.end());
  EXPECT_TRUE(std::ranges::equal(bank->values.at(16), base::ByteView(answer).last(32)));
}

// No secret of the state is in what is told of it.
TEST_F(TpmStateDecodeTest, HasNoViewOfAnAuthorization) {
  use();

  const auto tpm = at_rest();

  ASSERT_FALSE(std::ranges::search(state_, base::bytes_of("endorsement")).empty());
  for (const auto& index : tpm.nv->indices) {
    EXPECT_TRUE(std::ranges::search(index.content, base::bytes_of("endorsement")).empty());
  }
}

}  // namespace
}  // namespace tests::integration
