// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vtpm::state {

// FlashStore keeps the image of a VM's variable flash between its lives.
class FlashStore {
 public:
  virtual ~FlashStore() = default;

  // is_awaited() is true while the state that this is part of is still to arrive from another host:
  // nothing can be loaded or stored before that.
  [[nodiscard]] virtual bool is_awaited() const = 0;

  // load_flash() is the image that was stored last, nothing if none ever was.
  virtual base::Result<std::optional<base::SecretBytes>> load_flash() = 0;

  // store_flash() makes `image` the whole of it, durably, in one commit. When it returns an error
  // the next call begins by looking at what the disk holds, as after a crash.
  virtual base::Result<void> store_flash(base::ByteView image) = 0;
};

}  // namespace vtpm::state
