// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/log_watch.h"

namespace tools::keybrokerd {

using base::ErrorCode;

void LogWatch::note(const base::Result<void>& made, keybroker::crypto::Time now) {
  is_looked_at_ = true;
  if (made) {
    changed_.clear();
    last_made_ = now;
    return;
  }
  const auto& error = made.error();
  if (error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kAuthentication) {
    changed_ = "the audit log is not what was signed: " + error.message +
               ". No checkpoint is signed. If the records were restored from a backup, set "
               "[recovery] until; else keep a copy of them: somebody wrote into them";
  } else {
    hindered_ = error.message;
  }
}

std::string LogWatch::trouble(keybroker::crypto::Time now) const {
  if (!changed_.empty()) {
    return changed_;
  }
  if (!is_looked_at_) {
    return "the log was not looked at yet";
  }
  if (now - last_made_ > kOldestCheckpoint) {
    return "no checkpoint of the audit log could be made since " +
           keybroker::crypto::to_text(last_made_) + ": " + hindered_;
  }
  return {};
}

}  // namespace tools::keybrokerd
