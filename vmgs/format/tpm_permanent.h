// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/tpm_nv_memory.h"

namespace vmgs::format {

// A bank of PCRs (TPMS_PCR_SELECTION, TPM 2.0 Part 2, 10.6.2): the hash by its TPM_ALG_ID, and one
// bit for each PCR, the lowest for PCR 0.
struct TpmPcrBank {
  std::uint16_t algorithm = 0;
  std::uint32_t pcrs = 0;

  friend bool operator==(const TpmPcrBank&, const TpmPcrBank&) = default;
};

// What somebody has set to use a hierarchy by. Never the values.
struct TpmAuthority {
  bool has_authorization = false;  // a value that is not empty
  bool has_policy = false;
};

// Dictionary attack protection (TPM 2.0 Part 1, 19.8).
struct TpmLockout {
  std::uint32_t failed_tries = 0;
  std::uint32_t max_tries = 0;                 // at so many it locks
  std::uint32_t recovery_seconds = 0;          // until one failed try is forgotten
  std::uint32_t lockout_recovery_seconds = 0;  // after a wrong lockout authorization; 0: a restart
  bool lockout_authorization_enabled = true;
};

// How the TPM was left, as the next TPM2_Startup takes it.
enum class TpmShutdown {
  kClear,    // in order: the next start is a TPM Reset or Restart
  kState,    // in order, with its state: the next start may be a TPM Resume
  kDaUsed,   // not in order, and a DA-protected object was used: the next start counts a try
  kNone,     // not in order
  kUnknown,  // a value that no release writes
};

// Of ORDERLY_DATA: what a TPM keeps across an orderly shutdown.
struct TpmClock {
  std::uint64_t clock_milliseconds = 0;
  bool is_safe = false;  // it cannot have gone back (TPM 2.0 Part 1, 36.3)
};

// Of STATE_RESET_DATA and STATE_CLEAR_DATA: there after a Shutdown with state, and in volatile
// state.
struct TpmResumable {
  std::uint32_t clear_count = 0;    // resets of the TPM since TPM2_Clear
  std::uint32_t restart_count = 0;  // starts other than a reset since the last reset
  std::uint32_t pcr_counter = 0;    // changes of PCRs
  bool owner_enabled = false;
  bool endorsement_enabled = false;
  bool platform_nv_enabled = false;
  TpmAuthority platform;
};

// An orderly NV index has its content, and its written attribute, in RAM; this is that RAM.
struct TpmOrderlyIndex {
  std::uint32_t index = 0;
  std::uint32_t attributes = 0;
  base::ByteView content;
};

// TpmPermanent is what a permanent state of libtpms (`blob` of TpmState) says, without one secret
// of it. Views are of the state. The parts are read one after another; where one is not understood,
// those after it are absent, but for the NV memory, which is found by itself.
struct TpmPermanent {
  std::uint16_t version = 0;  // of the whole: 3 by libtpms 0.9 and earlier, 4 by 0.10
  std::string profile;        // JSON of version 4, as it stands there
  std::uint16_t data_version = 0;

  bool clear_disabled = false;
  TpmAuthority owner;
  TpmAuthority endorsement;
  TpmAuthority lockout_authority;
  std::uint64_t total_resets = 0;  // of power, in this TPM's life
  std::uint32_t reset_count = 0;   // since TPM2_Clear
  std::vector<TpmPcrBank> banks;   // at the next start
  TpmLockout lockout;
  TpmShutdown shutdown = TpmShutdown::kUnknown;
  bool startup_at_locality_3 = false;
  std::uint16_t audit_algorithm = 0;
  std::uint64_t audit_counter = 0;
  std::array<std::uint32_t, 2> firmware_version{};

  // How far decoding came. Everything above is there if has_data.
  bool has_data = false;
  std::optional<TpmClock> clock;
  std::optional<TpmResumable> resumable;
  std::vector<TpmOrderlyIndex> orderly_indices;
  std::optional<TpmNvMemory> nv;
  std::string not_understood;  // what was given up on, and why; empty if nothing was
};

// decode_tpm_permanent() is kCorrupt only for what does not begin like such a state.
base::Result<TpmPermanent> decode_tpm_permanent(base::ByteView state);

// The values of one bank of PCRs, from PCR 0 on.
struct TpmPcrValues {
  std::uint16_t algorithm = 0;
  std::vector<base::ByteView> values;
};

// TpmVolatile is what the volatile state of libtpms says of a TPM that was stopped while it ran.
struct TpmVolatile {
  std::uint16_t version = 0;
  std::uint64_t time_milliseconds = 0;  // since its last power on
  bool platform_enabled = false;
  std::optional<TpmClock> clock;
  std::optional<TpmResumable> resumable;

  // Found by trying, as the NV memory is: sessions and objects lie in front of them.
  std::vector<TpmPcrValues> pcrs;
  std::string not_understood;
};

// decode_tpm_volatile() is kCorrupt only for what does not begin like such a state.
base::Result<TpmVolatile> decode_tpm_volatile(base::ByteView state);

}  // namespace vmgs::format
