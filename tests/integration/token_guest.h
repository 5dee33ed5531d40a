// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "keybroker/broker/attestation_token.h"
#include "tests/integration/broker_fixture.h"
#include "tests/support/simulated_guest.h"

namespace tests::integration {

// TokenGuest is a guest of a VM that was released to by a TestBroker: with a TPM of its own that
// quotes, in simulated SEV-SNP hardware that reports. It speaks what a guest speaks over HTTP.
class TokenGuest {
 public:
  // The VM is registered, has claimed and anchored, unless `anchors` says otherwise.
  explicit TokenGuest(TestBroker& at, std::uint8_t vm = 1, bool anchors = true);

  // The parts of a request, each of which a test may change before it is sent.
  struct Parts {
    std::string challenge;
    std::string runtime_data;  // JSON
    boost::json::object evidence;
  };

  [[nodiscard]] std::string challenge();

  // parts() collects evidence for a key, over a new challenge.
  Parts parts(const crypto::PublicKey& key, const boost::json::object& more = {});

  // ask() gives the token, or the word of the refusal, or the message of an error.
  std::string ask(const Parts& parts);

  // token() is parts() and ask().
  std::string token(const crypto::PublicKey& key, const boost::json::object& more = {}) {
    return ask(parts(key, more));
  }

  TestBroker& at;
  TestBroker::Thread thread;
  TestInstance instance;
  support::SimulatedGuest guest;
  broker::TokenRules rules;
  std::string caller = "192.0.2.7";
  std::string detail;            // of the last refusal
  bool before_evidence = false;  // so was the last refusal
};

// payload_of() is what a token says, without looking at its signature.
boost::json::object payload_of(const std::string& token);

// word_of() is the word of a refusal, or the message of an error.
std::string word_of(const broker::Failure& failure);

}  // namespace tests::integration
