// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/skr-sidecar/broker_link.h"
#include "tools/skr-sidecar/guest.h"

namespace tools::skr_sidecar {

// What one request is answered with: JSON.
struct FaceAnswer {
  unsigned status = 200;
  std::string body;
};

// Face is the REST interface of the sidecar, that of Azure's for confidential containers: base64 is
// the padded form, errors are {"error": text} with status 400 for a request that is none of these
// and 403 for whatever failed. Each function gives one answer. It blocks; one thread at a time.
//
// It speaks to the brokers it was told of, whatever a request names, and a request must name one of
// them. None of its calls reaches the key of the VM's state: brokers release workload keys by name,
// and that one has none.
class Face {
 public:
  Face(GuestOptions guest, std::vector<BrokerLink> brokers)
      : guest_(std::move(guest)), brokers_(std::move(brokers)) {}

  // GET /status: {"message": "Status OK"} or "Status NOT OK", 200 both times.
  FaceAnswer status();

  // POST /attest/raw {"runtime_data"}: {"report": hexadecimal, "claims": base64}. The claims lead
  // from the report to the runtime data (Guest::RawReport).
  FaceAnswer attest_raw(std::string_view request);

  // POST /attest/maa {"maa_endpoint", "runtime_data"}: {"token": JWT}.
  FaceAnswer attest_maa(std::string_view request);

  // POST /key/release {"maa_endpoint", "akv_endpoint", "kid", "access_token"}: {"key": JWK}. The
  // kid is the name of a workload key; the access token is not needed here and not looked at.
  FaceAnswer key_release(std::string_view request);

 private:
  [[nodiscard]] base::Result<const BrokerLink*> broker(const std::string& endpoint) const;

  Guest guest_;
  std::vector<BrokerLink> brokers_;
};

// The largest request that is read.
inline constexpr std::size_t kMostRequestBytes = 64 * 1024;

}  // namespace tools::skr_sidecar
