// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "keybroker/store/audit_log.h"
#include "tools/keybrokerd/desk.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// The lines of the audit log as people name them: "SUBJECT/SEQUENCE".
std::string release_id(const keybroker::store::AuditRow& row);

// line_of_tenant() is a line about a VM of this tenant, or one of whose policies it owns. kNotFound
// for another's, as for none.
base::Result<keybroker::store::AuditRow> line_of_tenant(Desk& desk, const std::string& id,
                                                        const keybroker::protocol::Uuid& tenant);

// line() is one for who may see all.
base::Result<keybroker::store::AuditRow> line(Desk& desk, const std::string& id);

// LineContent is what a line says beside its columns: what the record knows, and what was told by
// whoever did it.
struct LineContent {
  boost::json::object facts;
  boost::json::object told;
};

// content_of() reads it. kCorrupt if it is no JSON object.
base::Result<LineContent> content_of(const keybroker::store::AuditRow& row);

}  // namespace tools::keybrokerd
