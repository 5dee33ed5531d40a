// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "tools/swtpm/drop_in_store.h"
#include "tools/swtpm/sockets.h"
#include "vmgs/base/result.h"
#include "vmgs/format/swtpm_key.h"
#include "vtpm/protocol/power_command.h"

namespace tools::swtpm {

// What a drop-in serves, and how.
struct ServiceSetup {
  std::optional<Channel> control;
  std::optional<Channel> data;
  std::unique_ptr<DropInStore> store;

  // The keys of state blobs; the file key is that of the store.
  std::optional<vmgs::format::SwtpmKey> file_key;
  std::optional<vmgs::format::SwtpmKey> migration_key;

  bool ends_with_data_channel = false;
  bool on_at_start = false;  // the TPM needs no INIT
  std::optional<vtpm::protocol::StartupType> startup;
  bool shuts_down_in_order = true;
  bool rejects_locality_4 = false;
  bool takes_set_locality = false;  // the command by which a kernel's proxy device sets it
  bool releases_store_when_taken = false;
};

// serve() serves one TPM until it is told to end, which is a success. It calls `ready` once it can
// be spoken to, and does not go on if that fails. Errors of the first power-on, where the TPM is on
// at the start, and of the end.
base::Result<void> serve(ServiceSetup setup, const std::function<base::Result<void>()>& ready);

}  // namespace tools::swtpm
