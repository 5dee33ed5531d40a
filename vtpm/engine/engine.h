// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/engine/nv_store.h"
#include "vtpm/protocol/locality.h"

namespace vtpm::engine {

// Origin is where the TPM that start() powers on comes from. There is no third value that would
// mean "whatever is there": a store that lost its state must never turn into a new TPM.
enum class Origin {
  kExisting,     // Its permanent state was stored, or set as a blob. None there is an error.
  kManufacture,  // A new TPM with new seeds. State there is an error.
};

// The sizes of the command buffer that the TPM names to its guest, in bytes.
struct BufferSize {
  std::uint32_t current;
  std::uint32_t min;
  std::uint32_t max;
};

// Engine is the TPM of this process. libtpms keeps the whole TPM in static variables and answers
// from them, so there is one Engine at a time, and a process must not fork while its TPM is
// running: the child would answer with the same random numbers. The child's copy refuses to work.
//
// One thread at a time may call it; cancel() alone may be called from any thread.
class Engine {
 public:
  // create() takes this process' TPM, powered off. kDenied while another Engine lives, or in the
  // child of a process that forked while its TPM was running. `store` must outlive the engine.
  static base::Result<std::unique_ptr<Engine>> create(NvStore& store);

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Powers off, without a Shutdown command.
  ~Engine();

  // start() powers the TPM on (_TPM_Init). It uses the blobs that were set, else what the store
  // holds; a stored volatile blob is used once and then removed. After a resume from a volatile
  // blob, wherever it came from, 32 fresh bytes of the kernel's are stirred in before a guest can
  // ask for anything, so that two resumes of one blob draw different random numbers.
  //
  // kNotFound: kExisting, and the store holds no permanent state. kDenied: running already, or
  // kManufacture over existing state. kCorrupt: libtpms refuses the state; nothing was stored.
  // Else the store's own error. After an error the TPM is off and the blobs that were set are
  // forgotten.
  base::Result<void> start(Origin origin);

  // resume() powers the TPM on where another process has stopped between two commands, with both of
  // its blobs from there. The store is neither read nor written. kDenied when running, or if a blob
  // was set; kCorrupt if libtpms refuses them.
  base::Result<void> resume(base::SecretBytes permanent, base::SecretBytes volatile_blob);

  // awaits_start() is true from set_state_blob() to the next start.
  [[nodiscard]] bool awaits_start() const { return permanent_is_set_ || volatile_is_set_; }

  // terminate() powers off, without a Shutdown command. Harmless when off.
  void terminate();

  [[nodiscard]] bool running() const { return running_; }

  // process() runs one command; errors of the TPM come back as responses. `command` may be changed
  // (libtpms decrypts parameters in place). The view ends with the next call. A change of durable
  // state has been stored when it returns; if the store failed, the response is TPM_RC_FAILURE, so
  // are all later ones, and failure() says why. kDenied when off, kUnavailable if libtpms is out
  // of memory.
  base::Result<base::ByteView> process(protocol::Locality locality, std::span<std::byte> command);

  // cancel() asks the command that is running now, if any, to stop with TPM_RC_CANCELED. Long
  // operations look for it; a command that does not, ends as if nothing had happened. Any thread.
  void cancel();

  // state_blob() is the state of the running TPM; taking it changes nothing. kDenied when off or
  // in failure mode, whose state must not travel.
  base::Result<base::SecretBytes> state_blob(BlobKind kind);

  // set_state_blob() gives the state for the next start. A permanent blob forgets all that was set
  // before; a volatile one must fit the permanent blob set before it, or the stored one. kDenied
  // when running; kCorrupt if libtpms refuses it, and then all that was set is forgotten.
  base::Result<void> set_state_blob(BlobKind kind, base::ByteView blob);

  // forget_set_blobs() undoes set_state_blob(). Harmless if nothing was set.
  void forget_set_blobs();

  // store_volatile() stores the volatile state for one later start. kDenied as state_blob().
  base::Result<void> store_volatile();

  [[nodiscard]] BufferSize buffer_size() const;

  // set_buffer_size() clamps `wanted` into what libtpms allows. kDenied when running.
  base::Result<BufferSize> set_buffer_size(std::uint32_t wanted);

  // info() is a JSON text about the implementation; `flags` are TPMLIB_INFO_*, and those that this
  // libtpms does not know add nothing.
  base::Result<std::string> info(std::uint64_t flags) const;

  // The hash sequence of a dynamic root of trust (TPM 2.0 Part 1, 34.3). kDenied when off.
  base::Result<void> hash_start();
  base::Result<void> hash_data(base::ByteView data);
  base::Result<void> hash_end();

  // established() is tpmEstablished: whether a hash sequence ran since the last reset of the bit.
  // It outlives a power cycle, but not the process. kDenied when off.
  base::Result<bool> established() const;

  // reset_established() clears the bit. kInvalidArgument unless `locality` is 3 or 4; kDenied when
  // off.
  base::Result<void> reset_established(protocol::Locality locality);

  // set_physical_presence() is for the commands to come, until it is said otherwise; there is none
  // at first. Any thread.
  void set_physical_presence(bool present) { physically_present_ = present; }

  // fail_next_store() has the TPM go into failure mode with its next change of durable state, which
  // is not stored; for tests of those who use a TPM. A power-off forgets it.
  void fail_next_store() { next_store_fails_ = true; }

  // failure() is what the store said when it failed, if that is why the TPM is in failure mode.
  // The next start() clears it.
  [[nodiscard]] const std::optional<base::Error>& failure() const { return failure_; }

  // give_back_memory() hands memory back to the system that a TPM at rest does not need. The TPM
  // notices nothing, on or off.
  void give_back_memory();

  // library_version() is that of libtpms: major << 16 | minor << 8 | micro.
  static std::uint32_t library_version();

 private:
  struct Callbacks;

  explicit Engine(NvStore& store) : store_(store) {}

  base::Result<void> find_state(Origin origin);
  base::Result<void> stir();
  base::Result<void> expect_running() const;

  NvStore& store_;
  bool running_ = false;
  bool permanent_is_set_ = false;
  bool volatile_is_set_ = false;

  // What the callbacks of libtpms read and write while one of its functions runs.
  protocol::Locality locality_;
  std::atomic<bool> physically_present_ = false;
  bool manufacturing_ = false;
  bool next_store_fails_ = false;
  bool resuming_ = false;
  std::optional<base::SecretBytes> stored_permanent_;
  std::optional<base::SecretBytes> stored_volatile_;
  std::optional<base::Error> failure_;

  // libtpms allocates the response buffer, and reuses it.
  unsigned char* response_ = nullptr;
  std::uint32_t response_capacity_ = 0;
};

}  // namespace vtpm::engine
