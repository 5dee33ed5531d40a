// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <set>

namespace keybroker::broker {
namespace {

using ::testing::HasSubstr;

TEST(RefusalTest, EveryReasonHasAWordOfItsOwn) {
  std::set<std::string_view> words;
  for (const auto& each : evidence::all_reasons()) {
    words.insert(each.code);
  }
  const auto of_evidence = words.size();
  for (const auto& each : all_refusals()) {
    EXPECT_TRUE(words.insert(each.word).second) << each.word;
    EXPECT_EQ(&card(each.reason), &each);
  }
  EXPECT_EQ(words.size(), of_evidence + all_refusals().size());
}

TEST(RefusalTest, EveryReasonIsSentencesForPeople) {
  for (const auto& each : all_refusals()) {
    for (const auto sentence : {each.meaning, each.remedy}) {
      EXPECT_TRUE(std::isupper(static_cast<unsigned char>(sentence.front()))) << each.word;
      EXPECT_EQ(sentence.back(), '.') << each.word;
    }
    EXPECT_EQ(each.word.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string_view::npos);
  }
}

TEST(RefusalTest, SaysWhatWasSeenAndWhatToDo) {
  const auto made = refusal(RefusalReason::kChallengeExpired, "It ended 3 s ago");
  EXPECT_EQ(made.word, "challenge-expired");
  EXPECT_THAT(made.detail, HasSubstr("It ended 3 s ago. Begin again"));
  EXPECT_TRUE(made.begin_again);
  EXPECT_FALSE(refusal(RefusalReason::kVmUnregistered, "").begin_again);
}

TEST(RefusalTest, EvidenceKeepsItsOwnWord) {
  evidence::Verdict verdict;
  verdict.reason = evidence::Reason::kSnpDebugAllowed;
  verdict.detail = "the guest policy allows debugging";
  const auto made = refusal(verdict);
  EXPECT_EQ(made.word, "snp-debug-allowed");
  EXPECT_THAT(made.detail, HasSubstr("the guest policy allows debugging"));
  EXPECT_FALSE(made.begin_again);
}

TEST(RefusalTest, ExplainsWordsOfBothKinds) {
  EXPECT_EQ(word_meaning("vm-disabled")->meaning, card(RefusalReason::kVmDisabled).meaning);
  EXPECT_EQ(word_meaning("tdx-debug")->remedy, evidence::card(evidence::Reason::kTdxDebug).remedy);
  EXPECT_FALSE(word_meaning("vm-"));
}

}  // namespace
}  // namespace keybroker::broker
