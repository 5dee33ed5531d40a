// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/twin.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <vector>

#include "tests/support/error_code.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/provision/provision.h"

namespace vtpm::provision {
namespace {

using tests::support::error_code;

base::SecretBytes new_tpm() {
  engine::MemoryNvStore memory;
  auto engine = *engine::Engine::create(memory);
  EXPECT_TRUE(engine->start(engine::Origin::kManufacture));
  return *engine->state_blob(engine::BlobKind::kPermanent);
}

TEST(TwinTest, NamesTheKeysThatTheTpmItselfMakes) {
  const auto provisioned = *provision(new_tpm().expose(), Past::kNew);
  auto twin = *Twin::start(provisioned.permanent_state.expose());

  const auto names = twin.names();

  ASSERT_TRUE(names) << names.error().message;
  EXPECT_EQ(names->attestation, (std::vector{provisioned.rsa_ak->name, provisioned.ecc_ak->name}));
  EXPECT_EQ(names->endorsement, (std::vector{provisioned.rsa_ek->name, provisioned.ecc_ek->name}));
}

// As an event loop leaves it that waits for the descriptor.
TEST(TwinTest, IsHeardThroughADescriptorThatDoesNotWait) {
  const auto state = new_tpm();
  auto twin = *Twin::start(state.expose());
  ASSERT_EQ(::fcntl(twin.descriptor(), F_SETFL, O_NONBLOCK), 0);

  EXPECT_TRUE(twin.names());
}

TEST(TwinTest, OfAnotherTpmHasOtherNames) {
  const auto one = *twin_names(new_tpm().expose());
  const auto other = *twin_names(new_tpm().expose());

  for (std::size_t i = 0; i < one.attestation.size(); ++i) {
    EXPECT_NE(one.attestation[i], other.attestation[i]);
    EXPECT_NE(one.endorsement[i], other.endorsement[i]);
  }
}

TEST(TwinTest, SaysWhyItHasNone) {
  auto twin = *Twin::start(base::bytes_of("no TPM state"));

  const auto names = twin.names();

  ASSERT_EQ(error_code(names), base::ErrorCode::kUnavailable);
  EXPECT_NE(names.error().message.find("the TPM's twin: "), std::string::npos);
}

TEST(TwinTest, LeavesNoProcessBehind) {
  {
    const auto state = new_tpm();
    const auto unheard = *Twin::start(state.expose());
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace vtpm::provision
