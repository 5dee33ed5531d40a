// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "keybroker/crypto/time.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// So long the log may go on without a checkpoint: what was written since can be taken out unseen.
inline constexpr std::chrono::hours kOldestCheckpoint{3};

// LogWatch is what a broker knows of its audit log by the checkpoints that it makes: whether it was
// changed, and whether it is looked at. What was found stays found until a checkpoint is made:
// whoever can write the records can also keep them busy for a while. One thread.
class LogWatch {
 public:
  explicit LogWatch(keybroker::crypto::Time now) : last_made_(now) {}

  // note() takes what came of a checkpoint at `now`.
  void note(const base::Result<void>& made, keybroker::crypto::Time now);

  // trouble() is why the broker is not ready at `now` for what is the matter with its log; empty if
  // nothing is. A log that could not be looked at this time does not keep it from that.
  [[nodiscard]] std::string trouble(keybroker::crypto::Time now) const;

 private:
  bool is_looked_at_ = false;
  std::string changed_;  // what was found
  std::string hindered_;
  keybroker::crypto::Time last_made_;  // or when this began
};

}  // namespace tools::keybrokerd
