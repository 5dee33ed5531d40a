// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// How a change is made once although the database may go away at any moment: each leaves its
// request id behind in the same transaction, and is asked for again until its outcome is known.

// settle() runs a transaction until it is known to have happened. `steps` find out by their request
// id that they did already. kUnavailable if it cannot be known now; the same call finds out later.
base::Result<void> settle(Sql& sql, const std::function<base::Result<Then>()>& steps);

// A request that was granted before.
struct KnownRequest {
  std::string kind;
  Sha256Digest digest{};
  base::Bytes answer;
};

// find_request() also writes, so that whoever is told of the request waits until that is durable,
// and the request with it: after a crash a database can show what it had not yet promised.
base::Result<std::optional<KnownRequest>> find_request(Sql& sql, const Subject& subject,
                                                       const RequestId& request_id);

base::Result<void> note_request(Sql& sql, const Subject& subject, std::string_view kind,
                                const Sha256Digest& digest, const Act& act);

// Kinds of changes, as the log has them, of which a request may have to be known beforehand.
inline constexpr std::string_view kKekAdded = "kek-added";
inline constexpr std::string_view kUpdated = "updated";
inline constexpr std::string_view kConversionBegun = "conversion-begun";
inline constexpr std::string_view kConversionCancelled = "conversion-cancelled";

// made_before() tells whether this request has made a change of one of these kinds already. Whoever
// decides by the record as it is asks first: it is as the request wanted it. kDenied if the id was
// used for another request.
base::Result<bool> made_before(Sql& sql, const Subject& subject,
                               std::initializer_list<std::string_view> kinds, const Act& act);

// change() makes a change of a VM or tenant and its line in the log, or finds that it was made by
// this request. `steps` give whether there was anything to change. kDenied if the id was used for
// another request.
base::Result<void> change(Sql& sql, const Subject& subject, std::string_view kind, const Act& act,
                          const std::function<base::Result<bool>()>& steps);

// with_facts() puts what the record itself knows, members of a JSON object, before what the caller
// has to say of an act.
Act with_facts(const Act& act, std::string_view members);

}  // namespace keybroker::store
