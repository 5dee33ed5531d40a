// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/subject.h"

#include <algorithm>

#include "keybroker/protocol/uuid.h"

namespace keybroker::store {

namespace {

constexpr std::byte kVm{1};
constexpr std::byte kTenant{2};
constexpr std::string_view kTenantPrefix = "tenant:";

Subject subject_of(std::byte kind, const protocol::Uuid& id) {
  Subject subject{kind};
  std::ranges::copy(id, subject.begin() + 1);
  return subject;
}

}  // namespace

Subject vm_subject(const protocol::Uuid& vm_id) { return subject_of(kVm, vm_id); }

Subject tenant_subject(const protocol::Uuid& tenant) { return subject_of(kTenant, tenant); }

bool is_tenant(const Subject& subject) { return subject.front() == kTenant; }

protocol::Uuid id_of(const Subject& subject) {
  protocol::Uuid id{};
  std::copy(subject.begin() + 1, subject.end(), id.begin());
  return id;
}

std::string subject_text(const Subject& subject) {
  return (is_tenant(subject) ? std::string(kTenantPrefix) : "") +
         protocol::uuid_text(id_of(subject));
}

base::Result<Subject> parse_subject(std::string_view text) {
  const bool tenant = text.starts_with(kTenantPrefix);
  if (tenant) {
    text.remove_prefix(kTenantPrefix.size());
  }
  TRY_ASSIGN(id, protocol::parse_uuid(text));
  return tenant ? tenant_subject(id) : vm_subject(id);
}

}  // namespace keybroker::store
