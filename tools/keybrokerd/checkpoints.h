// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "keybroker/store/audit_log.h"
#include "tools/keybrokerd/desk.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// make_checkpoint() speaks for the whole log as it is now, signed by the broker's answer key as a
// message with the label "strongroom.checkpoint/1". checkpoint_verifier() is the way back.
base::Result<keybroker::store::Checkpoint> make_checkpoint(Desk& desk, keybroker::crypto::Time now);
keybroker::store::Verifier checkpoint_verifier(const Office& office);

// newest_checkpoint() is the last on record, if there is any.
base::Result<std::optional<keybroker::store::Checkpoint>> newest_checkpoint(
    keybroker::store::Sql& sql);

}  // namespace tools::keybrokerd
