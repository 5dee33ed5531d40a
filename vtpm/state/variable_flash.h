// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/state/flash_store.h"

namespace vtpm::state {

// blank_flash() is a flash as it leaves the factory: every bit is one. Firmware makes its variable
// store in it.
base::SecretBytes blank_flash(std::uint64_t bytes);

// VariableFlash is the flash in which a VM's firmware keeps its variables: an array of bytes whose
// size never changes, in memory while it is open, and stored as a whole. A hypervisor writes
// through each byte that firmware programs, thousands of them in a row, and asks for durability
// only at its end, so writes are gathered, and stored after a pause of theirs or in a while. What
// is stored is always an image that the flash had at one moment, as if the power of a real one had
// been cut there. One owner; times are passed in.
class VariableFlash {
 public:
  using Clock = std::chrono::steady_clock;

  struct Timing {
    std::chrono::milliseconds pause{50};      // after the last write
    std::chrono::milliseconds at_most{1000};  // after the first that is not stored
    std::chrono::milliseconds retry{1000};    // after a failure
  };

  // What a flash begins with that was never stored.
  using FirstImage = std::function<base::Result<base::SecretBytes>()>;

  // Without a store the flash is kept in memory only, for as long as this lives. `store` outlives
  // this.
  VariableFlash(FlashStore* store, FirstImage first, Timing timing)
      : store_(store), first_(std::move(first)), timing_(timing) {}

  // open() loads the image. kCorrupt for a stored image of a size that no flash has; errors of the
  // store and of the first image.
  base::Result<void> open();

  // close() stores what is not, and lets go of the memory; what cannot be stored is kept.
  void close(Clock::time_point now);

  [[nodiscard]] std::uint64_t size_bytes() const { return image_.size(); }

  // resume() opens a flash that is kept in memory only, with the image that it had elsewhere.
  void resume(base::SecretBytes image) { image_ = std::move(image); }

  // The range of these lies within the size of an open flash. A write is in the image whatever it
  // returns, but while the last commit has failed it says so.
  void read(std::uint64_t offset, std::span<std::byte> into) const;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes, Clock::time_point now);

  // commit() returns when all that was written is durable. kUnavailable while the store is awaited
  // and there is something to store; errors of the store.
  base::Result<void> commit(Clock::time_point now);

  // tend() commits if it is time to, and says when it will be; nothing if all is stored.
  std::optional<Clock::time_point> tend(Clock::time_point now);

  // failure() is why the last commit failed; nothing if it did not.
  [[nodiscard]] const std::optional<base::Error>& failure() const { return failure_; }

 private:
  struct Unsaved {
    Clock::time_point first;
    Clock::time_point last;
  };

  base::Result<base::SecretBytes> load() const;
  base::Result<void> arrive();

  FlashStore* const store_;  // or none
  const FirstImage first_;
  const Timing timing_;
  base::SecretBytes image_;
  std::optional<Unsaved> unsaved_;
  std::optional<Clock::time_point> retry_at_;
  std::optional<base::Error> failure_;

  // Which bytes were written while the store was still to arrive: the others are what it holds.
  // Empty where that is not so.
  std::vector<bool> written_ahead_;
};

}  // namespace vtpm::state
