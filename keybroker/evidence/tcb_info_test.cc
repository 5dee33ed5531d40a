// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tcb_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "keybroker/evidence/signed_document.h"
#include "tests/support/error_code.h"

namespace keybroker::evidence {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

json::array components(std::initializer_list<int> svns) {
  json::array array(16, json::object{{"svn", 0}});
  std::size_t i = 0;
  for (const int svn : svns) {
    array[i++] = json::object{{"svn", svn}};
  }
  return array;
}

json::object level(std::initializer_list<int> sgx, const char* status) {
  return {{"tcb",
           {{"sgxtcbcomponents", components(sgx)},
            {"pcesvn", 13},
            {"tdxtcbcomponents", components({5, 0, 3})}}},
          {"tcbDate", "2024-11-13T00:00:00Z"},
          {"tcbStatus", status},
          {"advisoryIDs", {"INTEL-SA-01036"}}};
}

json::object module(const char* id) {
  return {
      {"id", id},
      {"mrsigner", std::string(96, '0')},
      {"attributes", "0100000000000000"},
      {"attributesMask", "FFFFFFFFFFFFFFFF"},
      {"tcbLevels",
       {{{"tcb", {{"isvsvn", 4}}}, {"tcbDate", "2024-03-13T00:00:00Z"}, {"tcbStatus", "OutOfDate"}},
        {{"tcb", {{"isvsvn", 6}}},
         {"tcbDate", "2024-11-13T00:00:00Z"},
         {"tcbStatus", "UpToDate"}}}}};
}

// A document that the format accepts. Each test spoils one thing about it.
json::object tcb_info() {
  return {{"id", "TDX"},
          {"version", 3},
          {"issueDate", "2026-03-16T22:06:09Z"},
          {"nextUpdate", "2026-04-15T22:06:09Z"},
          {"fmspc", "90C06F000000"},
          {"pceId", "0000"},
          {"tcbType", 0},
          {"tcbEvaluationDataNumber", 18},
          {"tdxModule",
           {{"mrsigner", std::string(96, '0')},
            {"attributes", "0000000000000000"},
            {"attributesMask", "FFFFFFFFFFFFFFFF"}}},
          {"tdxModuleIdentities", {module("TDX_03"), module("TDX_01")}},
          {"tcbLevels", {level({2, 2}, "OutOfDate"), level({3, 3}, "UpToDate")}}};
}

std::string refusal(const json::object& document,
                    base::ErrorCode code = base::ErrorCode::kCorrupt) {
  const auto info = decode_tcb_info(json::serialize(document));
  EXPECT_TRUE(info || info.error().code == code);
  return info ? "accepted" : info.error().message;
}

TEST(TcbInfoTest, ReadsEveryMember) {
  const auto info = *decode_tcb_info(json::serialize(tcb_info()));

  EXPECT_EQ(base::to_hex(info.fmspc), "90c06f000000");
  EXPECT_EQ(info.evaluation_number, 18U);
  EXPECT_EQ(crypto::to_text(info.issued), "2026-03-16T22:06:09Z");
  EXPECT_EQ(info.modules[0].version, 3);
  EXPECT_EQ(info.modules[0].signer.attributes, 1U);
  EXPECT_EQ(info.levels[0].verdict.advisories.front(), "INTEL-SA-01036");
  EXPECT_EQ(info.levels[0].tdx[2], 3);
}

// T18: whatever the order of the document, the newest comes first.
TEST(TcbInfoTest, SortsLevelsByTheirVersions) {
  const auto info = *decode_tcb_info(json::serialize(tcb_info()));
  EXPECT_EQ(info.levels[0].verdict.status, TcbStatus::kUpToDate);
  EXPECT_EQ(info.levels[1].verdict.status, TcbStatus::kOutOfDate);
  EXPECT_EQ(info.modules[0].levels[0].isv_svn, 6);
}

TEST(TcbInfoTest, TellsOtherDocumentsFromBrokenOnes) {
  auto document = tcb_info();
  document["id"] = "SGX";
  EXPECT_THAT(refusal(document, base::ErrorCode::kNotFound), HasSubstr("'SGX' in version 3"));
  document["id"] = "TDX";
  document["version"] = 2;
  EXPECT_THAT(refusal(document, base::ErrorCode::kNotFound), HasSubstr("version 2"));
}

TEST(TcbInfoTest, RefusesMissingMembers) {
  const auto whole = tcb_info();
  for (const auto& member : whole) {
    auto document = whole;
    document.erase(member.key());
    const std::string refused = refusal(document);
    if (member.key() == "tdxModuleIdentities") {
      EXPECT_EQ(refused, "accepted");
    } else {
      EXPECT_THAT(refused, HasSubstr(std::string(member.key())));
    }
  }
}

// T18.
TEST(TcbInfoTest, RefusesMisshapenMembers) {
  const auto with = [](auto change) {
    auto document = tcb_info();
    change(document);
    return refusal(document);
  };
  const auto first = [](json::object& d) -> json::object& {
    return d["tcbLevels"].as_array()[0].as_object();
  };
  EXPECT_THAT(with([](auto& d) { d["fmspc"] = "90c06f0000"; }), HasSubstr("fmspc"));
  EXPECT_THAT(with([](auto& d) { d["tcbType"] = 1; }), HasSubstr("tcbType"));
  EXPECT_THAT(with([](auto& d) { d["tcbEvaluationDataNumber"] = 1e300; }),
              HasSubstr("tcbEvaluationDataNumber"));
  EXPECT_THAT(with([](auto& d) { d["issueDate"] = "2026-03-16"; }), HasSubstr("no time"));
  EXPECT_THAT(with([](auto& d) { d["tcbLevels"] = json::array(); }), HasSubstr("no TCB level"));
  EXPECT_THAT(with([&](auto& d) { first(d)["tcbStatus"] = "Fine"; }), HasSubstr("'Fine'"));
  EXPECT_THAT(with([&](auto& d) { first(d)["tcbStatus"] = "TDRelaunchAdvised"; }),
              HasSubstr("not known"));
  EXPECT_THAT(with([&](auto& d) { first(d)["advisoryIDs"] = {1}; }), HasSubstr("advisory"));
  for (const std::size_t count : {15U, 17U}) {
    EXPECT_THAT(with([&](auto& d) {
                  first(d)["tcb"].as_object()["sgxtcbcomponents"].as_array().resize(
                      count, json::object{{"svn", 0}});
                }),
                HasSubstr("expected 16"));
  }
  EXPECT_THAT(
      with([&](auto& d) {
        first(d)["tcb"].as_object()["tdxtcbcomponents"].as_array()[3] = json::object{{"svn", 256}};
      }),
      HasSubstr("svn"));
  EXPECT_THAT(with([](auto& d) {
                d["tdxModuleIdentities"] = {module("TDX_01"), module("TDX_01")};
              }),
              HasSubstr("twice"));
  EXPECT_THAT(with([](auto& d) { d["tdxModuleIdentities"].as_array()[0] = module("TDX_1"); }),
              HasSubstr("no id of a module"));
}

TEST(TcbInfoTest, ReadsTheIdentityOfTheQuotingEnclave) {
  json::object document{{"id", "TD_QE"},
                        {"version", 2},
                        {"issueDate", "2026-03-16T22:16:03Z"},
                        {"nextUpdate", "2026-04-15T22:16:03Z"},
                        {"tcbEvaluationDataNumber", 18},
                        {"miscselect", "00000000"},
                        {"miscselectMask", "FFFFFFFF"},
                        {"attributes", "11000000000000000000000000000000"},
                        {"attributesMask", "FBFFFFFFFFFFFFFF0000000000000000"},
                        {"mrsigner", std::string(64, 'D')},
                        {"isvprodid", 2},
                        {"tcbLevels",
                         {{{"tcb", {{"isvsvn", 4}}},
                           {"tcbDate", "2024-11-13T00:00:00Z"},
                           {"tcbStatus", "UpToDate"}}}}};
  const auto identity = decode_qe_identity(json::serialize(document));
  ASSERT_TRUE(identity) << identity.error().message;
  EXPECT_EQ(identity->isv_prod_id, 2);
  EXPECT_EQ(identity->attributes_mask[0], std::byte{0xFB});

  document["id"] = "QE";
  EXPECT_EQ(tests::support::error_code(decode_qe_identity(json::serialize(document))),
            base::ErrorCode::kNotFound);
}

TEST(SignedDocumentTest, KeepsTheBytesOfTheBody) {
  const std::string signature(128, 'a');
  const std::string body = R"({ "x" : "}\"," , "y":[1,{"z":2}] })";
  for (const auto& text :
       {"{\"tcbInfo\":" + body + ",\"signature\":\"" + signature + "\"}",
        "{ \"signature\" : \"" + signature + "\" , \"tcbInfo\" : " + body + " }"}) {
    const auto document = decode_signed_document(text, "tcbInfo");
    ASSERT_TRUE(document) << document.error().message;
    EXPECT_EQ(document->body, body);
    EXPECT_EQ(decode_signed_document(encode(*document, "tcbInfo"), "tcbInfo")->body, body);
  }
  EXPECT_EQ(signed_document(body, signature)->body, body);
}

TEST(SignedDocumentTest, RefusesEverythingElse) {
  const std::string signature(128, 'a');
  const auto refused = [](const std::string& text) {
    return tests::support::error_code(decode_signed_document(text, "tcbInfo")) ==
           base::ErrorCode::kCorrupt;
  };
  EXPECT_TRUE(refused(""));
  EXPECT_TRUE(refused("[]"));
  EXPECT_TRUE(refused(R"({"tcbInfo":{}})"));
  EXPECT_TRUE(refused(R"({"tcbInfo":{},"signature":"aa"})"));
  EXPECT_TRUE(refused("{\"tcbInfo\":[],\"signature\":\"" + signature + "\"}"));
  EXPECT_TRUE(refused("{\"tcbInfo\":{},\"signature\":\"" + signature + "\",\"more\":1}"));
  EXPECT_TRUE(refused("{\"tcb\\u0049nfo\":{},\"signature\":\"" + signature + "\"}"));
  EXPECT_TRUE(refused("{\"tcbInfo\":{},\"tcbInfo\":{},\"signature\":\"" + signature + "\"}"));
  EXPECT_FALSE(signed_document("{}", signature + "aa"));
  EXPECT_FALSE(signed_document("{}", "x"));
}

}  // namespace
}  // namespace keybroker::evidence
