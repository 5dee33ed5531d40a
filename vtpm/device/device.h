// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/engine/engine.h"
#include "vtpm/protocol/command_code.h"
#include "vtpm/protocol/header.h"
#include "vtpm/protocol/locality.h"
#include "vtpm/protocol/lockout.h"

namespace vtpm::device {

// Whether the state of the TPM may leave and enter through the device. Where the hypervisor is not
// trusted it may not.
enum class StateBlobs { kAllowed, kRefused };

// From where a command came. What a guest writes reaches us as it is, so a guest is not believed
// when it names its locality; a client on a socket of its own is.
enum class Sender { kGuest, kClient };

// Sees each command of a client or guest before the TPM does, on the thread that runs it and while
// no other runs, and gives the response in the TPM's stead where it must not be run. It may send
// commands of its own to the engine. Must not call the device.
using Attendant = std::function<std::optional<base::Bytes>(base::ByteView command)>;

struct Options {
  StateBlobs state_blobs = StateBlobs::kAllowed;
  // A client's command powers the TPM on where no platform has taken charge of its power. Clients
  // without a hypervisor, as tpm2-tools, know no INIT.
  bool power_on_for_clients = false;
  // Whether a TPM that is powered off without a Shutdown of its guest's gets one first.
  bool shut_down_in_order = true;
  // Told on the thread that ran the command; must not call the device. Why the TPM went into
  // failure mode, once in each power cycle: its store failed, or it found itself broken.
  std::function<void(const base::Error&)> on_failure = nullptr;
  // That too many wrong authorizations locked the TPM, and that it is no longer so. A power cycle
  // begins as if it were not; the guest's Startup shows.
  std::function<void(bool locked_out)> on_lockout = nullptr;
  Attendant attendant = nullptr;
};

// What a TPM is between two commands, for another process to go on with it.
struct Running {
  bool powered = false;
  bool platform_has_power = false;
  std::uint8_t locality = 0;
  std::uint32_t buffer_bytes = 0;
  std::optional<protocol::CommandCode> last_command;
  bool locked_out = false;
  base::SecretBytes permanent;  // as libtpms has them; empty when off
  base::SecretBytes volatile_state;
};

// Device is the TPM as a platform sees it: power, locality, one command at a time, and state that
// can be taken out and put in while it is off. Its power cycles never make a TPM: where there is no
// state, init() fails.
//
// Any thread may call anything. Calls wait for the command that is running, but for cancel(),
// set_locality() and powered(), which never wait; init(), stop(), retire() and condemn() ask it to
// end early.
class Device {
 public:
  // `engine` is off, outlives the device, and is touched by nobody else.
  Device(engine::Engine& engine, Options options);

  // init() powers the TPM on. One that is on is first shut down, as by stop(). The locality stays.
  // A volatile blob that was stored is used, and used up. Errors of Engine::start(), and what
  // condemn() was told.
  base::Result<void> init();

  // stop() powers the TPM off. Unless the guest's last command was a Shutdown, it gets one now,
  // STATE, and CLEAR if that fails: without it a hard reset looks to the TPM like an attack on its
  // lockout counter. Harmless when off.
  void stop();

  // retire() is stop() for a guest that is gone for good: the Shutdown is CLEAR, so that the TPM is
  // not taken for one that sleeps.
  void retire();

  // goes_elsewhere() says that the TPM has left for another host, or is back. Of one that has left
  // the state can be taken, and nothing else happens to it: it answers TPM_RC_FAILURE, and is
  // powered off without a Shutdown, which would be stored.
  void goes_elsewhere(bool elsewhere) { elsewhere_ = elsewhere; }

  // condemn() is retire() for good: each init() from now on fails with `why`.
  void condemn(base::Error why);

  [[nodiscard]] bool powered() const { return powered_; }

  // power_cycle() counts the attempts to power the TPM on. What is told from another thread's point
  // of view may be of a cycle that is over; asked while it is told, this is its cycle.
  [[nodiscard]] std::uint64_t power_cycle() const { return power_cycle_; }

  // process() runs one command and gives its response: TPM_RC_FAILURE when off or if there is no
  // other response. It runs at the device's locality, or at `locality` where the command came with
  // one, which a guest may only do to repeat the device's. TPM_RC_LOCALITY if it may not, or if
  // there is no such locality. `command` may be changed.
  base::Bytes process(std::span<std::byte> command, Sender sender = Sender::kGuest,
                      std::optional<std::uint8_t> locality = std::nullopt);

  // between_commands() has `work` done on the caller's thread while no command runs; it may send
  // commands of its own to the engine, and must not call the device. False, and nothing is done,
  // where the TPM is off or has left.
  bool between_commands(const std::function<void()>& work);

  // undisturbed() has `work` done on the caller's thread while no command runs and the power does
  // not change, on or off: for what shares the TPM's store. It must not call the device.
  void undisturbed(const std::function<void()>& work);

  // What lockout() tells: how the dictionary attack protection stands, and until when the TPM is
  // locked at the latest, as far as that is known.
  struct Lockout {
    protocol::LockoutState state;
    std::optional<std::chrono::system_clock::time_point> until = std::nullopt;
  };

  // lockout() asks the TPM, between two commands of its guest. As any command does that is not part
  // of it, this ends the exclusivity of an audit session; the guest's sessions stay. kDenied when
  // off, kUnavailable before a Startup.
  base::Result<Lockout> lockout();

  // reset_lockout() has the TPM forget failed tries, by the authorization of its lockout hierarchy.
  // A wrong one is kAuthentication, and the TPM takes no other for a time. kDenied when off,
  // kUnavailable before a Startup or in that time, kInvalidArgument for one that is too long.
  base::Result<void> reset_lockout(base::ByteView authorization);

  // cancel() asks the running command to end with TPM_RC_CANCELED. kDenied when off.
  base::Result<void> cancel();

  // set_locality() is for the commands to come, on or off. kInvalidArgument above 4.
  base::Result<void> set_locality(std::uint8_t number);

  // set_physical_presence() is for the commands to come, on or off. There is none at first.
  void set_physical_presence(bool present) { engine_.set_physical_presence(present); }

  // fail() has the TPM go into failure mode until it is powered off, for tests of those who use
  // one: at once, or with its Startup if it has had none. Nothing is stored. kDenied when off.
  base::Result<void> fail();

  // established() is the tpmEstablished bit. kDenied when off.
  base::Result<bool> established();

  // reset_established() clears it. kInvalidArgument unless `locality` is 3 or 4, whatever the
  // device's own is, which stays. kDenied when off.
  base::Result<void> reset_established(std::uint8_t locality);

  // The hash sequence of a dynamic root of trust, data of any length in any number of pieces.
  // kDenied when off, and for data or an end without a start.
  base::Result<void> hash_start();
  base::Result<void> hash_data(base::ByteView data);
  base::Result<void> hash_end();

  // buffer_size() asks at any time. set_buffer_size() clamps; kDenied when on.
  engine::BufferSize buffer_size();
  base::Result<engine::BufferSize> set_buffer_size(std::uint32_t wanted);

  // info() is a JSON text about the implementation.
  base::Result<std::string> info(std::uint64_t flags);

  // state_blob() gives the state of the running TPM as libtpms writes it, and changes nothing.
  // kDenied when off, in failure mode, or where blobs are refused.
  base::Result<base::SecretBytes> state_blob(engine::BlobKind kind);

  // expect_may_set() is kDenied when on, or where blobs are refused.
  base::Result<void> expect_may_set();

  // set_state_blob() takes such a blob for the next init(): first the permanent one, which forgets
  // what was set before, then the volatile one. An empty volatile blob is none. kDenied as
  // expect_may_set(); kCorrupt for anything that is no state.
  base::Result<void> set_state_blob(engine::BlobKind kind, base::ByteView blob);

  // store_volatile() stores what the running TPM does, so that the next init() goes on from there,
  // in this process or the next; a TPM that is powered off right after it gets no Shutdown, which
  // would end what goes on. kDenied when off.
  base::Result<void> store_volatile();

  // suspend() stops between two commands and says how the TPM is: whoever asks anything of it waits
  // from then on, until go_on() or abandon(), on the same thread. kUnavailable within a hash
  // sequence, after store_volatile() until the next command, and while a blob waits for the next
  // init(); kDenied in failure mode. It is not suspended then.
  base::Result<Running> suspend();
  void go_on();

  // abandon() leaves the TPM to the process that goes on with it: here it is off for good, without
  // a Shutdown.
  void abandon();

  // resume() goes on with a TPM that was suspended elsewhere; its store is not touched. Once, on a
  // device that was never on. Errors of Engine::resume().
  base::Result<void> resume(Running running);

  // give_back_memory() hands memory back to the system that a TPM at rest does not need; not while
  // a command is running.
  void give_back_memory();

 private:
  std::unique_lock<std::timed_mutex> interrupt();
  base::Result<void> power_on();
  [[nodiscard]] base::Result<void> expect_here() const;
  [[nodiscard]] base::Result<void> expect_serves() const;
  void power_off(bool may_wake);
  void shut_down(bool may_wake);
  void note_failure(std::optional<protocol::ResponseCode> code);
  void note_lockout(const protocol::ResponseHeader& answered);
  base::Result<void> expect_state_blobs_allowed() const;

  engine::Engine& engine_;
  const Options options_;

  std::atomic<bool> powered_ = false;
  std::atomic<std::uint64_t> power_cycle_ = 0;
  std::atomic<protocol::Locality> locality_{};
  std::atomic<bool> elsewhere_ = false;

  std::timed_mutex busy_;                 // guards the engine and what follows
  std::optional<base::Error> condemned_;  // why, if it was
  std::optional<protocol::CommandCode> last_command_;
  bool platform_has_power_ = false;  // it used init(), stop() or set_state_blob()
  bool hashing_ = false;
  bool goes_on_ = false;  // from what store_volatile() stored, if it is powered off now
  bool failure_noted_ = false;
  bool locked_out_ = false;
  std::optional<std::chrono::system_clock::time_point> locked_out_since_;  // when we saw it
  std::unique_lock<std::timed_mutex> suspended_;
};

}  // namespace vtpm::device
