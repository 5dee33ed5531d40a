// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace transport::tls {

// Role is what a caller is there for, as the OU of its certificate says.
enum class Role { kHypervisor, kTenant, kOperator, kAuditor };

// name() is the role as a certificate spells it: "hypervisor", "tenant", "operator", "auditor".
std::string_view name(Role role);

// PeerIdentity is who the other side is, by a certificate that was verified.
struct PeerIdentity {
  Role role = Role::kAuditor;
  // The tenant for whom it speaks, in network byte order; a tenant always has one.
  std::optional<std::array<std::byte, 16>> tenant;
  std::string name;                       // 1 to 64 bytes of UTF-8 without control characters
  std::array<std::byte, 32> fingerprint;  // SHA-256 of the certificate's DER form
  std::chrono::sys_seconds not_after;

  friend bool operator==(const PeerIdentity&, const PeerIdentity&) = default;
};

// identity_of() reads the subject of a certificate: exactly one CN, the name; exactly one OU, a
// role's word in lower case; at most one O, a UUID (RFC 4122). kAuthentication, with what
// is wrong, for any other. It verifies nothing.
base::Result<PeerIdentity> identity_of(const X509& certificate);

// describe() is "hypervisor host-7, certificate 00112233", the last of the fingerprint's first
// bytes. It may be logged.
std::string describe(const PeerIdentity& identity);

}  // namespace transport::tls
