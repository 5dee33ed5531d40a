// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "keybroker/store/sql.h"
#include "tools/config/keybrokerd_settings.h"
#include "tools/keybrokerd/desk.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// workers_of() is how many requests are worked on at a time; never fewer than two, so that one that
// hangs is not all.
std::size_t workers_of(const config::KeybrokerdSettings& settings);

// guest_workers_of() is how many of guests', beside those: half as many, and two for the same
// reason.
std::size_t guest_workers_of(const config::KeybrokerdSettings& settings);

// open_records() is one more connection to the records that the settings name.
base::Result<std::unique_ptr<keybroker::store::Sql>> open_records(
    const config::KeybrokerdSettings& settings);

// open_office() opens all that desks share: the broker's keys, policies, collateral, CAs. What is
// missing is made where the broker is new. An error names the file or setting and what to do.
base::Result<std::unique_ptr<Office>> open_office(const config::KeybrokerdSettings& settings,
                                                  keybroker::crypto::Time now);

// open_desk() is a desk with connections of its own, at which tenants' keys are used by way of
// `keys`: those of the office, or some that are in front of them.
base::Result<std::unique_ptr<Desk>> open_desk(Office& office,
                                              const config::KeybrokerdSettings& settings,
                                              keybroker::hsm::KeyEncryptionKeys& keys);

}  // namespace tools::keybrokerd
