// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/tcb_floor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace keybroker::policy {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

TcbFloor floor_of(const std::string& text) {
  const auto floor = decode_tcb_floor(json::parse(text), "at");
  EXPECT_TRUE(floor) << floor.error().message;
  return floor ? *floor : TcbFloor{};
}

std::string refusal(const std::string& text) {
  const auto floor = decode_tcb_floor(json::parse(text), "at");
  return floor ? "accepted" : floor.error().message;
}

// A Genoa whose reported and launch TCB are these.
ClaimSet genoa(const std::string& reported, const std::string& launch) {
  return {json::parse(R"({"strongroom-tee":"sev-snp","strongroom-snp-product":"Genoa",
    "strongroom-snp-tcb":{"reported":)" +
                      reported + R"(,"launch":)" + launch + R"(,"committed":{"microcode":0}}})")
              .as_object()};
}

std::string version(int boot_loader, int tee, int snp, int microcode) {
  return json::serialize(json::object{
      {"boot_loader", boot_loader}, {"tee", tee}, {"snp", snp}, {"microcode", microcode}});
}

// A TD with this TCB.
ClaimSet td(const std::string& tcb) {
  return {json::parse(R"({"strongroom-tee":"tdx","strongroom-tdx-tcb":)" + tcb + "}").as_object()};
}

TEST(TcbFloorTest, ComparesEachComponentByItself) {
  const auto floor =
      floor_of(R"({"snp":{"Genoa":{"boot_loader":4,"tee":1,"snp":24,"microcode":84}}})");
  const auto reaches = [&](const std::string& reported, const std::string& launch) {
    return judge_floor(floor, genoa(reported, launch)).reached;
  };
  const auto least = version(4, 1, 24, 84);

  EXPECT_TRUE(reaches(least, least));
  EXPECT_TRUE(reaches(version(255, 255, 255, 255), least));
  for (const auto& lower : {version(3, 255, 255, 255), version(255, 0, 255, 255),
                            version(255, 255, 23, 255), version(255, 255, 255, 83)}) {
    EXPECT_FALSE(reaches(lower, least)) << lower;
    EXPECT_FALSE(reaches(least, lower)) << lower;
  }
}

TEST(TcbFloorTest, NamesTheComponentThatIsLow) {
  const auto floor = floor_of(R"({"snp":{"Genoa":{"microcode":84}}})");

  const auto verdict = judge_floor(floor, genoa(version(0, 0, 0, 90), version(0, 0, 0, 7)));

  EXPECT_FALSE(verdict.reached);
  EXPECT_EQ(verdict.claim, "strongroom-snp-tcb");
  EXPECT_EQ(verdict.note, "strongroom-snp-tcb.launch.microcode is 7, below 84");
  EXPECT_THAT(verdict.expected, HasSubstr("Genoa at least"));
  ASSERT_TRUE(verdict.seen);
  EXPECT_THAT(*verdict.seen, HasSubstr("\"microcode\":90"));
}

TEST(TcbFloorTest, MachineThatItDoesNotNameDoesNotReachIt) {
  const auto high = version(255, 255, 255, 255);
  const auto note = [](const std::string& floor, const ClaimSet& claims) {
    const auto verdict = judge_floor(floor_of(floor), claims);
    EXPECT_FALSE(verdict.reached);
    return verdict.note;
  };

  EXPECT_EQ(note(R"({"snp":{"Milan":{"snp":1}}})", genoa(high, high)),
            "minTcb says nothing of SNP on Genoa");
  EXPECT_EQ(note(R"({"tdx":{"advisories":"any"}})", genoa(high, high)),
            "minTcb says nothing of SNP on Genoa");
  EXPECT_EQ(note(R"({"snp":{"Milan":{"snp":1}}})", td(R"({"status":"UpToDate"})")),
            "minTcb says nothing of TDX");
  auto unknown = genoa(high, high);
  unknown.json.erase("strongroom-snp-product");
  EXPECT_EQ(note(R"({"snp":{"Genoa":{"snp":1}}})", unknown),
            "minTcb says nothing of SNP on an unknown processor");
  EXPECT_EQ(note(R"({"snp":{"Genoa":{"snp":1}}})", {}), "minTcb speaks of SNP and TDX only");
}

TEST(TcbFloorTest, MissingOrMisshapedComponentDoesNotReachIt) {
  const auto floor = floor_of(R"({"snp":{"Genoa":{"microcode":0}}})");
  const auto good = version(1, 1, 1, 1);

  EXPECT_TRUE(judge_floor(floor, genoa(good, good)).reached);
  EXPECT_FALSE(judge_floor(floor, genoa(R"({"boot_loader":1,"tee":1,"snp":1})", good)).reached);
  for (const char* odd : {"\"9\"", "-1", "9.0", "null", "{}"}) {
    const auto version =
        R"({"boot_loader":1,"tee":1,"snp":1,"microcode":)" + std::string(odd) + "}";
    EXPECT_FALSE(judge_floor(floor, genoa(version, good)).reached) << odd;
    EXPECT_FALSE(judge_floor(floor, genoa(good, version)).reached) << odd;
  }
  ClaimSet none{json::parse(R"({"strongroom-tee":"sev-snp"})").as_object()};
  EXPECT_EQ(judge_floor(floor, none).note, "the claim is missing");
  EXPECT_FALSE(judge_floor(floor, none).seen);
}

TEST(TcbFloorTest, AsksForTheFmcOfTurinOnly) {
  const auto floor = floor_of(R"({"snp":{"Turin":{"fmc":2}}})");
  auto claims = genoa(version(1, 1, 1, 1), version(1, 1, 1, 1));
  claims.json["strongroom-snp-product"] = "Turin";
  EXPECT_FALSE(judge_floor(floor, claims).reached);
  for (const char* which : {"reported", "launch"}) {
    claims.json["strongroom-snp-tcb"].at(which).as_object()["fmc"] = 2;
  }
  EXPECT_TRUE(judge_floor(floor, claims).reached);
  claims.json["strongroom-snp-tcb"].at("launch").as_object()["fmc"] = 1;
  EXPECT_FALSE(judge_floor(floor, claims).reached);
  EXPECT_THAT(refusal(R"({"snp":{"Genoa":{"fmc":1}}})"),
              HasSubstr("at.snp.Genoa.fmc is no component of a TCB of Genoa"));
}

TEST(TcbFloorTest, JudgesTheStatusOfTdx) {
  const std::string up = R"({"status":"UpToDate","advisories":["INTEL-SA-1"]})";
  const std::string soft = R"({"status":"SWHardeningNeeded","advisories":["INTEL-SA-1"]})";
  const auto reaches = [](const std::string& floor, const std::string& tcb) {
    return judge_floor(floor_of(R"({"tdx":)" + floor + "}"), td(tcb)).reached;
  };
  const std::string both = R"("statuses":["UpToDate","SWHardeningNeeded"])";

  EXPECT_TRUE(reaches(R"({"min_evaluation_number":0})", up));
  EXPECT_FALSE(reaches(R"({"min_evaluation_number":0})", soft));
  EXPECT_FALSE(reaches("{" + both + "}", soft));  // its advisory is not accepted
  EXPECT_TRUE(reaches("{" + both + R"(,"advisories":["INTEL-SA-1","INTEL-SA-2"]})", soft));
  EXPECT_FALSE(reaches("{" + both + R"(,"advisories":["INTEL-SA-2"]})", soft));
  EXPECT_TRUE(reaches("{" + both + R"(,"advisories":"any"})", soft));
  EXPECT_FALSE(reaches("{" + both + R"(,"advisories":["INTEL-SA-1"]})",
                       R"({"status":"SWHardeningNeeded"})"));
  EXPECT_FALSE(reaches(R"({"statuses":["SWHardeningNeeded"],"advisories":"any"})", up));
  EXPECT_FALSE(reaches("{" + both + "}", R"({"status":"Splendid"})"));
  EXPECT_FALSE(reaches("{" + both + "}", "{}"));
}

TEST(TcbFloorTest, JudgesTheDateAndTheEvaluationNumberOfTdx) {
  const auto reaches = [](const std::string& floor, const std::string& more) {
    return judge_floor(floor_of(R"({"tdx":)" + floor + "}"),
                       td(R"({"status":"UpToDate")" + more + "}"))
        .reached;
  };
  const std::string date = R"({"min_date":"2024-03-13T00:00:00Z"})";

  EXPECT_TRUE(reaches(date, R"(,"date":"2024-03-13T00:00:00Z")"));
  EXPECT_FALSE(reaches(date, R"(,"date":"2024-03-12T23:59:59Z")"));
  EXPECT_FALSE(reaches(date, R"(,"date":"soon")"));
  EXPECT_FALSE(reaches(date, ""));
  EXPECT_TRUE(reaches(R"({"min_evaluation_number":17})", R"(,"evaluation_number":17)"));
  EXPECT_FALSE(reaches(R"({"min_evaluation_number":17})", R"(,"evaluation_number":16)"));
  EXPECT_FALSE(reaches(R"({"min_evaluation_number":17})", R"(,"evaluation_number":"17")"));
  EXPECT_FALSE(reaches(R"({"min_evaluation_number":17})", ""));
}

TEST(TcbFloorTest, RefusesWhatItDoesNotKnow) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"1", "at is no object"},
      {"{}", "at is no object with something"},
      {R"({"sgx":{}})", "at.sgx is neither snp nor tdx"},
      {R"({"snp":{}})", "at.snp is no object with something"},
      {R"({"snp":{"Rome":{"snp":1}}})", "at.snp.Rome is none of Milan"},
      {R"({"snp":{"Milan":{}}})", "at.snp.Milan is no object with something"},
      {R"({"snp":{"Milan":{"firmware":1}}})", "at.snp.Milan.firmware is no component"},
      {R"({"snp":{"Milan":{"snp":256}}})", "at.snp.Milan.snp is no whole number from 0 to 255"},
      {R"({"snp":{"Milan":{"snp":-1}}})", "at.snp.Milan.snp is no whole number"},
      {R"({"snp":{"Milan":{"snp":"1"}}})", "at.snp.Milan.snp is no whole number"},
      {R"({"snp":{"Milan":{"snp":1.0}}})", "at.snp.Milan.snp is no whole number"},
      {R"({"tdx":{"statuses":[]}})", "at.tdx.statuses is no list"},
      {R"({"tdx":{"statuses":["Fine"]}})", "a status that Intel does not have: 'Fine'"},
      {R"({"tdx":{"statuses":["Revoked","Revoked"]}})", "at.tdx.statuses has an entry"},
      {R"({"tdx":{"advisories":[]}})", "at.tdx.advisories is no list"},
      {R"({"tdx":{"advisories":"none"}})", "at.tdx.advisories is no list"},
      {R"({"tdx":{"advisories":[1]}})", "at.tdx.advisories has an entry"},
      {R"({"tdx":{"min_date":"2024-03-13"}})", "at.tdx.min_date is no time"},
      {R"({"tdx":{"min_date":7}})", "at.tdx.min_date is no time"},
      {R"({"tdx":{"min_evaluation_number":4294967296}})", "no whole number from 0 to 4294967295"},
      {R"({"tdx":{"status":"UpToDate"}})", "at.tdx.status is none of statuses"}};
  for (const auto& [text, why] : wrong) {
    EXPECT_THAT(refusal(text), HasSubstr(why)) << text;
  }
}

TEST(TcbFloorTest, WritesWhatItReads) {
  for (const char* text : {R"({"snp":{"Turin":{"microcode":1},"Milan":{"tee":3}}})",
                           R"({"tdx":{"statuses":["Revoked","UpToDate"],"advisories":["b","a"],
             "min_date":"2024-03-13T00:00:00Z","min_evaluation_number":3}})",
                           R"({"tdx":{"advisories":"any"},"snp":{"Genoa":{"snp":1}}})"}) {
    const auto floor = floor_of(text);
    EXPECT_EQ(floor_of(json::serialize(to_json(floor))), floor) << text;
  }
}

}  // namespace
}  // namespace keybroker::policy
