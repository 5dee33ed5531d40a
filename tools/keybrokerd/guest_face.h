// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/keybrokerd/services.h"
#include "transport/rpc/routes.h"

namespace tools::keybrokerd {

// add_guest_routes() enters what guests ask, and who relies on their tokens (keybroker/TOKENS.md):
//   GET  /.well-known/openid-configuration, /certs
//   POST /challenge, /attest/guest, /keys/NAME[/VERSION]/release
// It is for a listener that asks for no certificate: evidence is what a guest is known by. A
// request gets one answer, in JSON; {"error": {"code", "message"}} with status 400 for what is no
// such request, 403 for a refusal, 429 and 503 for later, 500 for trouble of the broker's own, of
// which only its log has more.
void add_guest_routes(transport::rpc::Routes& routes, Services& services);

}  // namespace tools::keybrokerd
