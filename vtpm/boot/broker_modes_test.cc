// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/broker_boot_case.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/header.h"
#include "vmgs/format/header_spacing.h"

namespace vtpm::boot {
namespace {

using namespace tests::support::broker_boot;

using testing::HasSubstr;

class BrokerModesTest : public BrokerBootCase {};

TEST_F(BrokerModesTest, AForgedRefusalIsNone) {
  live("first");
  document_.offline_rule = OfflineRule::kAllow;
  live("second");
  FakeBroker other(kVm);
  broker_.refuses_release = "no";
  broker_.spoils = [&](base::Bytes& answer) {
    pb::Answer refusal;
    refusal.set_vm_id(std::string(reinterpret_cast<const char*>(kVm.data()), kVm.size()));
    refusal.mutable_refused()->set_reason("forged");
    answer = other.answer(base::bytes_of(broker_.release->SerializeAsString()), refusal);
  };

  const auto life = begin();

  ASSERT_TRUE(life.started);
  EXPECT_TRUE(life.boot->is_offline());
}

// What a crash before and after each arrow of a start leaves is the honest line.

TEST_F(BrokerModesTest, StartsOfflineWhereThatIsAllowedAndStaysTheSameLine) {
  document_.offline_rule = OfflineRule::kAllow;
  live("first");
  broker_is_away(true);
  for (const char* state : {"offline 1", "offline 2"}) {
    const auto life = begin();
    ASSERT_TRUE(life.started) << life.started.error().message;
    EXPECT_TRUE(life.boot->is_offline());
    EXPECT_TRUE(life.boot->anchor());
    EXPECT_EQ(life.boot->freshness().state, protocol::FreshnessState::kOffline);
    EXPECT_EQ(error_code(life.boot->certify(provision::CertificationOfEvidence{}, {})),
              ErrorCode::kUnavailable);
    life.write(state);
    EXPECT_TRUE(life.boot->close());
  }
  {
    const auto life = begin();
    EXPECT_EQ(life.boot->freshness().offline_boots, 3U);
    EXPECT_EQ(life.boot->kek(), "");
  }
  broker_is_away(false);
  EXPECT_EQ(found(), "offline 2");
  const auto life = serve();
  EXPECT_EQ(life.boot->freshness().offline_boots, 0U);
  EXPECT_EQ(life.boot->freshness().state, protocol::FreshnessState::kFresh);
}

// The first answer to the boot anchor is lost, so that the record of what follows has it as
// pending.
TEST_F(BrokerModesTest, AnEndThatWasNotedBeforeAnOfflineBootIsOfTheSameLine) {
  document_.offline_rule = OfflineRule::kAllow;
  live("first");
  {
    const auto life = begin();
    broker_.loses_answer = [](Method method) { return method == Method::kAnchor; };
    EXPECT_FALSE(life.boot->certify(provision::CertificationOfEvidence{}, {}));
    life.write("provisioned");
    broker_.loses_answer = nullptr;
    ASSERT_TRUE(life.boot->anchor());
    ASSERT_TRUE(life.boot->close());
    EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::CLOSED);
  }
  broker_is_away(true);
  {
    const auto life = begin();
    ASSERT_TRUE(life.started);
    life.write("offline");
  }
  broker_is_away(false);
  EXPECT_EQ(found(), "offline");
}

TEST_F(BrokerModesTest, AnOfflineStartNeedsThisMachine) {
  document_.offline_rule = OfflineRule::kAllow;
  live("first");
  broker_is_away(true);
  ++tee_.chip;

  expect_refused(Readiness::kBrokerAway, ErrorCode::kUnavailable);
}

TEST_F(BrokerModesTest, WhereOfflineIsDeniedNoSealedCopyStays) {
  document_.offline_rule = OfflineRule::kAllow;
  live("first");
  EXPECT_TRUE(begin().store().volume().contains(FileId::kSealedKeys));

  document_.offline_rule = OfflineRule::kDeny;
  EXPECT_FALSE(begin().store().volume().contains(FileId::kSealedKeys));
}

TEST_F(BrokerModesTest, AFirstBootIsNeverOffline) {
  document_.offline_rule = OfflineRule::kAllow;
  broker_is_away(true);

  EXPECT_EQ(error_code(begin().started), ErrorCode::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(BrokerModesTest, AStoreThatTheBrokerHasNotHeardOfDoesNotStartOffline) {
  document_.offline_rule = OfflineRule::kAllow;
  { ASSERT_TRUE(begin().started); }  // a first boot, which ends before its anchor
  broker_is_away(true);

  expect_refused(Readiness::kBrokerAway, ErrorCode::kUnavailable);

  broker_is_away(false);
  EXPECT_EQ(found(), "made");
}

TEST_F(BrokerModesTest, RefusesAStateThatAToolEdited) {
  live("first");
  {
    const auto life = begin();
    // A tool that has the key, as a tenant's own copy of the VM key gives it.
    auto& volume = const_cast<vmgs::volume::Volume&>(life.store().volume());
    vmgs::volume::Transaction edit(vmgs::volume::Sequence::kEdit);
    ASSERT_TRUE(volume.commit(edit));
  }
  const auto life = begin();
  EXPECT_EQ(error_code(life.started), ErrorCode::kDenied);
  EXPECT_THAT(life.started.error().message, HasSubstr("another program"));
}

// What lies in the table of files is in plaintext, for whoever has the storage.
TEST_F(BrokerModesTest, WhatWasTakenOutOfTheTableIsNotMissing) {
  namespace format = vmgs::format;
  live("first");
  const auto whole = copy("whole");
  for (const auto id : {FileId::kTpmNvram, FileId::kRecord}) {
    put_back(whole);
    auto edited = bytes();
    const format::HeaderArea area(reinterpret_cast<const std::byte*>(edited.data()),
                                  format::kHeaderAreaBytes);
    const auto spacing = format::detect_header_spacing(area);
    ASSERT_TRUE(spacing);
    for (const std::size_t slot : {0U, 1U}) {
      const auto header = format::decode_header(format::header_at(area, *spacing, slot));
      ASSERT_TRUE(header);
      const auto at = std::size_t{header->file_table_block} * format::kBlockBytes +
                      format::index(id) * sizeof(format::FileEntryLayout);
      edited.replace(at, sizeof(format::FileEntryLayout), sizeof(format::FileEntryLayout), '\0');
    }
    std::ofstream(path_, std::ios::binary) << edited;

    const auto life = begin();

    EXPECT_EQ(error_code(life.started), ErrorCode::kDenied) << describe(id);
    EXPECT_THAT(life.started.error().message, HasSubstr("without the key")) << describe(id);
    EXPECT_EQ(bytes(), edited) << "nothing is made in its place";
  }
  put_back(whole);
  EXPECT_EQ(found(), "first");
}

TEST_F(BrokerModesTest, OtherModesRefuseItsStoreAndItTheirs) {
  live("first");
  StoreSettings at;
  at.path = path_;
  at.vm_id = vmgs::format::VmId{kVm};
  const auto hardware =
      sealed_keys_protector(tee_, vmgs::format::VmId{kVm}, sealing::TcbGrace::kOver);
  EXPECT_EQ(error_code(StateStore::open(at, *hardware)), ErrorCode::kDenied);
  const auto host = host_key_protector(folder_ / "key", sealing::KeyFileKind::kFile);
  EXPECT_EQ(error_code(StateStore::open(at, *host)), ErrorCode::kDenied);

  document_.offline_rule = OfflineRule::kAllow;
  live("second");  // now with SEALED_KEYS beside it
  EXPECT_EQ(error_code(StateStore::open(at, *hardware)), ErrorCode::kDenied);

  std::filesystem::remove(path_);
  ASSERT_TRUE(StateStore::create(at, *hardware, base::bytes_of("sealed")));
  EXPECT_EQ(error_code(begin().started), ErrorCode::kDenied);
}

TEST_F(BrokerModesTest, ClaimsNameTheKeyAndTheFreshness) {
  live("first");
  const auto life = begin();
  auto claim = life.boot->freshness();
  EXPECT_EQ(claim.by, protocol::WitnessKind::kBroker);
  EXPECT_EQ(claim.state, protocol::FreshnessState::kFresh);
  EXPECT_EQ(claim.epoch, 2U);
  EXPECT_EQ(claim.acked, broker_.anchor->sequence);
  EXPECT_EQ(claim.sequence, life.store().volume().commit_sequence());
  EXPECT_EQ(claim.policy, protocol::AnchorClass::kBoot);
  ASSERT_TRUE(life.boot->anchor());
  EXPECT_EQ(life.boot->freshness().acked, claim.sequence);

  const auto kek = life.boot->kek();
  EXPECT_EQ(kek.size(), 32U);
  ASSERT_TRUE(life.boot->close());
  EXPECT_EQ(begin().boot->kek(), kek);
}

TEST_F(BrokerModesTest, CertifiesWithTheBootAnchorAndRenewsWithoutOne) {
  broker_.certifies = [](const auto& asked, pb::Anchored& anchored) {
    EXPECT_EQ(asked.extended_claims(), "claims");
    anchored.mutable_certificates()->set_ak("certificate");
  };
  provision::CertificationOfEvidence request;
  request.bound.report.extended_claims = "claims";
  const auto life = begin();

  const auto given = life.boot->certify(request, {});
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->ak, base::copy_of(base::bytes_of("certificate")));
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::BOOT);
  ASSERT_TRUE(life.boot->anchor());
  ASSERT_TRUE(life.boot->certify(request, {}));
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::RENEWAL);
  EXPECT_EQ(broker_.notices.size(), 2U);
}

TEST_F(BrokerModesTest, ARefusedCertificateIsNoRefusedAnchor) {
  for (const auto& [may_pass, not_offered, code] :
       {std::tuple(true, false, ErrorCode::kUnavailable),
        std::tuple(false, true, ErrorCode::kNotFound),
        std::tuple(false, false, ErrorCode::kDenied)}) {
    broker_.certifies = [pass = may_pass, none = not_offered](const auto&, pb::Anchored& anchored) {
      anchored.mutable_certification_refusal()->set_may_pass(pass);
      anchored.mutable_certification_refusal()->set_not_offered(none);
    };
    const auto life = begin();
    EXPECT_EQ(error_code(life.boot->certify(provision::CertificationOfEvidence{}, {})), code);
    EXPECT_TRUE(life.boot->anchor());
    EXPECT_EQ(life.boot->trouble(), std::nullopt);
  }
}

TEST_F(BrokerModesTest, WithoutEvidenceNothingIsAskedOffline) {
  document_.offline_rule = OfflineRule::kAllow;
  live("first");
  tee_.report_fails = base::Error{ErrorCode::kUnavailable, "the device is busy"};

  expect_refused(Readiness::kNotSetUp, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace vtpm::boot
