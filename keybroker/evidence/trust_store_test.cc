// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/trust_store.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using tests::support::read_evidence_vector;

class TrustStoreVectorsTest : public tests::support::EvidenceVectors {
 protected:
  static crypto::Certificate root(const std::string& name) {
    const auto bytes = read_evidence_vector(name);
    return crypto::decode_pem_certificates(
               {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, 2)
        ->back();
  }
};

TEST_F(TrustStoreVectorsTest, ProductionTrustsTheVendorsRootsInTheirOwnSlots) {
  const auto& store = TrustStore::production();
  const std::pair<RootSlot, const char*> kRoots[] = {
      {RootSlot::kAmdMilan, "roots/amd/milan-ask-ark.pem"},
      {RootSlot::kAmdGenoa, "roots/amd/genoa-ask-ark.pem"},
      {RootSlot::kAmdTurin, "roots/amd/turin-ask-ark.pem"},
      {RootSlot::kIntelSgx, "roots/intel/intel-sgx-root-ca.pem"}};
  for (const auto& [slot, name] : kRoots) {
    const auto certificate = root(name);
    EXPECT_EQ(slot_of(certificate), slot);
    EXPECT_FALSE(carries_simulated_marker(certificate));
    for (const auto& [other, unused] : kRoots) {
      EXPECT_EQ(store.trusts(other, certificate), other == slot) << name;
    }
  }
}

// R2 begins here: a vendor's root cannot be put into a simulated store.
TEST_F(TrustStoreVectorsTest, SimulatedStoresTakeNoRootWithoutTheMarker) {
  const std::vector<SlottedRoot> roots{{RootSlot::kAmdMilan, root("roots/amd/milan-ask-ark.pem")}};
  EXPECT_EQ(tests::support::error_code(TrustStore::simulated(roots)), base::ErrorCode::kDenied);
}

}  // namespace
}  // namespace keybroker::evidence
