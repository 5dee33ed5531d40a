// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/release_lines.h"

#include <boost/json/parse.hpp>
#include <charconv>

#include "keybroker/broker/registration.h"
#include "keybroker/protocol/uuid.h"

namespace tools::keybrokerd {

namespace protocol = keybroker::protocol;
namespace store = keybroker::store;
using base::ErrorCode;

std::string release_id(const store::AuditRow& row) {
  return store::subject_text(row.subject) + "/" + std::to_string(row.sequence);
}

base::Result<store::AuditRow> line(Desk& desk, const std::string& id) {
  const auto slash = id.rfind('/');
  const auto subject = store::parse_subject(std::string_view(id).substr(0, id.rfind('/')));
  std::uint64_t sequence = 0;
  const auto number = slash == std::string::npos ? std::string() : id.substr(slash + 1);
  const auto read = std::from_chars(number.data(), number.data() + number.size(), sequence);
  if (!subject || read.ec != std::errc() || read.ptr != number.data() + number.size()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "'" + id + "' is no id of a release; expected the like of " +
                          "6ba7b810-9dad-11d1-80b4-00c04fd430c8/17");
  }
  return desk.records.log_line(*subject, sequence);
}

base::Result<store::AuditRow> line_of_tenant(Desk& desk, const std::string& id,
                                             const protocol::Uuid& tenant) {
  TRY_ASSIGN(row, line(desk, id));
  TRY(expect_own(desk, row.subject, tenant));
  return row;
}

base::Result<void> expect_own(Desk& desk, const store::Subject& subject,
                              const protocol::Uuid& tenant) {
  if (!store::is_tenant(subject)) {
    TRY(keybroker::broker::own_vm(desk.records, tenant, store::id_of(subject)));
  } else if (store::id_of(subject) != tenant) {
    return base::fail(ErrorCode::kNotFound, "no " + store::subject_text(subject) + " of yours");
  }
  return {};
}

base::Result<store::Subject> subject_of(Desk& desk, const std::string& text) {
  TRY_ASSIGN(subject, store::parse_subject(text));
  // No id is both: a bare one that is a tenant's means that.
  const auto id = store::id_of(subject);
  const auto tenant = desk.records.tenant(id);
  if (!tenant && tenant.error().code != ErrorCode::kNotFound) {
    return base::fail(base::Error(tenant.error()));
  }
  return tenant ? store::tenant_subject(id) : subject;
}

base::Result<LineContent> content_of(const store::AuditRow& row) {
  boost::json::error_code invalid;
  auto value = boost::json::parse(row.content, invalid);
  if (invalid || !value.is_object()) {
    return base::fail(ErrorCode::kCorrupt, "line " + release_id(row) + " of the log is no JSON");
  }
  LineContent content;
  content.facts = std::move(value.as_object());
  // A change has facts around what was told; of a refusal there is nothing else.
  auto* const detail = content.facts.if_contains("detail");
  content.told = detail != nullptr && detail->is_object() ? detail->as_object() : content.facts;
  return content;
}

}  // namespace tools::keybrokerd
