// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/broker_boot_case.h"
#include "tests/support/error_code.h"

// A VM goes from one TEE family to the other: what its tenant does at the broker, what its host
// does, and its starts in between, cut short anywhere.
namespace tests::integration {
namespace {

using protocol::Readiness;
using protocol::TeeFamily;
using support::error_code;
using vtpm::engine::BlobKind;

class BrokerConversionTest : public BrokerBootCase {
 public:
  BrokerConversionTest() : from_(document_), to_(document_) {
    from_.offline_rule = protocol::OfflineRule::kAllow;
    to_ = from_;
    to_.tee_family = from_.tee_family == TeeFamily::kSevSnp ? TeeFamily::kTdx : TeeFamily::kSevSnp;
    document_ = from_;
  }

  // The steps of a conversion, each of which is the last that is done in some test.
  void the_tenant_converts() { convert_at_the_broker(to_); }

  void the_host_swaps() { document_ = to_; }

  void the_host_undoes() { document_ = from_; }

  // The tenant takes it back.
  void the_tenant_undoes() {
    const auto record = *at_.records.vm(from_.vm_id);
    if (record.status == store::VmStatus::kConverting) {
      convert_at_the_broker(from_);
    }
  }

  void convert_at_the_broker(const protocol::LaunchDocument& to) {
    auto registrar = at_.registrar();
    const auto converted =
        broker::convert_vm(registrar, kTenant, *protocol::encode(to), std::nullopt, at_.act());
    ASSERT_TRUE(converted) << converted.error().message;
  }

  // A start that is gone before its first commit, with the new key, is durable.
  void a_start_dies_before_its_rotation() {
    copy("before");
    { const auto life = begin(); }
    put_back("before");
  }

  void a_start_dies_after_its_rotation() {
    const auto life = begin();
    EXPECT_FALSE(life.error) << life.error->message;
  }

  void a_start_loses_its_anchor() {
    const auto life = begin();
    ASSERT_FALSE(life.error) << life.error->message;
    life.road->on_the_way = [](client::Method method, base::Bytes& message) {
      if (method == client::Method::kAnchor) {
        message.resize(message.size() / 2);
      }
    };
    EXPECT_FALSE(life.boot->anchor());
  }

  void a_start_is_served() { const auto life = serve(); }

  // The state that a start under the present document finds; nothing if the broker refused it.
  std::optional<std::string> state_found() {
    const auto life = begin();
    if (life.error) {
      EXPECT_EQ(life.boot->trouble(), Readiness::kBrokerRefused) << life.error->message;
      return std::nullopt;
    }
    EXPECT_FALSE(life.started.store->is_weaker()) << "it would lose its endorsement seed";
    EXPECT_FALSE(life.started.created);
    const auto blob = life.started.store->load(BlobKind::kPermanent);
    const auto view = (*blob)->expose();
    return std::string(reinterpret_cast<const char*>(view.data()), view.size());
  }

  // The machine has no network: every message is lost.
  Life begin_without_broker() {
    broker_is_away_ = true;
    auto life = begin();
    broker_is_away_ = false;
    return life;
  }

  protocol::LaunchDocument from_;
  protocol::LaunchDocument to_;
};

// Who has done what when everything stops; the start after it is whole again.
struct Cut {
  const char* name;
  std::vector<void (BrokerConversionTest::*)()> done;
};

TEST_P(BrokerConversionTest, CutShortAnywhereTheVmStartsUnderOneDocumentWithAllItHad) {
  using T = BrokerConversionTest;
  const std::vector<Cut> cuts = {
      {"nothing", {}},
      {"the tenant's step", {&T::the_tenant_converts}},
      {"the host's step first", {&T::the_host_swaps}},
      {"both, host first", {&T::the_host_swaps, &T::the_tenant_converts}},
      {"both", {&T::the_tenant_converts, &T::the_host_swaps}},
  };
  const std::vector<Cut> starts = {
      {"no start", {}},
      {"a start before its rotation", {&T::a_start_dies_before_its_rotation}},
      {"a start after its rotation", {&T::a_start_dies_after_its_rotation}},
      {"a start whose anchor is lost", {&T::a_start_loses_its_anchor}},
      {"two such", {&T::a_start_dies_before_its_rotation, &T::a_start_loses_its_anchor}},
  };
  live("of the first TEE");
  for (const auto& cut : cuts) {
    for (const auto& start : starts) {
      SCOPED_TRACE(std::string(cut.name) + ", then " + start.name);
      for (const auto step : cut.done) {
        (this->*step)();
      }
      const bool tenant_did = !cut.done.empty() && cut.name != std::string("the host's step first");
      const bool host_did = document_ == to_;
      const bool refused = host_did && !tenant_did;
      if (refused) {
        EXPECT_EQ(state_found(), std::nullopt) << "the broker does not know this launch yet";
        the_host_undoes();
      }
      for (const auto step : start.done) {
        (this->*step)();
      }
      EXPECT_EQ(state_found(), "of the first TEE");
      if (host_did && tenant_did) {
        // Not served under the new document yet, so that the one before still counts.
        the_host_undoes();
        EXPECT_EQ(state_found(), "of the first TEE");
      }
      the_host_undoes();
      the_tenant_undoes();
    }
  }
}

TEST_P(BrokerConversionTest, GoesToTheOtherFamilyAndBack) {
  live("of the first TEE");
  the_tenant_converts();
  live("still of the first");
  the_host_swaps();
  EXPECT_EQ(state_found(), "still of the first");
  live("of the second");

  // Only the new document counts, though nobody has certified anything.
  the_host_undoes();
  EXPECT_EQ(state_found(), std::nullopt);
  std::swap(from_, to_);
  the_tenant_converts();
  the_host_swaps();
  EXPECT_EQ(state_found(), "of the second");
  live("back again");
  EXPECT_EQ(found(), "back again");
}

TEST_P(BrokerConversionTest, KeysThatTheOtherFamilySealedOpenNothingAndGo) {
  live("of the first TEE");
  {
    const auto offline = begin_without_broker();
    ASSERT_FALSE(offline.error) << offline.error->message;
    EXPECT_TRUE(offline.boot->is_offline());
  }
  the_tenant_converts();
  the_host_swaps();
  {
    const auto offline = begin_without_broker();
    ASSERT_TRUE(offline.error);
    EXPECT_EQ(offline.boot->trouble(), Readiness::kBrokerAway) << offline.error->message;
  }
  EXPECT_EQ(state_found(), "of the first TEE");
  a_start_is_served();
  {
    const auto offline = begin_without_broker();
    ASSERT_FALSE(offline.error) << offline.error->message;
    EXPECT_TRUE(offline.boot->is_offline());
  }
  the_host_undoes();
  EXPECT_TRUE(begin_without_broker().error) << "no key of the first family is left";
}

TEST_P(BrokerConversionTest, AnOrdinaryVmNeverBecomesConfidentialNorTheReverse) {
  live("confidential");
  auto ordinary = from_;
  ordinary.tee_family = TeeFamily::kNone;
  ordinary.protection = protocol::Protection::kNone;
  ordinary.offline_rule = protocol::OfflineRule::kDeny;
  ordinary.anchor_class = protocol::AnchorClass::kNone;
  auto registrar = at_.registrar();
  const auto converted =
      broker::convert_vm(registrar, kTenant, *protocol::encode(ordinary), std::nullopt, at_.act());
  EXPECT_EQ(error_code(converted), base::ErrorCode::kDenied);
  EXPECT_EQ(found(), "confidential");
}

INSTANTIATE_TEST_SUITE_P(From, BrokerConversionTest,
                         testing::Values(TeeFamily::kSevSnp, TeeFamily::kTdx),
                         [](const auto& family) {
                           return family.param == TeeFamily::kSevSnp ? "Snp" : "Tdx";
                         });

}  // namespace
}  // namespace tests::integration
