// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/support/skip.h"
#include "vmgs/base/bytes.h"

namespace tests::support {

// has_evidence_vectors() tells whether the captured evidence lies beside this checkout, or where
// STRONGROOM_EVIDENCE_VECTORS says: another set of the same form. It is not ours to hand on, so it
// is read where it lies and never committed.
bool has_evidence_vectors();

// read_evidence_vector() gives a file of that folder. It ends the process if it cannot be read.
base::Bytes read_evidence_vector(const std::string& name);

// EvidenceVectors is the fixture of tests that need captured evidence. They are skipped where there
// is none, and fail there under CI=true.
class EvidenceVectors : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_evidence_vectors()) {
      SKIP_OUTSIDE_CI("no captured evidence in ../shared/vectors/evidence beside the source tree");
    }
  }
};

}  // namespace tests::support
