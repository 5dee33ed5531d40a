// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/uuid.h"

#include <algorithm>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <cstring>
#include <stdexcept>

namespace keybroker::protocol {

base::Result<Uuid> parse_uuid(std::string_view text) {
  constexpr std::size_t kTextSize = 36;
  const auto refused = [] {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "this is no UUID such as 6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  };
  if (text.size() != kTextSize) {
    return refused();
  }
  try {  // Boost.UUID has no parser that returns its error.
    const auto parsed = boost::uuids::string_generator()(text.begin(), text.end());
    Uuid uuid{};
    std::memcpy(uuid.data(), parsed.data, uuid.size());
    return uuid;
  } catch (const std::runtime_error&) {
    return refused();
  }
}

std::string uuid_text(const Uuid& uuid) {
  boost::uuids::uuid parsed{};
  std::memcpy(parsed.data, uuid.data(), uuid.size());
  return boost::uuids::to_string(parsed);
}

}  // namespace keybroker::protocol
