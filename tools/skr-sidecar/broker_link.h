// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "vmgs/base/result.h"

namespace tools::skr_sidecar {

// BrokerLink speaks to one key broker's face for guests, by HTTPS under authorities that were
// named, and none of the system's. It follows no redirect. It blocks; one thread at a time.
class BrokerLink {
 public:
  // `authorities` is a file of PEM certificates.
  BrokerLink(std::string url, std::string authorities)
      : url_(std::move(url)), authorities_(std::move(authorities)) {}

  [[nodiscard]] const std::string& url() const { return url_; }

  // post() gives the answer of status 200. kDenied, with the broker's code and sentence, for a
  // refusal; kUnavailable for a broker that is away, busy or in trouble; kInvalidArgument for a
  // request that it could not read, kCorrupt for an answer that is no JSON object.
  [[nodiscard]] base::Result<boost::json::object> post(const std::string& path,
                                                       const boost::json::object& request) const;

  // get() is the same without a request.
  [[nodiscard]] base::Result<boost::json::object> get(const std::string& path) const;

 private:
  [[nodiscard]] base::Result<boost::json::object> ask(const std::string& path,
                                                      const std::string* body) const;

  std::string url_;
  std::string authorities_;
};

}  // namespace tools::skr_sidecar
