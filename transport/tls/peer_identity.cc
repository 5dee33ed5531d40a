// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/peer_identity.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <span>

#include "vmgs/base/bytes.h"

namespace transport::tls {

namespace {

constexpr std::array<std::string_view, 4> kRoleNames = {"hypervisor", "tenant", "operator",
                                                        "auditor"};

// RFC 5280, upper bounds: ub-common-name.
constexpr std::size_t kMaxNameBytes = 64;

auto refuse(std::string why) {
  return base::fail(base::ErrorCode::kAuthentication, "its certificate " + std::move(why));
}

bool is_control(char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F; }

// The one value of an attribute of the subject; nothing if there is none.
base::Result<std::optional<std::string>> only_value(const X509& certificate, int attribute,
                                                    const std::string& attribute_name) {
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  const int found = X509_NAME_get_index_by_NID(subject, attribute, -1);
  if (found < 0) {
    return std::optional<std::string>();
  }
  if (X509_NAME_get_index_by_NID(subject, attribute, found) >= 0) {
    return refuse("has more than one " + attribute_name + " in its subject");
  }
  unsigned char* utf8 = nullptr;
  const int bytes =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, found)));
  if (bytes < 0) {
    return refuse("has an unreadable " + attribute_name + " in its subject");
  }
  std::string value(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(bytes));
  OPENSSL_free(utf8);
  // The value goes into logs and records as it is.
  if (value.size() > kMaxNameBytes || std::any_of(value.begin(), value.end(), is_control)) {
    return refuse("has an " + attribute_name + " that is too long or has control characters");
  }
  return std::optional(std::move(value));
}

base::Result<std::string> required_value(const X509& certificate, int attribute,
                                         const std::string& attribute_name) {
  TRY_ASSIGN(value, only_value(certificate, attribute, attribute_name));
  if (!value || value->empty()) {
    return refuse("has no " + attribute_name + " in its subject");
  }
  return *std::move(value);
}

base::Result<std::array<std::byte, 16>> parse_tenant(const std::string& text) {
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash_expected = i == 8 || i == 13 || i == 18 || i == 23;
    if ((text[i] == '-') != dash_expected) {
      return refuse("has an O in its subject that is no UUID");
    }
    if (!dash_expected) {
      digits += text[i];
    }
  }
  const auto bytes = base::from_hex(digits);
  std::array<std::byte, 16> uuid{};
  if (!bytes || bytes->size() != uuid.size()) {
    return refuse("has an O in its subject that is no UUID");
  }
  std::copy(bytes->begin(), bytes->end(), uuid.begin());
  return uuid;
}

base::Result<std::chrono::sys_seconds> end_of(const X509& certificate) {
  std::tm utc{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &utc) != 1) {
    return refuse("has an unreadable end of validity");
  }
  return std::chrono::sys_seconds(std::chrono::seconds(timegm(&utc)));
}

}  // namespace

std::string_view name(Role role) { return kRoleNames.at(static_cast<std::size_t>(role)); }

base::Result<PeerIdentity> identity_of(const X509& certificate) {
  TRY_ASSIGN(common_name, required_value(certificate, NID_commonName, "CN"));
  TRY_ASSIGN(unit, required_value(certificate, NID_organizationalUnitName, "OU"));
  TRY_ASSIGN(organisation, only_value(certificate, NID_organizationName, "O"));
  const auto* const word = std::find(kRoleNames.begin(), kRoleNames.end(), unit);
  if (word == kRoleNames.end()) {
    return refuse("has an OU in its subject that is no role: \"" + unit +
                  "\"; roles are hypervisor, tenant, operator, auditor");
  }
  PeerIdentity identity;
  identity.role = static_cast<Role>(word - kRoleNames.begin());
  if (organisation) {
    TRY_ASSIGN(tenant, parse_tenant(*organisation));
    identity.tenant = tenant;
  }
  if (identity.role == Role::kTenant && !identity.tenant) {
    return refuse("is of a tenant and has no O in its subject that says which");
  }
  identity.name = std::move(common_name);
  unsigned bytes = 0;
  if (X509_digest(&certificate, EVP_sha256(),
                  reinterpret_cast<unsigned char*>(identity.fingerprint.data()), &bytes) != 1 ||
      bytes != identity.fingerprint.size()) {
    return refuse("cannot be hashed");
  }
  TRY_ASSIGN(not_after, end_of(certificate));
  identity.not_after = not_after;
  return identity;
}

std::string describe(const PeerIdentity& identity) {
  return std::string(name(identity.role)) + " " + identity.name + ", certificate " +
         base::to_hex(std::span(identity.fingerprint).first<4>());
}

}  // namespace transport::tls
