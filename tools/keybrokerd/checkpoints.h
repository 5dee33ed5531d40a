// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>

#include "keybroker/protocol/broker_admin.pb.h"
#include "keybroker/store/checkpoint.h"
#include "tools/keybrokerd/desk.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// SeenCheckpoint is the last checkpoint that this broker made or met, in a file beside its keys:
// whoever can write the records cannot take out all checkpoints without its missing this one. Any
// thread.
class SeenCheckpoint {
 public:
  // open() reads it; there may be none yet. kCorrupt if the file is damaged.
  static base::Result<std::unique_ptr<SeenCheckpoint>> open(std::filesystem::path file);

  [[nodiscard]] std::optional<keybroker::store::Checkpoint> get() const;

  base::Result<void> keep(const keybroker::store::Checkpoint& checkpoint);

 private:
  SeenCheckpoint(std::filesystem::path file, std::optional<keybroker::store::Checkpoint> seen)
      : file_(std::move(file)), seen_(std::move(seen)) {}

  const std::filesystem::path file_;
  mutable std::mutex mutex_;
  std::optional<keybroker::store::Checkpoint> seen_;
};

// make_checkpoint() speaks for the whole log as it is now, signed by the broker's answer key as a
// message with the label "strongroom.checkpoint/1"; checkpoint_verifier() is the way back. Errors
// are those of store::make_checkpoint(): a log that does not go on from where it was is not signed.
// While a recovery lasts it may be older than what was seen.
base::Result<void> make_checkpoint(Desk& desk, SeenCheckpoint& seen, keybroker::crypto::Time now);

// must_have() is the checkpoint that the records have to have now: none while a recovery lasts.
std::optional<keybroker::store::Checkpoint> must_have(const Office& office,
                                                      const SeenCheckpoint& seen,
                                                      keybroker::crypto::Time now);

keybroker::store::Verifier checkpoint_verifier(const Office& office);

// A checkpoint as auditors keep it, and back: kCorrupt for what is none.
strongroom::broker::v1::SignedCheckpoint checkpoint_message(
    const keybroker::store::Checkpoint& checkpoint);
base::Result<keybroker::store::Checkpoint> checkpoint_of(
    const strongroom::broker::v1::SignedCheckpoint& message);

}  // namespace tools::keybrokerd
