// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/vm_id.h"

#include <algorithm>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <cstring>
#include <stdexcept>

namespace vmgs::format {

namespace {

// The change of byte order is its own inverse.
std::array<std::byte, 16> swapped(std::span<const std::byte, 16> bytes) {
  std::array<std::byte, 16> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  std::reverse(out.begin(), out.begin() + 4);
  std::reverse(out.begin() + 4, out.begin() + 6);
  std::reverse(out.begin() + 6, out.begin() + 8);
  return out;
}

}  // namespace

std::array<std::byte, 16> guid_bytes(const VmId& id) { return swapped(id.bytes); }

VmId vm_id_of_guid(std::span<const std::byte, 16> guid) { return {swapped(guid)}; }

std::string to_string(const VmId& id) {
  boost::uuids::uuid uuid{};
  std::memcpy(uuid.data, id.bytes.data(), id.bytes.size());
  return boost::uuids::to_string(uuid);
}

base::Result<VmId> parse_vm_id(std::string_view text) {
  constexpr std::size_t kTextSize = 36;
  const auto refused =
      base::fail(base::ErrorCode::kInvalidArgument, "'" + std::string(text) +
                                                        "' is no VM id: expected a UUID such as "
                                                        "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  if (text.size() != kTextSize) {
    return refused;
  }
  try {  // Boost.UUID has no parser that returns its error.
    const auto uuid = boost::uuids::string_generator()(text.begin(), text.end());
    VmId id;
    std::memcpy(id.bytes.data(), uuid.data, id.bytes.size());
    return id;
  } catch (const std::runtime_error&) {
    return refused;
  }
}

}  // namespace vmgs::format
