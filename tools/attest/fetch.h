// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace tools::attest {

// What a service answered.
struct Fetched {
  base::Bytes body;
  std::map<std::string, std::string> headers;  // names in lower case
};

// fetch() gets one document by HTTPS, or by HTTP if the URL says so, following no redirect. At most
// 16 MiB and 60 seconds. kNotFound for status 404, kUnavailable for a service that is away, busy
// (429) or broken (5xx), kIo for every other answer. It may block; one thread.
base::Result<Fetched> fetch(const std::string& url);

// percent_decoded() undoes the escapes of a URL, as Intel uses them in headers. kCorrupt for one
// that is none.
base::Result<std::string> percent_decoded(const std::string& text);

}  // namespace tools::attest
