// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/peer_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <cstdio>
#include <memory>

#include "tests/support/temp_folder.h"
#include "tests/support/test_pki.h"

namespace transport::tls {
namespace {

using ::testing::HasSubstr;
using tests::support::TempFolder;
using tests::support::TestPki;

constexpr auto kTenant = "6F9619FF-8b86-d011-b42d-00c04fc964ff";

// The identity of a certificate with that subject.
base::Result<PeerIdentity> identity_with(const keybroker::crypto::DistinguishedName& subject) {
  const TempFolder folder;
  const auto files = TestPki(folder.path(), "test").caller("caller", subject);
  FILE* file = std::fopen(files.certificate.c_str(), "r");
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_X509(file, nullptr, nullptr, nullptr), X509_free);
  std::fclose(file);
  return identity_of(*certificate);
}

std::string refusal_of(const keybroker::crypto::DistinguishedName& subject) {
  const auto identity = identity_with(subject);
  return identity ? "none" : identity.error().message;
}

TEST(PeerIdentityTest, IsWhatTheSubjectSays) {
  const auto identity = identity_with({{"O", kTenant}, {"OU", "tenant"}, {"CN", "ops"}});

  ASSERT_TRUE(identity) << identity.error().message;
  EXPECT_EQ(identity->role, Role::kTenant);
  EXPECT_EQ(identity->name, "ops");
  ASSERT_TRUE(identity->tenant);
  EXPECT_EQ(identity->tenant->front(), std::byte{0x6F});
  EXPECT_EQ(identity->tenant->back(), std::byte{0xFF});
  EXPECT_GT(identity->not_after, std::chrono::system_clock::now() + std::chrono::minutes(59));
  EXPECT_LE(identity->not_after, std::chrono::system_clock::now() + std::chrono::minutes(60));
}

TEST(PeerIdentityTest, KnowsEveryRoleByItsWord) {
  for (const auto role : {Role::kHypervisor, Role::kOperator, Role::kAuditor}) {
    const auto identity = identity_with({{"OU", std::string(name(role))}, {"CN", "x"}});

    ASSERT_TRUE(identity) << identity.error().message;
    EXPECT_EQ(identity->role, role);
    EXPECT_FALSE(identity->tenant);
  }
}

TEST(PeerIdentityTest, NamesItselfInALog) {
  const auto identity = identity_with({{"OU", "auditor"}, {"CN", "x"}});

  EXPECT_THAT(describe(*identity), ::testing::MatchesRegex("auditor x, certificate [0-9a-f]{8}"));
}

TEST(PeerIdentityTest, IsRefusedWithoutExactlyOneNameAndOneRole) {
  EXPECT_THAT(refusal_of({{"OU", "operator"}}), HasSubstr("has no CN"));
  EXPECT_THAT(refusal_of({{"CN", "x"}}), HasSubstr("has no OU"));
  EXPECT_THAT(refusal_of({{"OU", "operator"}, {"CN", "x"}, {"CN", "y"}}),
              HasSubstr("more than one CN"));
  EXPECT_THAT(refusal_of({{"OU", "auditor"}, {"OU", "operator"}, {"CN", "x"}}),
              HasSubstr("more than one OU"));
}

TEST(PeerIdentityTest, IsRefusedForAWordThatIsNoRole) {
  for (const auto* word : {"admin", "Operator", "operator ", "tenants"}) {
    EXPECT_THAT(refusal_of({{"OU", word}, {"CN", "x"}}), HasSubstr("no role")) << word;
  }
}

TEST(PeerIdentityTest, IsRefusedForAnOrganisationThatIsNoUuid) {
  for (const auto* text :
       {"Contoso", "6f9619ff8b86d011b42d00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964f",
        "-f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964ff0"}) {
    EXPECT_THAT(refusal_of({{"O", text}, {"OU", "tenant"}, {"CN", "x"}}), HasSubstr("no UUID"))
        << text;
  }
  EXPECT_THAT(refusal_of({{"O", kTenant}, {"O", kTenant}, {"OU", "tenant"}, {"CN", "x"}}),
              HasSubstr("more than one O "));
}

TEST(PeerIdentityTest, IsRefusedForATenantThatIsNotNamed) {
  EXPECT_THAT(refusal_of({{"OU", "tenant"}, {"CN", "x"}}), HasSubstr("which"));
}

TEST(PeerIdentityTest, IsRefusedForANameThatWouldForgeALogLine) {
  EXPECT_THAT(refusal_of({{"OU", "operator"}, {"CN", "x\nroot logged in"}}),
              HasSubstr("control characters"));
}

}  // namespace
}  // namespace transport::tls
