// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/policy_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/protocol/uuid.h"
#include "tests/support/error_code.h"

namespace keybroker::evidence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Policy with(const std::string& members) {
  const auto policy = decode_policy(R"({"schema":"strongroom.policy/1",)" + members + "}");
  EXPECT_TRUE(policy) << policy.error().message;
  return policy ? *policy : Policy();
}

std::string refusal(const std::string& text) {
  const auto policy = decode_policy(text);
  EXPECT_EQ(tests::support::error_code(policy), base::ErrorCode::kInvalidArgument) << text;
  return policy ? "accepted" : policy.error().message;
}

std::string refusal_of(const std::string& members) {
  return refusal(R"({"schema":"strongroom.policy/1",)" + members + "}");
}

TEST(PolicyJsonTest, LeavesDefaultsThatRefuse) {
  const auto policy = *decode_policy(R"({"schema":"strongroom.policy/1"})");
  EXPECT_FALSE(policy.tees.contains(protocol::TeeFamily::kNone));
  EXPECT_FALSE(policy.nonce.is_set());
  EXPECT_FALSE(policy.snp.measurements.is_set());
  EXPECT_FALSE(policy.tdx.mr_td.is_set());
  EXPECT_FALSE(policy.snp.allow_debug);
  EXPECT_FALSE(policy.tdx.allow_debug);
  EXPECT_THAT(policy.snp.vmpls, ElementsAre(0U));
  EXPECT_EQ(policy.snp.crl, CrlRule::kRequired);
  EXPECT_THAT(policy.tdx.statuses, ElementsAre(TcbStatus::kUpToDate));
  EXPECT_EQ(policy.quote.pcrs.size(), 8U);
  EXPECT_FALSE(policy.boot);
}

TEST(PolicyJsonTest, ReadsEveryKindOfMember) {
  const auto policy = with(
      R"("tees":["tdx","none"],"nonce":["00ff","01"],"report_data":"any",)"
      R"("vm_id":"6BA7B810-9dad-11d1-80b4-00c04fd430c8","hcl":{"form":"own","hash":"sha384"},)"
      R"("snp":{"crl":"if-given","products":["Turin"],"signers":"vlek","vmpl":[1,2],)"
      R"("min_tcb":{"Turin":{"fmc":1,"snp":2},"Genoa":{"microcode":84}},"min_guest_svn":7,)"
      R"("platform":{"required":["ecc","alias_check"]},"policy":{"refused":"smt"}},)"
      R"("tdx":{"statuses":["UpToDate","SWHardeningNeeded"],"max_tcb_age_days":30,)"
      R"("advisories":"any","grace_hours":2,"td":{"required":"sept_ve_disable"},)"
      R"("xfam":"00000000000602e7"},"ak":{"certificate_purposes":"any"},)"
      R"("quote":{"required":true,"banks":"sha384","pcrs":[7,11],"last_seen":{"reset_count":3},)"
      R"("values":{"sha256":{"7":")" +
      std::string(64, 'a') + R"("}}},"log":{"required":true},"boot":{"secure_boot":"required"})");
  EXPECT_EQ(policy.tees, (std::set{protocol::TeeFamily::kTdx, protocol::TeeFamily::kNone}));
  EXPECT_EQ(policy.nonce.values.size(), 2U);
  EXPECT_EQ(policy.report_data.kind, Expectation::Kind::kAny);
  EXPECT_EQ(protocol::uuid_text(*policy.hcl.vm_id), "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  EXPECT_TRUE(policy.hcl.own_form);
  EXPECT_EQ(policy.hcl.hash, crypto::Hash::kSha384);
  EXPECT_EQ(policy.snp.crl, CrlRule::kIfGiven);
  EXPECT_THAT(*policy.snp.products, ElementsAre(SnpProduct::kTurin));
  EXPECT_THAT(policy.snp.signers, ElementsAre(SnpSigningKey::kVlek));
  EXPECT_THAT(policy.snp.vmpls, ElementsAre(1U, 2U));
  EXPECT_EQ(policy.snp.min_tcb.at(SnpProduct::kTurin).fmc, 1);
  EXPECT_EQ(policy.snp.min_tcb.at(SnpProduct::kGenoa).microcode, 84);
  EXPECT_EQ(policy.snp.platform.required, 1ULL << 2 | 1ULL << 5);
  EXPECT_EQ(policy.snp.guest_policy.refused, kSnpPolicySmt);
  EXPECT_EQ(policy.tdx.statuses.size(), 2U);
  EXPECT_EQ(policy.tdx.max_tcb_age, std::chrono::days(30));
  EXPECT_FALSE(policy.tdx.advisories);
  EXPECT_EQ(policy.tdx.grace, std::chrono::hours(2));
  EXPECT_EQ(policy.tdx.xfam, 0x602E7U);
  EXPECT_TRUE(policy.ak.purposes.empty());
  EXPECT_EQ(policy.quote.banks, std::set{crypto::Hash::kSha384});
  EXPECT_THAT(policy.quote.pcrs, ElementsAre(7, 11));
  EXPECT_EQ(policy.quote.last_seen->reset_count, 3U);
  EXPECT_EQ(policy.quote.values.at(crypto::Hash::kSha256).at(7).values.front(),
            base::Bytes(32, std::byte{0xAA}));
  EXPECT_TRUE(policy.log.required);
  EXPECT_TRUE(policy.boot->require_secure_boot);
}

// An empty list accepts nothing, which is not the same as not being there.
TEST(PolicyJsonTest, AnEmptyListAcceptsNothing) {
  const auto policy = with(R"("snp":{"measurement":[],"signers":[]},"tees":[])");
  EXPECT_TRUE(policy.snp.measurements.is_list());
  EXPECT_TRUE(policy.snp.measurements.values.empty());
  EXPECT_TRUE(policy.snp.signers.empty());
  EXPECT_TRUE(policy.tees.empty());
}

TEST(PolicyJsonTest, NamesWhatItCannotRead) {
  EXPECT_THAT(refusal("{}"), HasSubstr("'schema'"));
  EXPECT_THAT(refusal(R"({"schema":"strongroom.policy/2"})"), HasSubstr("'schema'"));
  EXPECT_THAT(refusal("[]"), HasSubstr("no object"));
  EXPECT_THAT(refusal_of(R"("snq":{})"), HasSubstr("'snq' is not known"));
  EXPECT_THAT(refusal_of(R"("snp":{"vmpl":4})"), HasSubstr("'snp.vmpl'"));
  EXPECT_THAT(refusal_of(R"("snp":{"vmpl":0.0})"), HasSubstr("'snp.vmpl'"));
  EXPECT_THAT(refusal_of(R"("snp":{"measurement":"00"})"), HasSubstr("is not 48 bytes"));
  EXPECT_THAT(refusal_of(R"("snp":{"allow_debug":"no"})"), HasSubstr("'snp.allow_debug'"));
  EXPECT_THAT(refusal_of(R"("snp":{"min_tcb":{"Genoa":{"fmc":1}}})"),
              HasSubstr("'snp.min_tcb.Genoa.fmc' is not known"));
  EXPECT_THAT(refusal_of(R"("snp":{"platform":{"required":["debug"]}})"),
              HasSubstr("'snp.platform.required'"));
  EXPECT_THAT(refusal_of(R"("tdx":{"statuses":["uptodate"]})"), HasSubstr("'tdx.statuses'"));
  EXPECT_THAT(refusal_of(R"("tdx":{"xfam":["0000000000000000","0000000000000001"]})"),
              HasSubstr("one mask"));
  EXPECT_THAT(refusal_of(R"("quote":{"banks":["sha1"]})"), HasSubstr("'quote.banks'"));
  EXPECT_THAT(refusal_of(R"("quote":{"pcrs":[24]})"), HasSubstr("'quote.pcrs'"));
  EXPECT_THAT(refusal_of(R"("vm_id":"6ba7b810")"), HasSubstr("'vm_id'"));
  EXPECT_THAT(refusal_of(R"("boot":{"secure_boot":true})"), HasSubstr("'boot.secure_boot'"));
  EXPECT_THAT(refusal_of(R"("snp":{},"snp":{})"), HasSubstr("there twice"));
}

}  // namespace
}  // namespace keybroker::evidence
