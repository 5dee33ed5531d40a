// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/token_guest.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/crypto/jwk.h"
#include "keybroker/evidence/bundle.h"
#include "keybroker/protocol/guest_attestation.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/base64.h"

namespace tests::integration {

namespace {

namespace json = boost::json;
using vmgs::crypto::Base64;
using vmgs::crypto::encode_base64;

}  // namespace

std::string word_of(const broker::Failure& failure) {
  if (const auto* refused = std::get_if<broker::Refusal>(&failure)) {
    return refused->word;
  }
  return std::get<base::Error>(failure).message;
}

TokenGuest::TokenGuest(TestBroker& its_broker, std::uint8_t vm, bool anchors)
    : at(its_broker),
      thread(at),
      instance(at, document_for(at, vm)),
      guest(support::booted()),
      rules{*broker::TokenKeys::generate(), kAuthorityName} {
  register_vm(at, instance.document);
  EXPECT_EQ(instance.release(), "released");
  if (anchors) {
    EXPECT_EQ(instance.anchor(1), "anchored");
  }
  guest.extended.vm_id = instance.document.vm_id;
  guest.extended.boot_id = instance.boot.boot_id;
  guest.extended.launch = instance.boot.launch_digest;
  guest.extended.state_protection.mode = protocol::Protection::kBroker;
  guest.runtime.vm.vm_unique_id = protocol::uuid_text(instance.document.vm_id);
  std::ranges::copy(instance.boot.launch_digest, guest.report.host_data.begin());
  auto& believed = at.rules.evidence;
  believed.simulated = guest.store();
  believed.collateral =
      [collateral = guest.collateral()](auto&) -> base::Result<keybroker::evidence::Collateral> {
    return collateral;
  };
}

std::string TokenGuest::challenge() {
  const auto answer = broker::answer_guest_challenge(
      thread.worker, caller,
      json::serialize(json::object{{"vm_id", protocol::uuid_text(guest.extended.vm_id)}}), at.now);
  EXPECT_TRUE(answer) << word_of(answer.error());
  return answer ? std::string(answer->at("challenge").as_string()) : std::string();
}

TokenGuest::Parts TokenGuest::parts(const crypto::PublicKey& key, const json::object& more) {
  auto data = more;
  data["keys"] = json::array{crypto::encode_jwk(key)};
  Parts made{challenge(), json::serialize(data), {}};
  const auto commitment =
      protocol::guest_commitment(*vmgs::crypto::decode_base64(made.challenge, Base64::kUrl),
                                 base::bytes_of(made.runtime_data));
  guest.nonce = base::copy_of(commitment);
  guest.runtime.user_data->fill(std::byte{0});
  std::ranges::copy(commitment, guest.runtime.user_data->begin());
  const auto bundle = keybroker::evidence::encode_bundle(guest.evidence());
  EXPECT_TRUE(bundle) << bundle.error().message;
  made.evidence = json::parse(*bundle).as_object();
  return made;
}

std::string TokenGuest::ask(const Parts& parts) {
  const json::object request{
      {"challenge", parts.challenge},
      {"runtime_data", encode_base64(base::bytes_of(parts.runtime_data), Base64::kUrl)},
      {"evidence", parts.evidence}};
  const auto answer =
      broker::answer_attestation(thread.worker, rules, caller, json::serialize(request), at.now);
  if (answer) {
    return std::string(answer->at("token").as_string());
  }
  if (const auto* refused = std::get_if<broker::Refusal>(&answer.error())) {
    detail = refused->detail;
    before_evidence = refused->before_evidence;
  }
  return word_of(answer.error());
}

json::object payload_of(const std::string& token) {
  const auto first = token.find('.');
  const auto second = token.find('.', first + 1);
  const auto payload =
      vmgs::crypto::decode_base64(token.substr(first + 1, second - first - 1), Base64::kUrl);
  EXPECT_TRUE(payload) << token;
  if (!payload) {
    return {};
  }
  return json::parse({reinterpret_cast<const char*>(payload->data()), payload->size()}).as_object();
}

}  // namespace tests::integration
