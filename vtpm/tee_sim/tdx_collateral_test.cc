// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/tdx_collateral.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <set>

#include "tests/support/evidence_vectors.h"
#include "tests/support/simulated_mints.h"
#include "vtpm/tee_sim/simulated_tdx.h"

namespace vtpm::tee_sim {
namespace {

using tests::support::mint_begin;

TcbInfo sample() {
  const auto platform = sgx_platform_of(*new_tdx_machine());
  return tcb_info_for(platform, {6, 1, 3}, mint_begin());
}

TEST(TdxCollateralTest, TcbInfoHasThreeLevelsTwoModulesAndThirtyDays) {
  const auto info = sample();

  ASSERT_EQ(info.levels.size(), 3U);
  EXPECT_EQ(info.levels[0].status, "UpToDate");
  EXPECT_EQ(info.levels[1].status, "OutOfDate");
  EXPECT_EQ(info.levels[2].status, "Revoked");
  EXPECT_EQ(info.levels[0].tdx, (SvnComponents{6, 1, 3}));
  EXPECT_EQ(info.levels[1].tdx, (SvnComponents{5, 0, 2}));
  EXPECT_EQ(info.modules.size(), 2U);
  EXPECT_EQ(info.next_update - info.issued, std::chrono::days(30));
}

TEST(TdxCollateralTest, DocumentsAreCompactAndSayWhatTheyWereTold) {
  const auto body = to_json(sample());

  EXPECT_EQ(body.find('\n'), std::string::npos);
  const auto document = boost::json::parse(body);
  EXPECT_EQ(document.at("id"), "TDX");
  EXPECT_EQ(document.at("version"), 3);
  EXPECT_EQ(document.at("issueDate"), "2026-01-01T12:00:00Z");
  EXPECT_EQ(document.at("nextUpdate"), "2026-01-31T12:00:00Z");
  EXPECT_EQ(document.at("fmspc"), "53494d000000");
  const auto& level = document.at("tcbLevels").at(1);
  EXPECT_EQ(level.at("tcb").at("sgxtcbcomponents").as_array().size(), 16U);
  EXPECT_EQ(level.at("tcb").at("tdxtcbcomponents").at(0).at("svn"), 5);
  EXPECT_EQ(level.at("advisoryIDs").at(0), "INTEL-SA-00001");
  EXPECT_FALSE(document.at("tcbLevels").at(0).as_object().contains("advisoryIDs"));
}

using TdxCollateralVectorsTest = tests::support::EvidenceVectors;

// The member names of `value` and of everything inside it, each with its JSON kind.
void shape_of(const boost::json::value& value, const std::string& where,
              std::set<std::string>& names) {
  if (value.is_object()) {
    for (const auto& member : value.as_object()) {
      shape_of(member.value(), where + "." + std::string(member.key()), names);
    }
  } else if (value.is_array()) {
    for (const auto& element : value.as_array()) {
      shape_of(element, where + "[]", names);
    }
  } else {
    names.insert(where + (value.is_string() ? ":text" : ":number"));
  }
}

std::set<std::string> shape_of(std::string_view text, const char* member = nullptr) {
  const auto value = boost::json::parse({text.data(), text.size()});
  std::set<std::string> names;
  shape_of(member != nullptr ? value.at(member) : value, "", names);
  // What Intel says of a component's origin, and we of none.
  std::erase_if(names, [](const std::string& name) {
    return name.ends_with("[].category:text") || name.ends_with("[].type:text");
  });
  return names;
}

TEST_F(TdxCollateralVectorsTest, HaveTheMembersThatIntelServes) {
  const auto text_of = [](const char* name) {
    const auto bytes = tests::support::read_evidence_vector(name);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  EXPECT_EQ(shape_of(to_json(sample())),
            shape_of(text_of("tdx/collateral-2026-03/tcb_info_90c06f000000.json"), "tcbInfo"));
  auto identity = qe_identity_for(mint_begin());
  for (auto& level : identity.levels) {
    level.advisories.clear();  // Intel's sample has no old level
  }
  EXPECT_EQ(shape_of(to_json(identity)),
            shape_of(text_of("tdx/collateral-2026-03/td_qe_identity.json"), "enclaveIdentity"));
}

}  // namespace
}  // namespace vtpm::tee_sim
