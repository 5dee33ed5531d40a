// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "keybroker/store/audit_log.h"
#include "tools/keybrokerd/desk.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// The lines of the audit log as people name them: "SUBJECT/SEQUENCE", by subject_text().
std::string release_id(const keybroker::store::AuditRow& row);

// subject_of() is a VM or tenant as people name it: by its UUID.
base::Result<keybroker::store::Subject> subject_of(Desk& desk, const std::string& text);

// expect_own() tells whether a log is this tenant's: its own, or that of a VM of it or of one of
// whose policies it owns. kNotFound for another's, as for none.
base::Result<void> expect_own(Desk& desk, const keybroker::store::Subject& subject,
                              const keybroker::protocol::Uuid& tenant);

// line_of_tenant() is a line of such a log.
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
