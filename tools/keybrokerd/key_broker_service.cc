// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>

#include "keybroker/broker/anchor.h"
#include "keybroker/broker/release_key.h"
#include "keybroker/protocol/broker.pb.h"
#include "keybroker/protocol/broker_service.pb.h"
#include "tools/keybrokerd/services.h"

namespace tools::keybrokerd {

namespace {

namespace api = strongroom::broker::v1;
using transport::tls::Role;

// What the VM was told, for the metrics.
std::string outcome_of(base::ByteView signed_answer) {
  api::SignedAnswer message;
  api::Answer answer;
  if (!message.ParseFromArray(signed_answer.data(), static_cast<int>(signed_answer.size())) ||
      !answer.ParseFromString(message.body())) {
    return "unknown";
  }
  return answer.has_released()   ? "released"
         : answer.has_anchored() ? "anchored"
                                 : answer.refused().reason();
}

base::Result<api::Relayed> relayed(const base::Result<base::Bytes>& answer) {
  if (!answer) {
    return base::fail(base::Error(answer.error()));
  }
  api::Relayed message;
  message.set_message(answer->data(), answer->size());
  return message;
}

}  // namespace

void add_key_broker_service(Services& services, Metrics& metrics) {
  namespace broker = keybroker::broker;
  services.add<api::Relayed, api::Relayed>(
      "KeyBrokerService", "Challenge", {Role::kHypervisor},
      [](Desk& desk, const api::Relayed& request, const Caller& caller) {
        return relayed(broker::answer_challenge(
            desk.worker, caller.name, base::bytes_of(request.message()), now_in_seconds()));
      });
  services.add<api::Relayed, api::Relayed>(
      "KeyBrokerService", "Release", {Role::kHypervisor},
      [&metrics](Desk& desk, const api::Relayed& request, const Caller& caller) {
        const auto answer = broker::answer_release(
            desk.worker, caller.name, base::bytes_of(request.message()), now_in_seconds());
        if (answer) {
          metrics.answered(outcome_of(*answer));
        }
        return relayed(answer);
      });
  services.add<api::Relayed, api::Relayed>(
      "KeyBrokerService", "Anchor", {Role::kHypervisor},
      [&metrics](Desk& desk, const api::Relayed& request, const Caller& caller) {
        const auto answer =
            broker::answer_anchor(desk.worker, desk.certifiers(), caller.name,
                                  base::bytes_of(request.message()), now_in_seconds());
        if (answer) {
          metrics.answered(outcome_of(*answer));
        }
        return relayed(answer);
      });
  // A boot that has its key has begun, and is given up if its state cannot be noted.
  services.methods().set_urgent(Services::service_of("KeyBrokerService"), "Anchor");
}

}  // namespace tools::keybrokerd
