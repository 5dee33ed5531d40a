// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <optional>

#include "tools/keybrokerd/desk.h"
#include "transport/rpc/routes.h"

namespace tools::keybrokerd {

// What guests' requests are worked on with. All of it outlives the routes; the pool is there once
// requests come.
struct GuestWork {
  Desks& desks;
  std::optional<boost::asio::thread_pool>& pool;
  const keybroker::broker::TokenRules& rules;
};

// add_guest_routes() enters what guests ask, and who relies on their tokens (keybroker/TOKENS.md):
//   GET  /.well-known/openid-configuration, /certs
//   POST /challenge, /attest/guest, /keys/NAME[/VERSION]/release
// It is for a listener that asks for no certificate: evidence is what a guest is known by. A
// request gets one answer, in JSON; {"error": {"code", "message"}} with status 400 for what is no
// such request, 403 for a refusal, 429 and 503 for later, 500 for trouble of the broker's own, of
// which only its log has more. The GETs are the same for everybody and are answered from memory.
// Who has not shown evidence that verifies learns nothing of a VM: every refusal until then is the
// one word not-attested, and the VM's log has the reason.
void add_guest_routes(transport::rpc::Routes& routes, const GuestWork& work);

}  // namespace tools::keybrokerd
